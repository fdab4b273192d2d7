"""What keeps one node from holding one request, a hurdle after the other, and the node without each of them.

Everything is read from the room of the node and the offer it makes, not from a policy, so it holds for any policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import DeviceState
from gpualloc.model.units import MAX_MEMORY_MIB
from gpualloc.model.visible import SEVERAL_MIG_BRANCH
from gpualloc.model.workload import Request
from gpualloc.policies.filters import GIVEN, cordoned, labelled, named
from gpualloc.policies.offer import Offer, offer, shortages
from gpualloc.policies.room import DeviceRoom, NodeRoom

Lift = Callable[[NodeRoom, Request], tuple[NodeRoom, Request]]
"""Gives the room and the request as they would be without a hurdle."""
DeviceLift = Callable[[DeviceRoom], DeviceRoom]


class Hurdle(Struct, frozen=True):
    """One thing that keeps a node from holding a request."""

    reason: str
    """Such as `GPUs given to other work`, or `too few free CPUs`."""
    lift: Lift | None
    """What it would be like without it; None when that cannot be told."""


def hurdles(room: NodeRoom, request: Request) -> tuple[str, ...]:
    """What must be otherwise for the request to fit on the node, no more than needed; empty when it fits.

    Of several ways in which enough devices could be had, the one that concerns the most devices is told.
    """
    found: list[Hurdle] = []
    now, asked = room, request
    while (hurdle := _next(now, asked)) is not None and hurdle.reason not in {each.reason for each in found}:
        found.append(hurdle)
        if hurdle.lift is None:
            break
        now, asked = hurdle.lift(now, asked)
    for hurdle in tuple(found):
        others = [each for each in found if each is not hurdle]
        if others and hurdle.lift is not None and _fits_without(room, request, others):
            found = others
    return tuple(hurdle.reason for hurdle in found)


def _fits_without(room: NodeRoom, request: Request, lifted: list[Hurdle]) -> bool:
    for hurdle in lifted:
        if hurdle.lift is None:
            return False
        room, request = hurdle.lift(room, request)
    return _next(room, request) is None


def _next(room: NodeRoom, request: Request) -> Hurdle | None:
    """The first hurdle there is; None when the request fits."""
    for hurdle in _of_node(room, request):
        return hurdle
    found = offer(room, request)
    short = shortages(found, request)
    return _of_offer(short[0], found, request) if short else None


def _of_node(room: NodeRoom, request: Request) -> Iterator[Hurdle]:
    """What rules the node out whatever is free there."""
    node = room.node
    if not named(node, request):
        yield Hurdle("not among the nodes asked for", _asking(nodes=()))
    for pair in request.labels:
        if not labelled(node, replace(request, labels=(pair,))):
            yield Hurdle(f"without the label {pair[0]}={pair[1]}", _not_labelled(pair))
    for path in request.near:
        if not node.near.get(path):
            known = "not known to have" if node.near.get(path) is None else "without"
            yield Hurdle(f"{known} {path}", _not_near(path))
    if not node.manageable:
        yield Hurdle("only observed", lambda here, asked: (_managed(here), asked))
    if node.cordon is not None:
        yield Hurdle(cordoned(node.cordon), lambda here, asked: (without_node_cordon(here), asked))


def _of_offer(short: str, found: Offer, request: Request) -> Hurdle:
    match short:
        case "gpus":
            return _of_devices(found, request)
        case "cpus":
            known = found.room.cpus_free is not None
            return Hurdle("too few free CPUs" if known else "number of CPUs unknown", _asking(cpus=None))
        case "cpuset":
            return Hurdle(f"no CPUs {request.cpuset}", _asking(cpuset=None))
        case _:
            known = found.room.memory_free_mib is not None
            return Hurdle("too little free memory" if known else "free memory unknown", _asking(memory_mib=None))


def _of_devices(found: Offer, request: Request) -> Hurdle:
    """What keeps the most of the node's devices from serving; when nothing does, there are too few."""
    noun = "MIG instances" if request.share is Share.MIG else "GPUs"
    refused = [reason for reason, count in found.refused if count]
    if refused:
        return Hurdle(f"{noun} {refused[0]}", _lift_of(refused[0]))
    return Hurdle(f"too few {noun}", _fewer(len(found.usable)))


def _fewer(gpus: int) -> Lift:
    if gpus:
        return _asking(gpus=gpus)
    return _asking(
        gpus=0,
        gpu_memory_mib=None,
        gpu_model=None,
        fraction=None,
        mig_profile=None,
        sm_count=None,
        share_asked=None,
        numa=False,
    )


def _asking(**changed: object) -> Lift:
    return lambda room, request: (room, replace(request, **changed))


def _not_labelled(pair: tuple[str, str]) -> Lift:
    return lambda room, asked: (room, replace(asked, labels=tuple(each for each in asked.labels if each != pair)))


def _not_near(path: str) -> Lift:
    return lambda room, asked: (room, replace(asked, near=tuple(each for each in asked.near if each != path)))


def _on_devices(lift: DeviceLift) -> Lift:
    return lambda room, request: (replace(room, devices=tuple(map(lift, room.devices))), request)


def _on_node(**changed: object) -> Lift:
    return lambda room, request: (replace(room, node=replace(room.node, **changed)), request)


def _managed(room: NodeRoom) -> NodeRoom:
    return replace(room, node=replace(room.node, spec=replace(room.node.spec, manage=True)))


def without_node_cordon(room: NodeRoom) -> NodeRoom:
    """The room if the node itself were not cordoned; cordons of single devices stay."""
    own = {device.uuid: device.cordon for device in room.node.devices}
    devices = tuple(replace(each, device=replace(each.device, cordon=own[each.device.uuid])) for each in room.devices)
    return replace(room, node=replace(room.node, cordon=None), devices=devices)


def _lift_of(reason: str) -> Lift | None:
    """What would be without the reason for which devices are refused; None for one that is not known here."""
    exact = _LIFTS.get(reason)
    if exact is not None:
        return exact
    if reason.startswith("cordoned ("):
        return _on_devices(lambda room: _without_cordon(room, reason))
    if reason.startswith("not healthy: "):
        return _on_devices(lambda room: _well(room, reason.removeprefix("not healthy: ")))
    return None


def _without_cordon(room: DeviceRoom, reason: str) -> DeviceRoom:
    cordon = room.device.cordon
    return (
        room
        if cordon is None or cordoned(cordon) != reason
        else replace(room, device=replace(room.device, cordon=None))
    )


def _well(room: DeviceRoom, state: str) -> DeviceRoom:
    sick = str(room.device.state) == state
    return replace(room, device=replace(room.device, state=DeviceState.OK)) if sick else room


def _mode(enabled: bool) -> DeviceLift:
    return lambda room: replace(room, device=replace(room.device, mig_enabled=enabled))


def _without_strangers(room: DeviceRoom) -> DeviceRoom:
    return replace(_with_memory_accounted_for(room), strangers=frozenset())


def _with_memory_accounted_for(room: DeviceRoom) -> DeviceRoom:
    """With nothing but what is booked in use; what is not known to be in use stays unknown."""
    return room if room.unbooked_mib is None else replace(room, unbooked_mib=0)


def _memory_known(room: DeviceRoom) -> DeviceRoom:
    """With nothing but what is booked in use; what is not known of its size is enough."""
    device = room.device
    instances = tuple(
        each
        if None not in (each.memory_total_mib, each.memory_used_mib)
        else replace(each, memory_total_mib=each.memory_total_mib or MAX_MEMORY_MIB, memory_used_mib=0)
        for each in device.mig_instances
    )
    if room.memory_free_mib is not None:
        return replace(room, device=replace(device, mig_instances=instances))
    total_mib = device.memory_total_mib or MAX_MEMORY_MIB
    return replace(room, device=replace(device, memory_total_mib=total_mib, mig_instances=instances), unbooked_mib=0)


def _memory_enough(room: DeviceRoom) -> DeviceRoom:
    instances = tuple(
        replace(each, memory_total_mib=MAX_MEMORY_MIB, memory_used_mib=0) for each in room.device.mig_instances
    )
    bookings = tuple(replace(each, memory_mib=0, seen_mib=0) for each in room.bookings)
    device = replace(room.device, memory_total_mib=MAX_MEMORY_MIB, mig_instances=instances)
    return replace(room, device=device, bookings=bookings, unbooked_mib=0)


def _compute_free(room: DeviceRoom) -> DeviceRoom:
    return replace(room, bookings=tuple(replace(each, fraction=0.0) for each in room.bookings))


_LIFTS: dict[str, Lift] = {
    "of another model": _asking(gpu_model=None),
    "in MIG mode": _on_devices(_mode(enabled=False)),
    "not in MIG mode": _on_devices(_mode(enabled=True)),
    GIVEN: _on_devices(lambda room: replace(room, bookings=())),
    "used by a process nobody booked": _on_devices(_without_strangers),
    "with unknown free memory": _on_devices(_memory_known),
    "with memory in use that no process accounts for": _on_devices(_with_memory_accounted_for),
    "with too little free memory": _on_devices(_memory_enough),
    "too full": _on_devices(_compute_free),
    "of another profile": _asking(mig_profile=None, share_asked=Share.MIG),
    "with an unknown number of multiprocessors": _asking(sm_count=None),
    "with too few multiprocessors": _asking(sm_count=None),
    "on a node without MPS": _on_node(mps=True),
    "near an unknown NUMA node": _asking(numa=False),
    "near another NUMA node": _asking(numa=False),
    f"with a driver below R{SEVERAL_MIG_BRANCH}, which shows a process one": _on_node(
        driver_version=f"{SEVERAL_MIG_BRANCH}.0"
    ),
}
"""What would be without each reason of the filters and of offers. `on another device` has none: no other request, and
nothing that goes away, brings instances of two devices together."""
