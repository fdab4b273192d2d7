"""Why a request gets the place it gets, or none: what keeps each node from holding it, and what would help.

Everything is read from the rooms of the nodes, not from a policy, so it holds for any policy.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Request
from gpualloc.policies.filters import allowed, cordoned, takes_work
from gpualloc.policies.offer import Offer, enough, offer, shortages
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.survey import open_room

MOST_RELEASED = 8
"""Workloads on one node whose release is thought through together."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps some nodes from holding a request."""

    reason: str
    """Such as `7 GPUs given to other work` or `too few CPUs and too little memory`."""
    nodes: tuple[str, ...]
    """The nodes it keeps out, by name."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """One thing that would make the request fit now."""

    kind: str
    """`ask` (for less), `uncordon`, `release` or `migrate`."""
    detail: str
    """One sentence for a person."""
    node: str
    """Where it would fit then."""
    request: Request | None = None
    """What would have to be asked for instead; None when the request stays as it is."""
    workloads: tuple[str, ...] = ()
    """Whose allocations would have to go, or go elsewhere."""


def obstacles(snapshot: Snapshot, rooms: Mapping[str, NodeRoom], request: Request) -> tuple[Obstacle, ...]:
    """What keeps each node from holding the request; those that keep out most nodes first. Nodes that could are left
    out.

    Args:
        snapshot: all nodes, those that do not answer too.
        rooms: what is left on the nodes that answer, by name.
        request: what is asked for.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for node in sorted(snapshot.nodes, key=lambda node: node.name):
        reason = _obstacle(node, rooms.get(node.name), request)
        if reason is not None:
            found[reason].append(node.name)
    ranked = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(Obstacle(reason, tuple(names)) for reason, names in ranked)


def remedies(rooms: Mapping[str, NodeRoom], running: Sequence[Allocation], request: Request) -> tuple[Remedy, ...]:
    """What would make the request fit, the least change first of each kind; empty when nothing that is known would.

    Args:
        rooms: what is left on the nodes that answer, by name.
        running: allocations of ours that could be released.
        request: what fits nowhere now.
    """
    usable = [room for room in rooms.values() if room.node.manageable and allowed(room.node, request)]
    open_now = [room for room in usable if takes_work(room.node)]
    kinds: tuple[Callable[[], Remedy | None], ...] = (
        lambda: _less(open_now, request),
        lambda: _uncordon(usable, request),
        lambda: _release(open_now, rooms, running, request),
    )
    return tuple(remedy for kind in kinds if (remedy := kind()) is not None)


def _obstacle(node: Node, room: NodeRoom | None, request: Request) -> str | None:
    if node.state is not NodeState.OK or room is None:
        return f"does not answer ({node.state.value})"
    if not allowed(node, request):
        return "not among the nodes asked for"
    if not node.manageable:
        return "only observed"
    if node.cordon is not None:
        return cordoned(node.cordon)
    found = offer(room, request)
    short = shortages(found, request)
    return " and ".join(_shortage(what, found) for what in short) if short else None


def _shortage(what: str, found: Offer) -> str:
    match what:
        case "gpus":
            refused = ", ".join(f"{count} {reason}" for reason, count in found.refused)
            return f"too few GPUs ({refused})" if refused else "too few GPUs"
        case "cpus":
            return "too few free CPUs"
        case "cpuset":
            return "no such CPUs"
        case _:
            return "too little free memory"


def _less(rooms: Sequence[NodeRoom], request: Request) -> Remedy | None:
    """The nearest request that fits: one dimension changed, as little as can be."""
    for change, words in _changes(rooms, request):
        for room in sorted(rooms, key=lambda room: room.node.name):
            if enough(offer(room, change), change):
                return Remedy("ask", f"{words} would fit on {room.node.name}", room.node.name, change)
    return None


def _changes(rooms: Sequence[NodeRoom], request: Request) -> Iterator[tuple[Request, str]]:
    """Requests with one demand less, the mildest first."""
    offers = [offer(room, request) for room in rooms]
    if request.cpus is not None:
        most = max((found.room.cpus_free or 0.0 for found in offers if _only(found, request, "cpus")), default=0.0)
        if most >= 0.001:
            yield replace(request, cpus=most), f"{most:g} CPUs instead of {request.cpus:g}"
    if request.memory_mib is not None:
        most_mib = max(
            (found.room.memory_free_mib or 0 for found in offers if _only(found, request, "memory")), default=0
        )
        if most_mib:
            yield replace(request, memory_mib=most_mib), f"{most_mib} MiB of memory instead of {request.memory_mib}"
    if request.gpus > 1:
        most_gpus = max((len(found.usable) for found in offers if _only(found, request, "gpus")), default=0)
        if most_gpus:
            yield replace(request, gpus=most_gpus), f"{most_gpus} instead of {request.gpus} GPUs"
    if request.gpu_model is not None:
        yield replace(request, gpu_model=None), f"another model than {request.gpu_model!r}"
    if request.gpu_memory_mib is not None:
        yield replace(request, gpu_memory_mib=None), "without a demand on GPU memory, it"


def _only(found: Offer, request: Request, what: str) -> bool:
    return shortages(found, request) == (what,)


def _uncordon(rooms: Sequence[NodeRoom], request: Request) -> Remedy | None:
    for room in sorted(rooms, key=lambda room: room.node.name):
        if enough(offer(open_room(room), request), request):
            name = room.node.name
            return Remedy(
                "uncordon", f"it would fit on {name}, which takes no new work (gpualloc uncordon {name})", name
            )
    return None


def _release(
    rooms: Sequence[NodeRoom], everywhere: Mapping[str, NodeRoom], running: Sequence[Allocation], request: Request
) -> Remedy | None:
    """The fewest workloads of one node whose end would make room; when one that fits elsewhere is enough, its move."""
    on_node: defaultdict[str, list[Allocation]] = defaultdict(list)
    for allocation in sorted(running, key=lambda item: (len(item.grants), item.workload)):
        on_node[allocation.node].append(allocation)
    choices = []
    for room in rooms:
        gone = _enough_gone(room, on_node[room.node.name][:MOST_RELEASED], request)
        if gone:
            choices.append((len(gone), sum(len(item.grants) for item in gone), room.node.name, gone))
    if not choices:
        return None
    _, _, name, gone = min(choices, key=lambda item: item[:3])
    return _move(name, gone, everywhere) or Remedy(
        "release",
        f"it would fit on {name} without {_joined(gone)} (gpualloc release {' '.join(item.workload for item in gone)})",
        name,
        workloads=tuple(item.workload for item in gone),
    )


def _enough_gone(room: NodeRoom, running: Sequence[Allocation], request: Request) -> tuple[Allocation, ...]:
    """The fewest of a node's workloads, the smallest first, that make room by going; empty when all are not enough."""
    for allocation in running:
        if _fits_without(room, (allocation,), request):
            return (allocation,)
    gone: list[Allocation] = []
    for allocation in running:
        gone.append(allocation)
        if _fits_without(room, gone, request):
            return tuple(_needed(room, gone, request))
    return ()


def _needed(room: NodeRoom, gone: Sequence[Allocation], request: Request) -> list[Allocation]:
    """Of those that are enough together, those that cannot stay."""
    kept = list(gone)
    for allocation in gone:
        rest = [item for item in kept if item is not allocation]
        if rest and _fits_without(room, rest, request):
            kept = rest
    return kept


def _fits_without(room: NodeRoom, gone: Sequence[Allocation], request: Request) -> bool:
    for allocation in gone:
        room = room.give_back(allocation)
    return enough(offer(room, request), request)


def _move(name: str, gone: Sequence[Allocation], rooms: Mapping[str, NodeRoom]) -> Remedy | None:
    """Where the one workload that is in the way could go; None when it is several, or it fits nowhere else."""
    if len(gone) != 1:
        return None
    (allocation,) = gone
    again = _as_request(allocation)
    others = (room for other, room in sorted(rooms.items()) if other != name and takes_work(room.node))
    place = next((room.node.name for room in others if again and enough(offer(room, again), again)), None)
    if place is None:
        return None
    detail = f"it would fit on {name} if {allocation.workload} ran on {place} instead"
    return Remedy("migrate", detail, name, workloads=(allocation.workload,))


def _as_request(allocation: Allocation) -> Request | None:
    """A request that asks for what the allocation has; None when it holds MIG instances."""
    if any(grant.mig_instance or grant.place for grant in allocation.grants):
        return None
    part = allocation.grants[0] if allocation.grants else None
    shared = part is not None and part.fraction < 1
    return Request(
        command=("",),
        gpus=len(allocation.grants),
        fraction=part.fraction if part and shared else None,
        gpu_memory_mib=part.memory_mib if part and shared else None,
        share_asked=part.share if part and shared else None,
        cpus=allocation.cpus,
        memory_mib=allocation.memory_mib,
    )


def _joined(gone: Sequence[Allocation]) -> str:
    return " and ".join(item.workload for item in gone)
