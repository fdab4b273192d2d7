"""What is left on a node: free CPUs, memory, devices and MIG instances. Frozen; booking gives a new room.

GPU memory counts as used by the larger of what is booked and what is measured: a workload that has just started and
does not show in the measurement yet keeps its booking, one that uses more than its booking keeps what it uses, and
memory in use that nobody booked is never offered.
"""

from __future__ import annotations

import math

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.inventory import Device, DeviceState, MigInstance, Node

MEMORY_MARGIN_MIB = 64
"""GPU memory a node wants free beyond the need before it accepts a claim (docs/wire.md)."""
FRACTION_TOLERANCE = 1e-9
"""Slack when fractions are added up, so that ten tenths fill a device."""


class Booking(Struct, frozen=True):
    """A part of a device that is given to a workload."""

    workload: str
    mig_instance: str | None
    """UUID of the MIG instance; None on a whole device."""
    share: Share
    fraction: float
    memory_mib: int | None
    """GPU memory given; None is all of it."""
    seen_mib: int = 0
    """GPU memory the workload's processes were seen to use, MiB."""

    @property
    def used_mib(self) -> int | None:
        """Memory that counts as used; None is all of it."""
        return None if self.memory_mib is None else max(self.memory_mib, self.seen_mib)


class DeviceRoom(Struct, frozen=True):
    """A device and who holds parts of it."""

    device: Device
    bookings: tuple[Booking, ...] = ()
    """In a fixed order, so that equal rooms are equal."""
    unbooked_mib: int | None = 0
    """Memory measured as used beyond what the holders' processes use, MiB; None when the measurement is unknown."""
    strangers: frozenset[str | None] = frozenset()
    """Where processes run that nobody booked: MIG UUIDs, None for the device itself."""
    partitions: tuple[MigInstance, ...] = ()
    """In an idle room: MIG instances the device could have, each of which excludes some of the others."""

    @property
    def idle(self) -> bool:
        """Whether nobody holds a part of it and no unbooked process was seen."""
        return not self.bookings and not self.strangers

    @property
    def fraction_free(self) -> float:
        """Part of the compute nobody booked, 0..1; does not depend on the order of bookings."""
        return max(0.0, 1.0 - math.fsum(booking.fraction for booking in self.bookings))

    @property
    def shareable_mib(self) -> int | None:
        """Memory that all time-slice workloads together may have, MiB; None when unknown."""
        if self.device.memory_total_mib is None or self.unbooked_mib is None:
            return None
        return max(0, self.device.memory_total_mib - self.unbooked_mib)

    @property
    def memory_free_mib(self) -> int | None:
        """Memory that can still be promised, MiB; None when the measurement is unknown."""
        free = self.shareable_mib
        for booking in self.bookings:
            if free is not None:
                free = 0 if booking.used_mib is None else max(0, free - booking.used_mib)
        return free

    def holds(self, mig_instance: str | None) -> bool:
        """Whether that MIG instance, or the device as a whole, is given to someone."""
        return any(booking.mig_instance in (None, mig_instance) for booking in self.bookings)


class HostBooking(Struct, frozen=True):
    """CPUs and memory of a node given to a workload."""

    workload: str
    cpus: float
    memory_mib: int
    measured: bool = False
    """Whether it ran already when the host was measured, so that its use shows in the measurement."""


class Target(Struct, frozen=True):
    """What a grant can be made of: a whole device, or one MIG instance on it."""

    room: DeviceRoom
    instance: MigInstance | None = None

    @property
    def order(self) -> tuple[int, str, int, str]:
        """The fixed order among equals: device index, UUID, place of the instance, its UUID."""
        start = -1 if self.instance is None or self.instance.start is None else self.instance.start
        return self.room.device.index, self.room.device.uuid, start, self.instance.uuid if self.instance else ""


class NodeRoom(Struct, frozen=True):
    """A node and what is left on it."""

    node: Node
    devices: tuple[DeviceRoom, ...]
    """By index, then UUID."""
    host_bookings: tuple[HostBooking, ...] = ()
    """By workload."""

    @property
    def cpus_free(self) -> float | None:
        """CPUs less reserved and booked ones; None when the host does not tell its CPUs."""
        if self.node.host.cpus is None:
            return None
        booked = math.fsum(booking.cpus for booking in self.host_bookings)
        return max(0.0, self.node.host.cpus - self.node.spec.reserved_cpus - booked)

    @property
    def memory_free_mib(self) -> int | None:
        """Host memory that can be promised, MiB: the lesser of books and measurement; None when unknown."""
        host = self.node.host
        if host.memory_total_mib is None:
            return None
        booked = sum(booking.memory_mib for booking in self.host_bookings)
        free = host.memory_total_mib - self.node.spec.reserved_memory_mib - booked
        if host.memory_available_mib is not None:
            unseen = sum(booking.memory_mib for booking in self.host_bookings if not booking.measured)
            free = min(free, host.memory_available_mib - unseen)
        return max(0, free)

    @property
    def in_use(self) -> bool:
        """Whether work was given anything here, or a process was seen on a device."""
        return bool(self.host_bookings) or not all(each.idle for each in self.devices)

    def targets(self, share: Share) -> tuple[Target, ...]:
        """Everything on the node that a grant of this share could name, free or not, in the fixed order."""
        if share is not Share.MIG:
            return tuple(Target(room) for room in self.devices)
        found = [
            Target(room, instance)
            for room in map(_partitioned, self.devices)
            for instance in (room.partitions or room.device.mig_instances)
        ]
        return tuple(sorted(found, key=lambda target: target.order))

    def book(self, allocation: Allocation) -> NodeRoom:
        """The room left after the allocation."""
        devices = tuple(_booked(room, allocation) for room in self.devices)
        host = HostBooking(allocation.workload, allocation.cpus or 0.0, allocation.memory_mib or 0)
        bookings = sorted((*self.host_bookings, host), key=lambda booking: booking.workload)
        return replace(self, devices=devices, host_bookings=tuple(bookings))

    def give_back(self, allocation: Allocation) -> NodeRoom:
        """The room left without the allocation; an allocation that is not booked here changes nothing."""
        devices = tuple(_unbooked(room, allocation) for room in self.devices)
        bookings = tuple(booking for booking in self.host_bookings if booking.workload != allocation.workload)
        return replace(self, devices=devices, host_bookings=bookings)


def healthy(room: DeviceRoom) -> bool:
    """Whether the device takes work at all."""
    return room.device.state is DeviceState.OK


def _partitioned(room: DeviceRoom) -> DeviceRoom:
    """The room as MIG instances see it: what could be made is made in MIG mode."""
    return replace(room, device=replace(room.device, mig_enabled=True)) if room.partitions else room


def whole(room: DeviceRoom) -> bool:
    """Whether the device is offered as a whole; one in MIG mode is offered through its instances only."""
    return not room.device.mig_enabled


def booking_of(workload: str, grant: Grant) -> Booking:
    """A grant as the room books it."""
    return Booking(workload, grant.mig_instance, grant.share, grant.fraction, grant.memory_mib)


def in_order(bookings: list[Booking]) -> tuple[Booking, ...]:
    """Bookings in the one order in which a room keeps them."""
    return tuple(sorted(bookings, key=lambda booking: (booking.workload, booking.mig_instance or "")))


def _booked(room: DeviceRoom, allocation: Allocation) -> DeviceRoom:
    new = [booking_of(allocation.workload, grant) for grant in allocation.grants if grant.device == room.device.uuid]
    return replace(room, bookings=in_order([*room.bookings, *new])) if new else room


def _unbooked(room: DeviceRoom, allocation: Allocation) -> DeviceRoom:
    gone = {grant.mig_instance for grant in allocation.grants if grant.device == room.device.uuid}
    kept = tuple(
        booking
        for booking in room.bookings
        if booking.workload != allocation.workload or booking.mig_instance not in gone
    )
    return room if kept == room.bookings else replace(room, bookings=kept)
