"""Whole devices emptied ahead of demand: work that shares devices is put together, planned over the hours ahead.

Work counts with the part of a device that it booked, for as long as it is expected to go on: what it booked it may use
at any time. Work only goes to devices of its own node and model, where it is resumed as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from gpualloc.engine.making_room import Going, Rooms, relocated
from gpualloc.engine.moving import Movable
from gpualloc.engine.outlook import Outlook
from gpualloc.engine.worth import demand_worth, whole_free
from gpualloc.model.allocation import Share
from gpualloc.model.rebalancing import MoveKind, RebalanceRules
from gpualloc.policies.filters import takes_work
from gpualloc.policies.room import MEMORY_MARGIN_MIB, Booking, DeviceRoom, NodeRoom, healthy, whole
from gpualloc.policies.temporal import Prices, TemporalPlan, TemporalProblem, solve

INTERVALS = 12
"""Into how many equal parts the horizon is cut."""
_HOUR_S = 3600.0


class Emptied(Struct, frozen=True):
    """A device that work goes away from, so that it is whole."""

    node: str
    device: DeviceRoom
    going: tuple[Going, ...]
    worth_gpu_s: float
    """What it is worth, in seconds of one GPU."""
    why: str
    rooms: Rooms
    """What is left everywhere once all of this is done."""


class Prospect(Struct, frozen=True):
    """What emptying is decided on."""

    rooms: Rooms
    """What is left on each node."""
    movables: Mapping[str, Movable]
    """Running work that may be moved, by id."""
    outlook: Outlook
    """The forecasts of demand and of run times."""
    rules: RebalanceRules
    """The horizon, and what an emptied device is worth anyway."""


def emptied(
    prospect: Prospect, skipped: Collection[str] = (), late: Callable[[], bool] = lambda: False
) -> Emptied | None:
    """The first device that is worth emptying now, by node; None when there is none, or none was found in time.

    Args:
        prospect: what to decide on.
        skipped: UUIDs of devices that are left as they are.
        late: whether there is no more time to look.
    """
    worths: dict[str, tuple[float, str]] = {}
    for name, room in sorted(prospect.rooms.items()):
        pool = room.node.spec.pool
        if pool not in worths:
            worths[pool] = _worth(pool, prospect)
        worth, why = worths[pool]
        for devices in _groups(room) if worth > 0 else ():
            if late():
                return None
            for device, going, rooms in _of_group(prospect, name, devices, worth):
                if device.device.uuid not in skipped:
                    return Emptied(name, device, going, worth, why, rooms)
    return None


def _worth(pool: str, prospect: Prospect) -> tuple[float, str]:
    """What one more whole device of the pool is worth, in seconds of one GPU, and why."""
    outlook, rules = prospect.outlook, prospect.rules
    here = [room for room in prospect.rooms.values() if room.node.spec.pool == pool]
    free = whole_free(here)
    taken = math.fsum(1.0 - _usable(device) for room in here for device in room.devices)
    expected = demand_worth(outlook, pool, taken, free, 1)
    bands = [band for _, band in outlook.forecast(pool)]
    most = max((band.high for band in bands), default=0.0)
    why = (
        f"up to {most:.0f} GPUs of pool {pool} are expected to be wanted, {taken:.1f} are taken, {free} whole are free"
    )
    if expected <= 0:
        why = f"an emptied device is worth {rules.idle_worth:g} of one in use (rebalance.idle_worth)"
    return expected + rules.idle_worth * rules.horizon_s, why


def _usable(device: DeviceRoom) -> float:
    """The part of the device that is not taken, parts counted as parts."""
    usable = healthy(device) and whole(device) and device.device.cordon is None and not device.strangers
    return device.fraction_free if usable else 0.0


def _groups(room: NodeRoom) -> list[list[DeviceRoom]]:
    """The devices of the node by model on which work shares time or nobody is, where there are two and more."""
    if not takes_work(room.node):
        return []
    groups: dict[str, list[DeviceRoom]] = {}
    for device in room.devices:
        shared = all(booking.share is Share.TIME_SLICE for booking in device.bookings)
        if shared and _usable(device) > 0 and device.shareable_mib is not None:
            groups.setdefault(device.device.model, []).append(device)
    return [group for _, group in sorted(groups.items()) if sum(bool(device.bookings) for device in group) > 1]


def _of_group(
    prospect: Prospect, node: str, devices: Sequence[DeviceRoom], worth: float
) -> Iterator[tuple[DeviceRoom, tuple[Going, ...], Rooms]]:
    """The devices of a group that a plan over the horizon empties now, with who goes where."""
    held = [(place, booking) for place, device in enumerate(devices) for booking in device.bookings]
    plan = solve(_problem(prospect, devices, held, worth))
    for place, device in enumerate(devices):
        leaving = [n for n, (source, _) in enumerate(held) if source == place]
        if not leaving or any(plan.place[n, 0] == place for n in leaving):
            continue
        targets = [(prospect.movables[held[n][1].workload], _target(plan, n, devices)) for n in leaving]
        found = _gone(prospect.rooms, node, targets)
        if found is not None:
            yield device, *found


def _target(plan: TemporalPlan, item: int, devices: Sequence[DeviceRoom]) -> str:
    return devices[int(plan.place[item, 0])].device.uuid


def _gone(rooms: Rooms, node: str, leaving: Sequence[tuple[Movable, str]]) -> tuple[tuple[Going, ...], Rooms] | None:
    """The work on its new devices; None when a filter does not let it there."""
    room = rooms[node]
    for movable, _ in leaving:
        allocation = movable.workload.allocation
        assert allocation is not None  # it has a booking
        room = room.give_back(allocation)
    left = {**rooms, node: room}
    going = []
    for movable, target in leaving:
        to = relocated(movable, left, among=[target])
        if to is None:
            return None
        going.append(Going(movable, MoveKind.RELOCATE, to))
        left[node] = left[node].book(to)
    return tuple(going), left


def _problem(
    prospect: Prospect, devices: Sequence[DeviceRoom], held: Sequence[tuple[int, Booking]], worth: float
) -> TemporalProblem:
    """The bookings over the horizon; prices are hours of one GPU."""
    rules, movables = prospect.rules, prospect.movables
    ends_s = np.arange(INTERVALS) * (rules.horizon_s / INTERVALS)
    movable = [_may_go(booking, movables) for _, booking in held]
    stays_s = np.array([_stays_s(booking, prospect.outlook) for _, booking in held])
    alive = stays_s[:, None] > ends_s[None, :]
    alive[:, 0] = True
    memory = np.array([float(booking.used_mib or 0) for _, booking in held])
    costs = [
        movables[booking.workload].costs[MoveKind.RELOCATE] / _HOUR_S if free else math.inf
        for free, (_, booking) in zip(movable, held, strict=True)
    ]
    return TemporalProblem(
        items=tuple(f"{booking.workload} {n}" for n, (_, booking) in enumerate(held)),
        hours=np.full(INTERVALS, rules.horizon_s / INTERVALS / _HOUR_S),
        alive=alive,
        compute=np.repeat(np.array([[booking.fraction] for _, booking in held]), INTERVALS, axis=1),
        memory=np.repeat(memory[:, None], INTERVALS, axis=1),
        devices=tuple(device.device.uuid for device in devices),
        device_memory=np.array([float(max(0, (device.shareable_mib or 0) - MEMORY_MARGIN_MIB)) for device in devices]),
        on_price=np.full(len(devices), worth / rules.horizon_s),
        place=np.array([place for place, _ in held]),
        pinned=~np.array(movable),
        move_price=np.array([cost if math.isfinite(cost) else 0.0 for cost in costs]),
        prices=Prices(overload=math.inf),
    )


def _may_go(booking: Booking, movables: Mapping[str, Movable]) -> bool:
    """Whether the work may be moved, and has no other device that would have to stay."""
    found = movables.get(booking.workload)
    allocation = found.workload.allocation if found is not None else None
    single = allocation is not None and len(allocation.grants) == 1
    return single and found is not None and MoveKind.RELOCATE in found.costs


def _stays_s(booking: Booking, outlook: Outlook) -> float:
    """How long it goes on yet, on the long side; for ever when nobody can tell."""
    band = outlook.remaining_s.get(booking.workload)
    return math.inf if band is None else band.high
