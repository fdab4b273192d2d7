"""Work that said what range of devices it can use is given more when nobody wants them, and gives idle ones back. Pure.

Demand is counted with such work at its least (`engine.demand_series`), so what it has beyond that is set against it
here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.making_room import Rooms
from gpualloc.engine.moving import RESIZE_S, gpus_of, resizable, spare_of
from gpualloc.engine.outlook import DEMAND, HISTORY, RUN_TIMES, SNAPSHOT, Outlook
from gpualloc.engine.worth import demand_worth, whole_free
from gpualloc.model.allocation import Allocation
from gpualloc.model.forecast import QUANTILES
from gpualloc.model.rebalancing import Move, MoveKind, RebalanceRules
from gpualloc.model.workload import Workload
from gpualloc.planning.resizing import with_devices
from gpualloc.policies.filters import takes_work, why_not
from gpualloc.policies.room import DeviceRoom, NodeRoom, Target

_BAND = QUANTILES[-1] - QUANTILES[0]
"""Part of what may come that a band counts."""
_LEAST_GAIN_GPU_S = 1.0
"""What a device must gain to be given, in seconds of one GPU: more than sums are off by rounding."""


class Elastic(Struct, frozen=True):
    """What changes in number rest on."""

    workloads: Sequence[Workload]
    """All work that has not ended."""
    outlook: Outlook
    rules: RebalanceRules
    budgeted: Collection[str] = ()
    """Pools with a power budget: nothing grows there, since nobody counted the power."""


class Resize(Struct, frozen=True):
    """One change in number."""

    move: Move
    rooms: Rooms
    """What is left everywhere after it."""


def given_back(elastic: Elastic, rooms: Rooms, identity: str) -> Resize | None:
    """The work without the devices beyond its least that it leaves idle, where demand is expected to want them.

    None when it leaves none idle, or nobody is expected to want one.
    """
    found = _of(elastic, rooms, identity)
    if found is None:
        return None
    workload, before, room = found
    idle = elastic.outlook.idle_devices.get(identity, frozenset())
    given_up = [device for device in spare_of(workload, idle) if device in idle]
    pool = room.node.spec.pool
    worth = _Level.of(elastic, rooms, pool).worth_of(len(given_up))
    if not given_up or worth <= 0:
        return None
    to = with_devices(before, [grant.device for grant in before.grants if grant.device not in given_up])
    why = (
        f"leaves {len(given_up)} of {len(before.grants)} GPUs idle for {elastic.rules.idle_after_s:.0f} s and more,"
        f" and demand for pool {pool} is expected to want them"
    )
    return Resize(_move(workload, to, worth, why, (SNAPSHOT, HISTORY, DEMAND)), _left(rooms, before, to))


def grown(elastic: Elastic, rooms: Rooms, identity: str) -> Resize | None:
    """The work with as many free devices of its node and model as gain most; None when none gains anything.

    Without a forecast of its pool's demand it stays as it is, and so it does while it leaves a device idle.
    """
    found = _of(elastic, rooms, identity)
    if found is None or elastic.outlook.idle_devices.get(identity):
        return None
    workload, before, room = found
    pool, most = room.node.spec.pool, workload.request.gpus_max or 0
    if not takes_work(room.node) or pool in elastic.budgeted or not elastic.outlook.forecast(pool):
        return None
    free = _usable(workload, before, room)[: max(0, most - len(before.grants))]
    level = _Level.of(elastic, rooms, pool)
    lasts_s, told = _lasts_s(elastic, identity)
    gain, count = _most(len(free), lasts_s, level)
    if not count:
        return None
    added = [device.device.uuid for device in free[:count]]
    to = with_devices(before, [*(grant.device for grant in before.grants), *added])
    high = max(band.high for _, band in elastic.outlook.forecast(pool))
    why = (
        f"{count} more GPUs for up to {lasts_s:.0f} s: nothing waits for them,"
        f" and demand for pool {pool} is expected to be at most {high:.0f} GPUs"
    )
    rests_on = (SNAPSHOT, DEMAND, *((RUN_TIMES,) if told else ()))
    return Resize(_move(workload, to, gain, why, rests_on), _left(rooms, before, to))


def oldest_first(workloads: Iterable[Workload]) -> Iterator[str]:
    """Ids of the work whose number may change at all, the longest running first."""
    ranged = [work for work in workloads if work.request.gpus_max is not None]
    yield from (work.id for work in sorted(ranged, key=lambda work: (work.started_at_s or math.inf, work.id)))


class _Level(Struct, frozen=True):
    """Up to where the demand of a pool finds devices."""

    elastic: Elastic
    pool: str
    taken: float
    """Devices that are held, parts counted as parts, without what work has beyond its least."""
    free: int

    @classmethod
    def of(cls, elastic: Elastic, rooms: Rooms, pool: str) -> _Level:
        here = {name: room for name, room in rooms.items() if room.node.spec.pool == pool}
        held = math.fsum(1.0 - device.fraction_free for room in here.values() for device in room.devices)
        return cls(elastic, pool, held - _beyond_least(elastic.workloads, here), whole_free(here.values()))

    def worth_of(self, count: int) -> float:
        """What it is worth that so many more devices are free, in seconds of one GPU."""
        return demand_worth(self.elastic.outlook, self.pool, self.taken, self.free, count)

    def lost_with(self, count: int) -> float:
        """What is lost when so many fewer are free; demand beyond its band is taken to be as that within."""
        rules = self.elastic.rules
        wanted = demand_worth(self.elastic.outlook, self.pool, self.taken, self.free - count, count)
        return wanted / _BAND + count * rules.idle_worth * rules.horizon_s


def _beyond_least(workloads: Iterable[Workload], rooms: Mapping[str, NodeRoom]) -> int:
    """Devices that work on those nodes has beyond its least, as they are booked now."""
    ranged = [work for work in workloads if work.request.gpus_max is not None and work.allocation is not None]
    found = 0
    for workload in ranged:
        room = rooms.get(workload.allocation.node) if workload.allocation is not None else None
        devices = room.devices if room is not None else ()
        held = sum(booking.workload == workload.id for device in devices for booking in device.bookings)
        found += max(0, held - workload.request.gpus)
    return found


def _of(elastic: Elastic, rooms: Rooms, identity: str) -> tuple[Workload, Allocation, NodeRoom] | None:
    """The work, what it has and its node; None when its number cannot be changed."""
    workload = next((work for work in elastic.workloads if work.id == identity), None)
    before = workload.allocation if workload is not None else None
    room = rooms.get(before.node) if before is not None else None
    if workload is None or before is None or room is None or not resizable(workload, room.node):
        return None
    return workload, before, room


def _usable(workload: Workload, before: Allocation, room: NodeRoom) -> list[DeviceRoom]:
    """Free whole devices of the node that are like those it has, by index."""
    own = {grant.device for grant in before.grants}
    kinds = {_kind(device, workload) for device in room.devices if device.device.uuid in own}
    return [
        device
        for device in room.devices
        if device.device.uuid not in own
        and {_kind(device, workload)} == kinds
        and why_not(Target(device), workload.request) is None
    ]


def _kind(device: DeviceRoom, workload: Workload) -> tuple[str, int | None]:
    """What devices of one piece of work have in common: the model, and the NUMA node where that was asked for."""
    return device.device.model, device.device.numa_node if workload.request.numa else None


def _most(free: int, lasts_s: float, level: _Level) -> tuple[float, int]:
    """The gain of as many devices as each gain something, in seconds of one GPU, and how many they are.

    Each one more is wanted by others at least as much as the one before.
    """
    gain, count = 0.0, 0
    while count < free and (more := (count + 1) * lasts_s - level.lost_with(count + 1)) > gain + _LEAST_GAIN_GPU_S:
        gain, count = more, count + 1
    return gain, count


def _lasts_s(elastic: Elastic, identity: str) -> tuple[float, bool]:
    """For how long more devices count, and whether that rests on the run times of others."""
    band = elastic.outlook.remaining_s.get(identity)
    if band is None or math.isnan(band.median):
        return elastic.rules.horizon_s, False
    return min(elastic.rules.horizon_s, band.median), True


def _move(workload: Workload, to: Allocation, gain: float, why: str, rests_on: tuple[str, ...]) -> Move:
    return Move(
        MoveKind.RESIZE,
        to.node,
        why,
        rests_on,
        gain_gpu_s=gain,
        cost_gpu_s=gpus_of(workload) * RESIZE_S,
        bundle=0,
        workload=workload.id,
        owner=workload.owner,
        since_s=workload.started_at_s,
        to=to,
    )


def _left(rooms: Rooms, before: Allocation, to: Allocation) -> Rooms:
    return {**rooms, to.node: rooms[to.node].give_back(before).book(to)}
