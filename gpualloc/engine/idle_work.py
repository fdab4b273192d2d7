"""Idle work gives way to work that waits, and goes on when nobody needs its place. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from gpualloc.engine.making_room import Rooms, relocated
from gpualloc.engine.moving import Movable, spare_of
from gpualloc.engine.outlook import Outlook
from gpualloc.model.allocation import Allocation
from gpualloc.model.rebalancing import IDLE_REASON, MOVING_REASON, MoveKind, RebalanceRules
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.guards import Past
from gpualloc.policies.filters import why_not
from gpualloc.policies.room import Target

IDLE_USE = 0.02
"""Compute use, 0..1, up to which a device counts as not used: drivers report a percent or two for nothing."""


Back = tuple[Workload, Allocation, Rooms]
"""Work that goes on, its place, and what is left everywhere after it."""


def giving_way(movables: Mapping[str, Movable], outlook: Outlook, rules: RebalanceRules) -> dict[str, Movable]:
    """The movable work, of which that which is idle, and is expected to stay so, may also stand still.

    Its cost is what it is expected to want to compute until the horizon.
    """
    return {
        identity: _may_stand_still(replace(each, spare=_spare(each, outlook)), outlook, rules)
        for identity, each in movables.items()
    }


def _spare(movable: Movable, outlook: Outlook) -> tuple[str, ...]:
    return spare_of(movable.workload, outlook.idle_devices.get(movable.workload.id, frozenset()))


def _may_stand_still(movable: Movable, outlook: Outlook, rules: RebalanceRules) -> Movable:
    identity = movable.workload.id
    use, idle_s = outlook.use.get(identity), outlook.idle_s.get(identity)
    relocating = movable.costs.get(MoveKind.RELOCATE)
    if not rules.idle_after_s or relocating is None or use is None or idle_s is None:
        return movable
    if idle_s < rules.idle_after_s or use.high > IDLE_USE:
        return movable
    cost = relocating + movable.gpus * max(0.0, use.median) * rules.horizon_s
    return replace(movable, costs={**movable.costs, MoveKind.SUSPEND: cost})


def for_whom(movables: Mapping[str, Movable], workload: Workload) -> dict[str, Movable]:
    """What may be done for that work: nobody stands still for work of lower priority."""
    kept = {}
    for identity, each in movables.items():
        costs = each.costs
        if each.workload.request.priority > workload.request.priority:
            costs = {kind: cost for kind, cost in costs.items() if kind is not MoveKind.SUSPEND}
        if costs:
            kept[identity] = replace(each, costs=costs)
    return kept


def first_in_line(workloads: Iterable[Workload], rooms: Rooms, past: Past, cool_down_s: float) -> list[Back]:
    """As `going_on`, of the work that has stood still longer than the cool-down: it goes before all that waits.

    Else it would never go on while ever new work waits.
    """
    due = [work for work in workloads if past.now_s - past.last_moved.get(work.id, -math.inf) >= cool_down_s]
    return going_on(due, rooms)


def going_on(workloads: Iterable[Workload], rooms: Rooms) -> list[Back]:
    """The work that stood still for others, or was moved half-way, and has room again; the oldest first.

    Returns:
        each with its place, and what is left everywhere after it and those before it.
    """
    back: list[Back] = []
    for workload in sorted(workloads, key=lambda work: (work.submitted_at_s, work.id)):
        if workload.state is not WorkloadState.SUSPENDED or workload.reason not in (IDLE_REASON, MOVING_REASON):
            continue
        place = _place_of(workload, rooms)
        if place is not None:
            rooms = {**rooms, place.node: rooms[place.node].book(place)}
            back.append((workload, place, rooms))
    return back


def _place_of(workload: Workload, rooms: Rooms) -> Allocation | None:
    """Where it was if that is free, else other devices of its node; None when there is no room."""
    before = workload.allocation
    room = rooms.get(before.node) if before is not None else None
    if before is None or room is None or not room.node.manageable:
        return None
    devices = {device.device.uuid: device for device in room.devices}
    old = [devices.get(grant.device) for grant in before.grants]
    memory_mib = max((grant.memory_mib or 0 for grant in before.grants), default=0)
    asked = replace(workload.request, gpu_memory_mib=memory_mib or workload.request.gpu_memory_mib)
    if all(device is not None and why_not(Target(device), asked) is None for device in old):
        return before
    return relocated(Movable(workload, {}), rooms)
