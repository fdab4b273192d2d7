"""What a simulation begins with: trace files or gpualloc's own history, and nodes to add."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.cli import shared
from gpualloc.cli.progress import nodes_seen
from gpualloc.cli.trace_files import Trace, read_trace
from gpualloc.engine.history_trace import history_trace
from gpualloc.errors import UsageError
from gpualloc.sim.traces.added import added_nodes
from gpualloc.sim.traces.models import models_of
from gpualloc.sim.traces.trace import TraceNode

NodesFile = Annotated[str | None, typer.Option("--nodes", metavar="FILE", help="Nodes of the trace (docs/traces.md).")]
TasksFile = Annotated[str | None, typer.Option("--tasks", metavar="FILE", help="Tasks of the trace (docs/traces.md).")]
FromHistory = Annotated[
    bool, typer.Option("--from-history", help="Take the fleet as it is and all work it has had as the trace.")
]
Add = Annotated[
    list[str] | None,
    typer.Option("--add", metavar="NODES", help="Simulate also with these nodes more: 8xH100, 4x8xH100:cpus=128."),
]


class Given(Struct, frozen=True):
    """A trace, and what the command line says of it."""

    trace: Trace
    added: tuple[TraceNode, ...]
    """Nodes to add; empty when none were named."""
    fixed: frozenset[int]
    """Rows of tasks that may not be moved."""

    @property
    def more(self) -> tuple[TraceNode, ...]:
        """All nodes, those to add last."""
        return self.trace.nodes + self.added

    def added_data(self, after: Mapping[str, object]) -> dict[str, object]:
        """`data.added` of the answer; `after` is what came of it with the added nodes."""
        return {"nodes": len(self.added), "gpus": sum(node.gpus for node in self.added), "after": after}


def read_given(
    ctx: typer.Context, nodes: str | None, tasks: str | None, *, from_history: bool, add: Sequence[str] | None
) -> Given:
    """Read what was given.

    Raises:
        UsageError: neither or both of files and history were given, or a text names no nodes.
        BrokenInputError: a file is wrong, or there is too little history.
        UnreachableError: the history was asked for and no node answered.
    """
    if from_history == (nodes is not None or tasks is not None) or (nodes is None) != (tasks is None):
        raise UsageError("a simulation needs one trace", hint="--nodes FILE --tasks FILE, or --from-history")
    if nodes is not None and tasks is not None:
        trace, fixed = read_trace(nodes, tasks), frozenset[int]()
    else:
        trace, fixed = _remembered(ctx)
    added = [node for number, text in enumerate(add or ()) for node in added_nodes(text, trace.nodes, number)]
    told = _new_models(trace, added)
    return Given(replace(trace, messages=(*trace.messages, *told)), tuple(added), fixed)


def _new_models(trace: Trace, added: Sequence[TraceNode]) -> list[str]:
    known = sorted(models_of(trace.nodes))
    return [
        f"no node had the GPU model {model} before: only tasks that take any model, or name it, go there"
        for model in sorted(models_of(added).difference(known))
    ]


def _remembered(ctx: typer.Context) -> tuple[Trace, frozenset[int]]:
    with shared.open_world(ctx, looks=True) as world, nodes_seen(world) as progress:
        found = history_trace(world, progress)
    return Trace(found.nodes, found.tasks, found.messages), found.fixed
