"""From what was seen and what the books say to the room that is left, node by node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Claim, Grant, Share
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Device, DeviceState, MigInstance, Node, Process
from gpualloc.model.units import MAX_MEMORY_MIB
from gpualloc.policies.room import Booking, DeviceRoom, HostBooking, NodeRoom, booking_of, in_order


def survey(problem: Problem) -> dict[str, NodeRoom]:
    """The room left on every node that answered, by name in sorted order.

    Claims count whoever made them, and so do running allocations that have no claim; an allocation that has its claim
    counts once.
    """
    running: defaultdict[str, list[Allocation]] = defaultdict(list)
    for allocation in problem.running:
        for part in allocation.parts:
            running[part.node].append(part)
    nodes = sorted(problem.snapshot.reached, key=lambda node: node.name)
    return {node.name: _room(node, running[node.name]) for node in nodes}


def idle_room(node: Node) -> NodeRoom:
    """The room the node would have if nothing ran on it, every device were healthy and nothing were cordoned."""
    devices = sorted(node.devices, key=_device_order)
    rooms = tuple(_ideal_room(device) for device in devices)
    return NodeRoom(replace(node, cordon=None, host=replace(node.host, memory_available_mib=None)), rooms)


def open_room(room: NodeRoom) -> NodeRoom:
    """The room as it would be if neither the node nor a device of it were cordoned."""
    devices = tuple(replace(each, device=replace(each.device, cordon=None)) for each in room.devices)
    return replace(room, node=replace(room.node, cordon=None), devices=devices)


def _ideal(device: Device) -> Device:
    total_mib = device.memory_total_mib
    if total_mib is None and device.state is not DeviceState.OK:
        total_mib = MAX_MEMORY_MIB  # a sick device tells nothing, so nothing is ruled out
    instances = tuple(replace(instance, memory_used_mib=0) for instance in device.mig_instances)
    return replace(
        device,
        state=DeviceState.OK,
        cordon=None,
        memory_total_mib=total_mib,
        memory_used_mib=0,
        mig_instances=instances,
    )


def _ideal_room(device: Device) -> DeviceRoom:
    """The device as it could be: the MIG mode of one whose driver tells its profiles can be changed."""
    partitions = _partitions(device)
    ideal = _ideal(device)
    return DeviceRoom(replace(ideal, mig_enabled=False) if partitions else ideal, partitions=partitions)


def _partitions(device: Device) -> tuple[MigInstance, ...]:
    """Every instance the device could have, and those it has of profiles that the driver does not tell of."""
    known = {profile.name for profile in device.mig_profiles}
    possible = [
        MigInstance(f"{profile.name}@{start}", profile.name, start, profile.size, profile.memory_mib, 0)
        for profile in device.mig_profiles
        for start in profile.starts[: profile.max_count]
    ]
    there = [replace(instance, memory_used_mib=0) for instance in device.mig_instances if instance.profile not in known]
    return (*possible, *there) if possible else ()


def _device_order(device: Device) -> tuple[int, str]:
    return device.index, device.uuid


def _room(node: Node, running: Iterable[Allocation]) -> NodeRoom:
    running = sorted(running, key=lambda allocation: allocation.workload)
    booked: defaultdict[str, list[Booking]] = defaultdict(list)
    for claim in node.claims:
        booked[claim.device].append(booking_of(claim.workload, _grant_of(claim)))
    for allocation in running:
        for grant in allocation.grants:
            booked[grant.device].append(booking_of(allocation.workload, grant))
    seen: defaultdict[str, list[Process]] = defaultdict(list)
    for process in node.processes:
        seen[process.device].append(process)
    devices = sorted(node.devices, key=_device_order)
    if node.cordon is not None:  # it is one of each of its devices
        devices = [replace(device, cordon=device.cordon or node.cordon) for device in devices]
    host_bookings = tuple(
        HostBooking(allocation.workload, allocation.cpus or 0.0, allocation.memory_mib or 0, measured=True)
        for allocation in running
    )
    rooms = tuple(_device_room(device, booked[device.uuid], seen[device.uuid]) for device in devices)
    return NodeRoom(node, rooms, host_bookings)


def _grant_of(claim: Claim) -> Grant:
    return Grant(claim.device, claim.share, claim.mig_instance, claim.fraction, claim.memory_mib)


def _device_room(device: Device, booked: Iterable[Booking], processes: Iterable[Process]) -> DeviceRoom:
    bookings: dict[tuple[str, str | None], Booking] = {}
    for booking in booked:
        key = booking.workload, booking.mig_instance
        bookings[key] = _stricter(bookings[key], booking) if key in bookings else booking
    strangers = set()
    for process in processes:
        holder = _holder(process, bookings)
        if holder is None:
            strangers.add(process.mig_instance)
        else:
            booking = bookings[holder]
            bookings[holder] = replace(booking, seen_mib=booking.seen_mib + (process.gpu_memory_used_mib or 0))
    unbooked = None
    if device.memory_used_mib is not None:
        unbooked = max(0, device.memory_used_mib - sum(booking.seen_mib for booking in bookings.values()))
    return DeviceRoom(device, in_order(list(bookings.values())), unbooked, frozenset(strangers))


def _stricter(one: Booking, other: Booking) -> Booking:
    """The claim and our books may differ after an interrupted change: the larger of both is not free."""
    memory = None if None in (one.memory_mib, other.memory_mib) else max(one.memory_mib or 0, other.memory_mib or 0)
    share = one.share if one.share is other.share else Share.EXCLUSIVE
    return replace(one, share=share, fraction=max(one.fraction, other.fraction), memory_mib=memory)


def _holder(process: Process, bookings: Mapping[tuple[str, str | None], Booking]) -> tuple[str, str | None] | None:
    """The booking the process runs under; the driver does not always tell the MIG instance."""
    if process.workload is None:
        return None
    if (process.workload, process.mig_instance) in bookings:
        return process.workload, process.mig_instance
    own = sorted((key for key in bookings if key[0] == process.workload), key=lambda key: key[1] or "")
    return own[0] if own and process.mig_instance is None else None
