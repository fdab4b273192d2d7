"""Whole devices freed for a request by moving work elsewhere. Pure.

Work that is moved gets its new place in the same plan. Only idle work that allows it stands still for another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.moving import Movable
from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.rebalancing import MoveKind
from gpualloc.model.workload import Request, Workload
from gpualloc.planning.resizing import with_devices
from gpualloc.planning.suspension import moved_to
from gpualloc.policies.filters import allowed, takes_work, why_not
from gpualloc.policies.offer import Candidate, allocate, enough, offer
from gpualloc.policies.room import DeviceRoom, NodeRoom, Target

Rooms = Mapping[str, NodeRoom]
"""What is left on each node, by name."""


class Going(Struct, frozen=True):
    """Work that goes elsewhere, and how."""

    movable: Movable
    kind: MoveKind
    to: Allocation | None
    """None: it stands still until there is room again."""

    @property
    def cost_gpu_s(self) -> float:
        """What it loses, in seconds of one GPU."""
        return self.movable.costs[self.kind]


class Room(Struct, frozen=True):
    """A place for a request, and the work that goes for it."""

    allocation: Allocation
    going: tuple[Going, ...]
    rooms: Rooms
    """What is left everywhere once all of this is done."""

    @property
    def cost_gpu_s(self) -> float:
        """What all that go lose together, in seconds of one GPU."""
        return math.fsum(each.cost_gpu_s for each in self.going)


def room_for(
    workload: Workload, rooms: Rooms, movables: Mapping[str, Movable], late: Callable[[], bool] = lambda: False
) -> Room | None:
    """The cheapest way to free whole devices for the work; None when there is none, or none was found in time.

    Args:
        workload: asks for whole devices of one node.
        rooms: what is left on each node.
        movables: running work that may be moved, by id.
        late: whether there is no more time to look.
    """
    request = workload.request
    if request.gpus == 0 or request.gang or request.share is not Share.EXCLUSIVE or request.numa:
        return None
    bids = sorted(
        (
            bid
            for among in _choices(movables)
            for room in rooms.values()
            if (bid := _bid(room, request, among)) is not None
        ),
        key=lambda bid: (bid.least, bid.room.node.name),
    )
    best: Room | None = None
    for bid in bids:
        if late() or (best is not None and bid.least >= best.cost_gpu_s):
            break
        found = _freed(workload, bid, rooms)
        if found is not None and (best is None or found.cost_gpu_s < best.cost_gpu_s):
            best = found
    return best


class _Bid(Struct, frozen=True):
    """A node on which enough devices could be emptied."""

    room: NodeRoom
    devices: tuple[str, ...]
    """UUIDs of the devices to be emptied or taken, as many as are asked for."""
    going: tuple[Movable, ...]
    least: float
    """What they cost at least, in seconds of one GPU."""


def _choices(movables: Mapping[str, Movable]) -> list[Mapping[str, Movable]]:
    """Who may go and how: everybody in the way that costs least, or work with devices to spare by giving up these.

    A way that costs less may lead nowhere: there must be room for the work elsewhere.
    """
    sparing = {
        identity: replace(each, costs={MoveKind.RESIZE: each.costs[MoveKind.RESIZE]})
        for identity, each in movables.items()
        if MoveKind.RESIZE in each.costs
    }
    return [movables, {**movables, **sparing}, sparing] if sparing else [movables]


def _bid(room: NodeRoom, request: Request, movables: Mapping[str, Movable]) -> _Bid | None:
    """The devices of the node that are emptied cheapest, as many as are asked for."""
    if not takes_work(room.node) or not allowed(room.node, request):
        return None
    priced = []
    for device in room.devices:
        holders = {booking.workload for booking in device.bookings}
        costs = [_cost(device.device.uuid, movables.get(holder)) for holder in holders]
        if math.inf not in costs and why_not(Target(replace(device, bookings=())), request) is None:
            missed = max((_missed(device.device.uuid, movables[holder]) for holder in holders), default=0)
            order = (math.fsum(costs), missed, device.device.index, device.device.uuid)
            priced.append((order, tuple(sorted(holders))))
    chosen = sorted(priced)[: request.gpus]
    if len(chosen) < request.gpus:
        return None
    going = {holder for _, holders in chosen for holder in holders}
    least = math.fsum(movables[holder].costs[movables[holder].cheapest] for holder in going)
    devices = tuple(uuid for (*_, uuid), _ in chosen)
    return _Bid(room, devices, tuple(movables[holder] for holder in sorted(going)), least) if going else None


def _cost(device: str, holder: Movable | None) -> float:
    """What it costs at least that the holder leaves the device, in seconds of one GPU; infinite when it cannot."""
    costs = {} if holder is None else holder.costs
    spared = holder is not None and device in holder.spare
    return min((cost for kind, cost in costs.items() if kind is not MoveKind.RESIZE or spared), default=math.inf)


def _missed(device: str, holder: Movable) -> int:
    """The place of the device among those that the holder may spare, 0 for the one that it misses least."""
    return holder.spare.index(device) if device in holder.spare else 0


def _freed(workload: Workload, bid: _Bid, rooms: Rooms) -> Room | None:
    """The request placed where others go, and those placed anew; None when one of them has no place."""
    room = bid.room
    for each in bid.going:
        room = room.give_back(_allocation(each.workload))
    chosen = sorted(room.devices, key=lambda device: device.device.uuid not in bid.devices)
    taken = _placed(workload.id, room, workload.request, chosen)
    if taken is None:
        return None
    left = {**rooms, room.node.name: room.book(taken)}
    going = []
    for each in sorted(bid.going, key=lambda movable: (-movable.gpus, movable.workload.id)):
        found = next(_ways(each, left), None)
        if found is None:
            return None
        going.append(found)
        if found.to is not None:
            left[found.to.node] = left[found.to.node].book(found.to)
    return Room(taken, tuple(going), left)


def _ways(movable: Movable, rooms: Rooms) -> Iterator[Going]:
    """The places where the work could go, what costs least first."""
    for kind in sorted(movable.costs, key=lambda kind: (movable.costs[kind], kind)):
        if kind is MoveKind.SUSPEND:
            yield Going(movable, kind, None)
            continue
        found = _WAYS[kind](movable, rooms)
        if found is not None:
            yield Going(movable, kind, found)


def relocated(movable: Movable, rooms: Rooms, among: Sequence[str] | None = None) -> Allocation | None:
    """The work on other devices of its node and of its models, those with the least left first; None: there are none.

    Args:
        movable: its devices are given back in `rooms` already.
        rooms: what is left on each node.
        among: UUIDs of the devices it may go to; None is any.
    """
    before = _allocation(movable.workload)
    room = rooms[before.node]
    models = {each.device.uuid: each.device.model for each in room.devices}
    asked = replace(movable.workload.request, gpu_memory_mib=_memory_mib(movable.workload, room))
    chosen: list[str] = []
    for grant in before.grants:
        usable = [
            device
            for device in room.devices
            if device.device.uuid not in chosen
            and (among is None or device.device.uuid in among)
            and device.device.model == models.get(grant.device)
            and why_not(Target(device), asked) is None
        ]
        if not usable:
            return None
        chosen.append(min(usable, key=_fullest).device.uuid)
    after = moved_to(before, chosen)
    return None if after.grants == before.grants else after


def _requeued(movable: Movable, rooms: Rooms) -> Allocation | None:
    """The work on the node, other than its own, that it fills most; None when it fits on none."""
    request, before = movable.workload.request, _allocation(movable.workload)
    found = []
    for name, room in sorted(rooms.items()):
        if name != before.node and takes_work(room.node) and allowed(room.node, request):
            taken = _placed(movable.workload.id, room, request, sorted(room.devices, key=_fullest))
            if taken is not None:
                found.append((sum(device.fraction_free for device in room.devices), name, taken))
    return min(found, key=lambda item: item[:2])[2] if found else None


def _shrunk(movable: Movable, rooms: Rooms) -> Allocation | None:
    """The work on what nobody else has been given of its devices; None when that is less than it needs, or all."""
    before = _allocation(movable.workload)
    taken = {device.device.uuid for device in rooms[before.node].devices if device.bookings}
    kept = [grant.device for grant in before.grants if grant.device not in taken]
    spared = {grant.device for grant in before.grants} & taken
    return with_devices(before, kept) if kept and spared and spared <= set(movable.spare) else None


_WAYS: Mapping[MoveKind, Callable[[Movable, Rooms], Allocation | None]] = {
    MoveKind.RELOCATE: relocated,
    MoveKind.REQUEUE: _requeued,
    MoveKind.RESIZE: _shrunk,
}
"""Where the work would be, for each way in which it stays at work."""


def _placed(identity: str, room: NodeRoom, request: Request, devices: Sequence[DeviceRoom]) -> Allocation | None:
    """The request on the first of these devices that serve it; None when the node cannot take it."""
    had = offer(room, request)
    if not enough(had, request):
        return None
    order = {device.device.uuid: place for place, device in enumerate(devices)}
    chosen = sorted(had.usable, key=lambda target: order[target.room.device.uuid])[: request.gpus]
    return allocate(identity, Candidate(room, request, had.usable, tuple(chosen)))


def _memory_mib(workload: Workload, room: NodeRoom) -> int | None:
    """GPU memory that it needs on each device: what it has booked or uses, the larger; None: a whole device's."""
    booked = [grant.memory_mib for grant in _allocation(workload).grants]
    if None in booked:
        return workload.request.gpu_memory_mib
    used = [each.gpu_memory_used_mib or 0 for each in room.node.processes if each.workload == workload.id]
    return max(*(mib or 0 for mib in booked), *used, 0)


def _fullest(device: DeviceRoom) -> tuple[float, int, str]:
    return device.fraction_free, device.device.index, device.device.uuid


def _allocation(workload: Workload) -> Allocation:
    assert workload.allocation is not None  # only work with devices is moved
    return workload.allocation
