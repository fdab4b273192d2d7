"""A burn-in: every check with its number, the verdict, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.model.burnin import Burnin, BurninProgress, Outcome
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import bar, duration, escape, plural

_ROLES = {Outcome.PASS: Role.GOOD, Outcome.FAIL: Role.BAD, Outcome.SKIP: Role.QUIET}
_WORDS = {Outcome.PASS: "pass", Outcome.FAIL: "FAIL", Outcome.SKIP: "skip"}
_COLUMNS = (Column("check"), Column("device"), Column("result"), Column("what", least=10, below=True))


def burnin_data(result: Burnin, *, simulated: bool) -> dict[str, object]:
    """`data` of `burnin --json`."""
    return {
        "simulated": simulated,
        "node": result.node,
        "device": result.device,
        "passed": result.passed,
        "recorded": result.recorded,
        "began_s": result.began_s,
        "ended_s": result.ended_s,
        "checks": [
            {
                "check": check.name,
                "device": check.device,
                "outcome": check.outcome.value,
                "what": check.what,
                "numbers": dict(check.numbers),
            }
            for check in result.checks
        ],
        "next": next_command(result),
    }


def burnin_text(result: Burnin, indices: Mapping[str, int], look: Look, *, simulated: bool) -> str:
    """The checks in the order in which they were made, alike ones of several devices in one line.

    Args:
        result: the burn-in.
        indices: index of each device by its UUID.
        look: the terminal.
        simulated: whether the node is.
    """
    head = [look.paint("simulated", Role.WARN)] if simulated else []
    alike: dict[tuple[str, Outcome, str], list[str | None]] = {}
    for check in result.checks:
        alike.setdefault((check.name, check.outcome, check.what), []).append(check.device)
    rows: list[list[str | Cell]] = [
        [name, _devices_text(devices, indices), Cell(_WORDS[outcome], _ROLES[outcome]), escape(what)]
        for (name, outcome, what), devices in alike.items()
    ]
    failed = sum(check.outcome is Outcome.FAIL for check in result.checks)
    skipped = sum(check.outcome is Outcome.SKIP for check in result.checks)
    verdict = look.paint("PASS", Role.GOOD) if result.passed else look.paint("FAIL", Role.BAD)
    counts = f"{plural(len(result.checks), 'check')}, {failed} failed, {skipped} not made"
    took = duration(result.ended_s - result.began_s)
    lines = [table(_COLUMNS, rows, look), f"{verdict}: {escape(result.node)}: {counts}, {took} in all"]
    return "\n".join([*head, *lines, f"next: {next_command(result)}"])


def next_command(result: Burnin) -> str:
    """What an operator types next."""
    device = "" if result.device is None else f" --device {result.device}"
    if result.passed:
        return f"gpualloc uncordon {result.node}{device}"
    return "gpualloc doctor"


def progress_text(progress: BurninProgress) -> str:
    """How far it is, in one line."""
    shown = f"{bar(progress.done_s, progress.total_s, 20)} {duration(progress.done_s)} of {duration(progress.total_s)}"
    return f"{shown} {progress.what}"


def _devices_text(devices: Sequence[str | None], indices: Mapping[str, int]) -> str:
    """`GPU 0-3,6`; a device without a known index by its UUID."""
    known = sorted(indices[device] for device in devices if device is not None and device in indices)
    others = [escape(device) for device in devices if device is not None and device not in indices]
    runs: list[list[int]] = []
    for index in known:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    told = ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
    return " ".join([*([f"GPU {told}"] if told else []), *others])
