"""What `tune` works on: traces from files or gpualloc's own past, and the seeds of the orders."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.trace_files import read_trace
from gpualloc.engine.history_trace import history_trace
from gpualloc.errors import UsageError
from gpualloc.model.units import whole_number
from gpualloc.sim.traces.trace import Tasks, TraceNode

if TYPE_CHECKING:
    from gpualloc.engine.context import Context

FEWEST = 50
"""Fewer tasks say too little of what will be asked for."""
MOST_SEEDS = 1000
_SEEDS = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")


class Inputs(Struct, frozen=True):
    """A cluster and the tasks to tune for."""

    nodes: tuple[TraceNode, ...]
    traces: tuple[Tasks, ...]
    names: tuple[str, ...]
    """How people know the traces."""
    messages: tuple[str, ...] = ()
    """What is odd about them."""


def from_files(nodes: str, tasks: Sequence[str]) -> Inputs:
    """The traces that files hold, on the same nodes.

    Raises:
        BrokenInputError: a file cannot be read or is wrong, or there is no GPU: names file, row and line.
    """
    traces = [read_trace(nodes, path) for path in tasks]
    return Inputs(
        nodes=traces[0].nodes,
        traces=tuple(trace.tasks for trace in traces),
        names=tuple(os.path.basename(path) for path in tasks),
        messages=tuple(message for trace in traces for message in trace.messages),
    )


def from_history(world: Context) -> Inputs:
    """What gpualloc was asked for and saw before, on the nodes as they are now.

    Raises:
        UsageError: too little is known to tune for.
        BrokenInputError: nothing at all is.
        UnreachableError: no node answers.
    """
    with nodes_seen(world) as progress:
        found = history_trace(world, progress)
    if len(found.tasks) < FEWEST:
        raise UsageError(
            f"the recorded history has {len(found.tasks)} tasks, and {FEWEST} are needed",
            hint="tune on a trace: --nodes FILE --tasks FILE",
        )
    return Inputs(found.nodes, (found.tasks,), ("history",), found.messages)


def seeds(flag: str, text: str) -> tuple[int, ...]:
    """Seeds such as `0-3,8`, ascending, each once.

    Raises:
        UsageError: it is no list of seeds, or they are too many.
    """
    found: set[int] = set()
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if match is None:
            raise UsageError(f"{flag} {text!r} is no list of seeds", hint="write it as 0-3 or 0,2,5-7")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + MOST_SEEDS:
            raise UsageError(f"{flag}: {part.strip()} is no range of 1 to {MOST_SEEDS} seeds")
        found.update(range(first, last + 1))
    if len(found) > MOST_SEEDS:
        raise UsageError(f"{flag} names {len(found)} seeds", hint=f"at most {MOST_SEEDS}")
    return tuple(sorted(found))


def counting(flag: str, text: str, most: int) -> int:
    """A whole number from 1.

    Raises:
        UsageError: it is none, or larger than that.
    """
    number = whole_number(flag, text)
    if not 1 <= number <= most:
        raise UsageError(f"{flag} {number} is out of range", hint=f"{flag} takes 1 to {most}")
    return number
