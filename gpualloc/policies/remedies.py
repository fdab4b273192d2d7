"""What would make a request fit now: less, fewer conditions, an end of a cordon, work that goes or goes elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.workload import Request
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.hurdles import without_node_cordon
from gpualloc.policies.nearest import Nearest, with_fewer_conditions, with_less
from gpualloc.policies.offer import Candidate, allocate, enough, offer
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.survey import open_room
from gpualloc.policies.wording import joined

MOST_NODES = 64
"""Nodes on which the end of work is thought through; those that lack the fewest devices."""
MOST_RELEASED = 8
"""Workloads on one node whose end is thought through together."""
MOST_MOVED = 8
"""Workloads for which another place is looked for."""


class RemedyKind(StrEnum):
    """What would have to be done; the words are part of the JSON contract."""

    ASK = "ask"
    """Ask for something else."""
    UNCORDON = "uncordon"
    RECONCILE = "reconcile"
    """Look at a node that is doubtful."""
    GO_FIRST = "go first"
    """Go before work that waits, too."""
    MIGRATE = "migrate"
    """Let one workload run elsewhere."""
    RELEASE = "release"
    """End workloads."""


class Remedy(Struct, frozen=True):
    """One thing that would make the request fit now."""

    kind: RemedyKind
    detail: str
    """What it would be, as the end of the sentence `it fits on NODE ...`."""
    node: str
    """Where the request would fit then."""
    request: Request | None = None
    """What would have to be asked for instead; None when the request stays as it is."""
    devices: tuple[str, ...] = ()
    """UUIDs of devices whose own cordons would have to end."""
    whole_node: bool = False
    """Whether the node's cordon would have to end."""
    workloads: tuple[str, ...] = ()
    """Whose allocations would have to go, or go elsewhere."""
    to: str | None = None
    """The node on which the one workload would run instead, which may be the same."""


class Occupant(Struct, frozen=True):
    """Work that has a place, and what it asked for."""

    allocation: Allocation
    request: Request | None
    """None when it cannot run elsewhere."""


def remedies(
    rooms: Mapping[str, NodeRoom], running: Sequence[Occupant], first: Sequence[Occupant], request: Request
) -> tuple[Remedy, ...]:
    """What would make the request fit, the least trouble of each kind; empty when nothing that is known would, and for
    gangs, which need several nodes at once.

    Args:
        rooms: what is left on the nodes that answer, by name, when the request has its turn.
        running: work of ours that runs.
        first: work that waits, too, and got its place before, which `rooms` have booked.
        request: what fits nowhere.
    """
    if request.gang:
        return ()
    usable = {
        name: room for name, room in sorted(rooms.items()) if room.node.manageable and allowed(room.node, request)
    }
    ways = (
        _ask(with_less(rooms, request)),
        _ask(with_fewer_conditions(rooms, request)),
        _uncordon(usable.values(), request),
        _go_first(usable, first, request),
        *_end_of_work(usable, rooms, running, request),
    )
    return tuple(remedy for remedy in ways if remedy is not None)


def _ask(nearest: Nearest | None) -> Remedy | None:
    if nearest is None:
        return None
    return Remedy(RemedyKind.ASK, nearest.change, nearest.node, nearest.request)


# ---- cordons


def _uncordon(rooms: Iterable[NodeRoom], request: Request) -> Remedy | None:
    """The node on which the fewest cordons would have to end."""
    found = []
    for room in rooms:
        if enough(offer(open_room(room), request), request):
            found.append(_cordons(room, request))
    return min(found, key=lambda remedy: (len(remedy.devices) + remedy.whole_node, remedy.node), default=None)


def _cordons(room: NodeRoom, request: Request) -> Remedy:
    """The cordons of the node that cannot stay."""
    node = room.node.name
    opened = without_node_cordon(room)
    closed = [each.device for each in opened.devices if each.device.cordon is not None]
    for device in tuple(closed):
        others = {each.uuid for each in closed} - {device.uuid}
        if enough(offer(_without_cordons(opened, others), request), request):
            closed.remove(device)
    words = ["its cordon"] if room.node.cordon is not None else []
    words += [f"the cordon of its GPU {device.index}" for device in closed]
    return Remedy(
        RemedyKind.UNCORDON,
        f"without {joined(words)}",
        node,
        devices=tuple(device.uuid for device in closed),
        whole_node=room.node.cordon is not None,
    )


def _without_cordons(room: NodeRoom, devices: set[str]) -> NodeRoom:
    return replace(
        room,
        devices=tuple(
            replace(each, device=replace(each.device, cordon=None)) if each.device.uuid in devices else each
            for each in room.devices
        ),
    )


# ---- work that goes


class _Ended(Struct, frozen=True):
    """Work on one node without which the request fits there."""

    room: NodeRoom
    gone: tuple[Occupant, ...]

    @property
    def cost(self) -> tuple[int, int, str, tuple[str, ...]]:
        """Smaller is less trouble: workloads, their devices, then by name."""
        devices = sum(len(each.allocation.grants) for each in self.gone)
        return len(self.gone), devices, self.room.node.name, self.workloads

    @property
    def workloads(self) -> tuple[str, ...]:
        return tuple(each.allocation.workload for each in self.gone)


def _go_first(usable: Mapping[str, NodeRoom], first: Sequence[Occupant], request: Request) -> Remedy | None:
    ended = min(_ends(usable, first, request), key=lambda each: each.cost, default=None)
    if ended is None:
        return None
    detail = f"before {joined(list(ended.workloads))}, which get{'s' if len(ended.gone) == 1 else ''} the place"
    return Remedy(RemedyKind.GO_FIRST, detail, ended.room.node.name, workloads=ended.workloads)


def _end_of_work(
    usable: Mapping[str, NodeRoom], rooms: Mapping[str, NodeRoom], running: Sequence[Occupant], request: Request
) -> Iterator[Remedy]:
    """The workload that could run elsewhere, and the fewest whose end would make room."""
    ends = sorted(_ends(usable, running, request), key=lambda each: each.cost)
    alone = (each for each in ends if len(each.gone) == 1 and each.gone[0].request is not None)
    moves = (_moved(ended, rooms, request) for ended in islice(alone, MOST_MOVED))
    move = next((remedy for remedy in moves if remedy is not None), None)
    if move is not None:
        yield move
    if ends:
        words = f"without {joined(list(ends[0].workloads))}"
        yield Remedy(RemedyKind.RELEASE, words, ends[0].room.node.name, workloads=ends[0].workloads)


def _ends(usable: Mapping[str, NodeRoom], there: Sequence[Occupant], request: Request) -> Iterator[_Ended]:
    """Each single workload that is enough, and where none is, the fewest that are found, for each node."""
    on_node: defaultdict[str, list[Occupant]] = defaultdict(list)
    for each in sorted(there, key=lambda each: (len(each.allocation.grants), each.allocation.workload)):
        on_node[each.allocation.node].append(each)
    nodes = [room for name, room in usable.items() if name in on_node and takes_work(room.node)]
    lacking = sorted(nodes, key=lambda room: (request.gpus - len(offer(room, request).usable), room.node.name))
    could = (room for room in lacking if _fits_without(room, on_node[room.node.name], request))
    for room in islice(could, MOST_NODES):
        yield from _enough_gone(room, on_node[room.node.name], request)


def _enough_gone(room: NodeRoom, there: Sequence[Occupant], request: Request) -> Iterator[_Ended]:
    alone = [each for each in there if _fits_without(room, (each,), request)]
    if alone:
        yield from (_Ended(room, (each,)) for each in alone)
        return
    gone = list(there[:MOST_RELEASED])
    if not _fits_without(room, gone, request):
        return
    for each in reversed(there[:MOST_RELEASED]):  # the largest stay first
        rest = [one for one in gone if one is not each]
        if _fits_without(room, rest, request):
            gone = rest
    yield _Ended(room, tuple(sorted(gone, key=lambda each: each.allocation.workload)))


def _fits_without(room: NodeRoom, gone: Sequence[Occupant], request: Request) -> bool:
    return enough(offer(_without(room, gone), request), request)


def _without(room: NodeRoom, gone: Sequence[Occupant]) -> NodeRoom:
    for each in gone:
        room = room.give_back(each.allocation)
    return room


def _moved(ended: _Ended, rooms: Mapping[str, NodeRoom], request: Request) -> Remedy | None:
    """Where the one workload could run instead: on what is left of its node, or on the first other; None: nowhere."""
    (mover,) = ended.gone
    again = mover.request
    if again is None:
        return None
    name = ended.room.node.name
    left = {**rooms, name: _taken(_without(ended.room, ended.gone), request)}
    for room in (left[name], *(room for other, room in sorted(left.items()) if other != name)):
        if takes_work(room.node) and allowed(room.node, again) and enough(offer(room, again), again):
            place = f"on another GPU of {name}" if room.node.name == name else f"on {room.node.name}"
            workload = mover.allocation.workload
            detail = f"if {workload} ran {place}"
            return Remedy(RemedyKind.MIGRATE, detail, name, workloads=(workload,), to=room.node.name)
    return None


def _taken(room: NodeRoom, request: Request) -> NodeRoom:
    """The room once the request has the first devices that would do."""
    usable = offer(room, request).usable
    return room.book(allocate("", Candidate(room, request, usable, usable[: request.gpus])))
