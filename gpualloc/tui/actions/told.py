"""Lines that tell what an action touches, and what came of several of them; safe to draw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from gpualloc.errors import GpuallocError, PartlyAppliedError, UsageError
from gpualloc.model.gang import living_parts
from gpualloc.model.inventory import Process
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain

Parsed = TypeVar("Parsed")


def text_lines(text: str) -> tuple[Cell, ...]:
    """Text of `gpualloc.views`, which is safe to draw, line by line."""
    return tuple(cell(line) for line in text.splitlines())


def workload_line(workload: Workload, state: State, fate: str) -> Cell:
    """Which one it is, whose, where, and what becomes of it."""
    where = _where(workload, state)
    stands = f"{workload.state.value} on {where}" if where else workload.state.value
    return (
        Span(f"{workload.id} "),
        Span(plain(workload.name, 60), Role.NAME),
        Span(f" of {plain(workload.owner, 40)}, {stands}: "),
        Span(fate, Role.WARN),
    )


def process_lines(workload: Workload, state: State) -> tuple[Cell, ...]:
    """Its processes on GPUs as they were last seen."""
    found: dict[tuple[str, int], list[Process]] = {}
    for node in state.seen.nodes:
        for process in node.processes:
            if process.workload == workload.id:
                found.setdefault((node.name, process.pid), []).append(process)
    return tuple(_process_line(node, same, state) for (node, _), same in found.items())


def _process_line(node: str, same: Sequence[Process], state: State) -> Cell:
    process = same[0]
    gpus = ",".join(str(state.indices.get(one.device, "?")) for one in same)
    user, command = plain(process.user or "unknown user", 40), plain(process.command or "unknown command", 80)
    return cell(f"  pid {process.pid} of {user} on {plain(node)} GPU {gpus}: {command}", Role.DIM)


def one_by_one(done: str, todo: Sequence[tuple[str, Callable[[], str]]]) -> tuple[str, ...]:
    """Do several things, each told by a line; what comes behind one that fails is not begun.

    Args:
        done: what they are when it went well: `suspended`.
        todo: the name of each, and what does it and tells what came of it.

    Raises:
        GpuallocError: the error of the one that failed; PartlyAppliedError where others are done already.
    """
    told: list[str] = []
    for name, act in todo:
        try:
            told.append(act())
        except GpuallocError as error:
            if not told:
                raise
            raise PartlyAppliedError(
                f"{len(told)} of {len(todo)} {done}; {name} is not: {error.message}", hint=error.hint, node=error.node
            ) from error
    return tuple(told) if len(told) == 1 else (f"{len(told)} {done}", *told)


def answered(name: str, parse: Callable[[str], Parsed], text: str) -> Parsed:
    """What an answer means.

    Raises:
        UsageError: nothing; its message begins with the option's name.
    """
    try:
        return parse(text.strip())
    except UsageError as error:
        raise UsageError(f"--{name}: {error.message}", hint=error.hint) from error


def simulated_mark(simulated: bool) -> str:
    """What is said behind everything that was only simulated."""
    return " (simulated)" if simulated else ""


def _where(workload: Workload, state: State) -> str:
    """Nodes and GPUs that it is on; empty when on none."""
    running = workload.state is WorkloadState.RUNNING
    parts = []
    for part in living_parts(workload):
        devices = [state.indices.get(grant.device) for grant in part.grants if running]
        gpus = ",".join("?" if index is None else str(index) for index in dict.fromkeys(devices))
        parts.append(plain(part.node) + (f" GPU {gpus}" if gpus else ""))
    return ", ".join(parts)
