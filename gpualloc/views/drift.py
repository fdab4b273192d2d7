"""What is not as gpualloc made it, and what was done about it."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.plan import Step, StepState
from gpualloc.planning.drift import Difference, DriftClass, Value
from gpualloc.planning.repair import Left
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import escape, plural

_ROLES = {
    DriftClass.MISSING: Role.BAD,
    DriftClass.CHANGED: Role.BAD,
    DriftClass.FOREIGN: Role.WARN,
    DriftClass.DOUBTFUL: Role.WARN,
}
_COLUMNS = (
    Column("node", least=6),
    Column("device or work", least=12),
    Column("field"),
    Column("class"),
    Column("desired", least=8),
    Column("live", least=8, below=True),
)


def difference_data(difference: Difference) -> dict[str, object]:
    """One difference as scripts read it."""
    return {
        "node": difference.node,
        "device": difference.device,
        "workload": difference.workload,
        "field": difference.field,
        "class": difference.drift.value,
        "desired": difference.desired,
        "live": difference.live,
    }


def drift_data(differences: Sequence[Difference], unknown: Sequence[str], *, simulated: bool) -> dict[str, object]:
    """`data` of `drift --json`."""
    return {
        "simulated": simulated,
        "drift": [difference_data(each) for each in differences],
        "unknown": list(unknown),
    }


def drift_text(differences: Sequence[Difference], unknown: Sequence[str], look: Look, *, simulated: bool) -> str:
    """A row for each difference, and the nodes of which nothing is known."""
    lines = [look.paint("simulated", Role.WARN)] if simulated else []
    if differences:
        lines += [table(_COLUMNS, [_row(each) for each in differences], look), plural(len(differences), "difference")]
    else:
        lines.append("no drift")
    if unknown:
        lines.append(f"unknown, for want of an answer: {', '.join(map(escape, unknown))}")
    return "\n".join(lines)


def reconcile_data(
    found: Sequence[Difference], left: Left, doubts: Sequence[tuple[Step, StepState | None]]
) -> dict[str, object]:
    """The parts of `reconcile --json` that are about what differs."""
    return {
        "drift": [difference_data(each) for each in found],
        "left": [{**difference_data(each), "why": why} for each, why in left],
        "doubts": [
            {
                "node": step.node,
                "kind": step.kind.value,
                "target": step.target,
                "state": None if state is None else state.value,
            }
            for step, state in doubts
        ],
    }


def left_text(left: Left, look: Look) -> str:
    """What stays as it is, and why: a line for each."""
    lines = ["stays as it is:"] if left else []
    for each, why in left:
        whose = escape(each.workload or each.device or each.node)
        what = f"{each.drift.value} {each.field} of {whose}"
        lines.append(f"  {escape(each.node)}: {what}: {look.paint(escape(why), Role.QUIET)}")
    return "\n".join(lines)


def doubts_text(doubts: Sequence[tuple[Step, StepState | None]]) -> str:
    """What the nodes told of steps in doubt: a line for each."""
    words = {
        StepState.DONE: "is in force",
        StepState.UNDONE: "was not done, or is taken back",
        None: "not known yet: no answer",
    }
    return "\n".join(
        f"{escape(step.node)}: {step.kind.value} of {escape(step.target)} {words[state]}" for step, state in doubts
    )


def _row(difference: Difference) -> list[str | Cell]:
    return [
        escape(difference.node),
        escape(difference.workload or difference.device or ""),
        difference.field,
        Cell(difference.drift.value, _ROLES[difference.drift]),
        _value(difference.desired),
        _value(difference.live),
    ]


def _value(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else escape(str(value))
