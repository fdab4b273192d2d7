"""Compare what gpualloc made with what is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubtful_nodes
from gpualloc.engine.observe import observe
from gpualloc.engine.settle import catch_up
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Workload
from gpualloc.planning.drift import Difference, differences


class Drift(Struct, frozen=True):
    """The answer of `gpualloc drift`."""

    snapshot: Snapshot
    differences: tuple[Difference, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """Nodes that did not answer, or tell of no work: nothing is known of what we made there."""
        silent = (node for node in self.snapshot.nodes if node.state is not NodeState.OK or node.limited is not None)
        return tuple(node.name for node in silent)


def drift(ctx: Context, names: Sequence[str] | None = None, progress: Callable[[Node], None] | None = None) -> Drift:
    """Look at all nodes, or those named, and compare.

    Raises:
        NotFoundError: a name is not in the fleet.
        UnreachableError: not one of the nodes answered.
    """
    snapshot = observe(ctx, names, progress)
    return compare(ctx, snapshot, catch_up(ctx, snapshot))


def compare(ctx: Context, snapshot: Snapshot, workloads: Sequence[Workload]) -> Drift:
    """Compare what was seen with our books; work that has ended may be among `workloads`."""
    live = [workload for workload in workloads if not workload.state.ended]
    found = differences(snapshot, live, ctx.journal.desired(), ctx.journal.controller, doubtful_nodes(ctx))
    return Drift(snapshot, found)
