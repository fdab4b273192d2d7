"""Which running work may be moved, how, and what that costs. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

from msgspec import Struct

from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.rebalancing import MoveKind
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.giving_way import Way, way_out

SWITCH_S = 5.0
"""What suspending and resuming takes beside the copies, seconds; assumed, not measured."""
COPY_GIB_PER_S = 4.0
"""How fast GPU memory goes to the host and back; assumed, on the careful side of what PCIe does."""
RESIZE_S = 30.0
"""What a change of its number of devices costs the work on all of them; assumed, not measured."""
RESTART_S = 60.0
"""What a start costs the work until it is where it was; assumed. What it says about saving itself comes on top."""


class Movable(Struct, frozen=True):
    """Running work that may be moved."""

    workload: Workload
    costs: Mapping[MoveKind, float]
    """What each way that is open costs, in seconds of one GPU; never empty."""
    spare: tuple[str, ...] = ()
    """UUIDs of the devices that a resize may take from it, those first that it misses least."""

    @property
    def cheapest(self) -> MoveKind:
        """The way that costs least."""
        return min(self.costs, key=lambda kind: (self.costs[kind], kind))

    @property
    def gpus(self) -> float:
        """Devices it has, parts counted as parts."""
        return gpus_of(self.workload)


def gpus_of(workload: Workload) -> float:
    """Devices the work has, parts counted as parts; 0 when it has none."""
    grants = workload.allocation.grants if workload.allocation else ()
    return math.fsum(grant.fraction for grant in grants)


def movable(workloads: Iterable[Workload], snapshot: Snapshot) -> dict[str, Movable]:
    """The work that may be moved, by id.

    Work that is adopted, a gang, without devices, in doubt, on a node that does not answer or may not be changed, or
    that gives way only by being lost, may not. Work that said what
    range it can use may give up devices beyond its least.
    """
    nodes = {node.name: node for node in snapshot.reached if node.manageable}
    found = {}
    for workload in sorted(workloads, key=lambda work: work.id):
        node = nodes.get(workload.allocation.node) if workload.allocation else None
        if workload.state is not WorkloadState.RUNNING or workload.adopted or workload.request.gang or node is None:
            continue
        costs = _costs(workload, node)
        if costs and gpus_of(workload):
            found[workload.id] = Movable(workload, costs, spare_of(workload))
    return found


def resizable(workload: Workload, node: Node) -> bool:
    """Whether the number of devices of the work may be changed: it runs, and said by what command it is told.

    That it asked never to give way is no obstacle: it asked to be told.
    """
    most = workload.request.gpus_max
    runs = workload.state is WorkloadState.RUNNING and not workload.adopted and workload.allocation is not None
    return (
        runs
        and most is not None
        and bool(workload.request.resize_command)
        and node.manageable
        and _here(workload, node)
    )


def spare_of(workload: Workload, idle: Collection[str] = ()) -> tuple[str, ...]:
    """UUIDs of the devices that the work has beyond its least: idle ones first, then the last in its own order."""
    grants = workload.allocation.grants if workload.allocation else ()
    if workload.request.gpus_max is None:
        return ()
    order = sorted(range(len(grants)), key=lambda place: (grants[place].device not in idle, -place))
    return tuple(grants[place].device for place in order[: max(0, len(grants) - workload.request.gpus)])


def _costs(workload: Workload, node: Node) -> dict[MoveKind, float]:
    ways = {way.way for way in way_out(workload, node)}
    gpus = gpus_of(workload)
    costs = {}
    if Way.SUSPEND in ways and _here(workload, node):
        costs[MoveKind.RELOCATE] = gpus * still_s(workload, node)
    if Way.CHECKPOINT in ways:
        costs[MoveKind.REQUEUE] = gpus * (RESTART_S + workload.request.checkpoint_grace_s)
    if resizable(workload, node) and spare_of(workload):
        costs[MoveKind.RESIZE] = gpus * RESIZE_S
    return costs


def _here(workload: Workload, node: Node) -> bool:
    """Whether the node knows the work by its record, so that it can be suspended."""
    return any(record.workload == workload.id and record.end is None for record in node.workloads)


def still_s(workload: Workload, node: Node) -> float:
    """How long the work stands still while it is suspended and resumed; its GPU memory goes both ways."""
    used_mib = sum(each.gpu_memory_used_mib or 0 for each in node.processes if each.workload == workload.id)
    return SWITCH_S + 2 * used_mib / 1024 / COPY_GIB_PER_S
