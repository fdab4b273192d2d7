"""What is left on every node, as arrays: the state that all built-in policies decide on.

Nodes are rows and devices are columns, both in the order that breaks ties. Everything is counted in whole numbers
(`model.shapes`), so equal states are equal on every machine. A node is read from its `NodeRoom`; a placement changes
the arrays directly, which gives the same numbers as booking it in the room and reading that again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gpualloc.model.allocation import Share
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.filters import memory_in_use, on_cordon, unhealthy
from gpualloc.policies.room import DeviceRoom, NodeRoom, Target, whole

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PARTIAL = (Share.TIME_SLICE, Share.MPS)
"""Ways in which several have a device at once."""


def milli(part: float) -> int:
    """A part as 1/1000, rounded up past what floating point loses, so that it is never counted too small."""
    return math.ceil(round(part * 1000, 6))


class Spot(Struct, frozen=True):
    """Where a request goes: a row of the board and columns of it, the lowest first."""

    node: int
    devices: tuple[int, ...]


class Board:
    """Free CPU, memory and devices of all nodes.

    `nodes` is N, `devices` the most devices of any node, G. Columns beyond a node's devices are closed.
    """

    def __init__(self, rooms: Sequence[NodeRoom], *, by_memory: bool = False) -> None:
        """Read the rooms, which become rows in the order given; `by_memory` puts devices with less memory first."""
        self.names = tuple(room.node.name for room in rooms)
        self.row: Mapping[str, int] = {name: row for row, name in enumerate(self.names)}
        self.nodes = len(rooms)
        self.devices = max((len(room.devices) for room in rooms), default=0)
        self.columns = tuple(_columns(room, by_memory) for room in rooms)
        """Of each row, which device of the room each column is."""
        shape = self.nodes, self.devices
        self.cpu: Ints = np.zeros(self.nodes, np.int64)
        """Free CPU of each node, 1/1000; 0 when it does not tell its CPUs."""
        self.memory: Ints = np.zeros(self.nodes, np.int64)
        """Free host memory, MiB; 0 when unknown."""
        self.free: Ints = np.zeros(shape, np.int64)
        """Free compute of each device, 1/1000; 0 where nothing can be taken."""
        self.whole: Flags = np.zeros(shape, np.bool_)
        """Devices that can be given as a whole."""
        self.parts: dict[Share, Ints] = {share: np.zeros(shape, np.int64) for share in PARTIAL}
        """Compute that can be given in each way of sharing, 1/1000; a device in use is shared in one way only."""
        self.gpu_memory: Ints = np.zeros(shape, np.int64)
        """GPU memory that can still be promised, MiB."""
        self.shareable: Ints = np.zeros(shape, np.int64)
        """GPU memory that all shares of the device may have together, MiB."""
        self.numa: npt.NDArray[np.int16] = np.full(shape, -1, np.int16)
        """NUMA node the device is near; -1 when unknown."""
        self.models = tuple(sorted({each.device.model for room in rooms for each in room.devices}))
        self._model_number = {model: number for number, model in enumerate(self.models)}
        self.model: npt.NDArray[np.int16] = np.full(shape, -1, np.int16)
        """Model of each device as a place in `models`; -1 where there is none."""
        self.total_cpu: Ints = np.zeros(self.nodes, np.int64)
        """CPU of each node when empty, 1/1000."""
        self.total_gpus: Ints = np.zeros(self.nodes, np.int64)
        """Devices of each node, in any state."""
        self.work: Flags = np.zeros((self.nodes, self.devices + 1), np.bool_)
        """Kinds of GPU work on each node: parts of devices in column 0, work on n whole devices in column n."""
        self.used: Flags = np.zeros(self.nodes, np.bool_)
        """Nodes in use (`NodeRoom.in_use`)."""
        self.changes: list[int] = []
        """Rows in the order in which they changed."""
        for row, room in enumerate(rooms):
            self._read_fixed(row, room)
            self.read(row, room)
        self.changes.clear()

    @cached_property
    def alike(self) -> tuple[Ints, Ints]:
        """Rows that differ, and for each row the place among those of the one like it; as when first asked."""
        parts = (
            *self.parts.values(),
            self.free,
            self.whole,
            self.gpu_memory,
            self.shareable,
            self.numa,
            self.model,
            self.work,
        )
        columns = (self.cpu, self.memory, self.total_cpu, self.total_gpus)
        states = np.hstack([*(column[:, None] for column in columns), *(part.astype(np.int64) for part in parts)])
        _, first, same = np.unique(states, axis=0, return_index=True, return_inverse=True)
        return first, same.reshape(-1)

    @property
    def largest(self) -> tuple[int, int]:
        """The most CPU (1/1000) and the most compute (1/1000 of a GPU) that any node has when empty; at least 1."""
        return max(int(self.total_cpu.max(initial=0)), 1), max(int(self.total_gpus.max(initial=0)) * GPU_MILLI, 1)

    @property
    def capacity_milli(self) -> int:
        """Compute of all devices, free or not."""
        return int(self.total_gpus.sum()) * GPU_MILLI

    def read(self, row: int, room: NodeRoom) -> None:
        """Take what is left on a node from its room."""
        self.cpu[row] = math.floor(round((room.cpus_free or 0.0) * 1000, 6))
        self.memory[row] = room.memory_free_mib or 0
        for column, place in enumerate(self.columns[row]):
            self._read_device(row, column, room.devices[place])
        self.work[row] = False
        self.work[row, list(_kinds_of_work(room))] = True
        self.used[row] = room.in_use
        self.changes.append(row)

    def _read_fixed(self, row: int, room: NodeRoom) -> None:
        host = room.node.host
        self.total_cpu[row] = max(0, math.floor(((host.cpus or 0) - room.node.spec.reserved_cpus) * 1000))
        self.total_gpus[row] = len(room.devices)
        for column, each in enumerate(room.devices[place] for place in self.columns[row]):
            self.model[row, column] = self._model_number[each.device.model]
            if each.device.numa_node is not None:
                self.numa[row, column] = each.device.numa_node

    def _read_device(self, row: int, column: int, room: DeviceRoom) -> None:
        target = Target(room)
        memory_mib = room.memory_free_mib
        self.free[row, column] = 0
        self.whole[row, column] = False
        for parts in self.parts.values():
            parts[row, column] = 0
        self.gpu_memory[row, column] = memory_mib or 0
        self.shareable[row, column] = room.shareable_mib or 0
        if unhealthy(target) or on_cordon(target) or not whole(room) or memory_mib is None:
            return
        held = {booking.share for booking in room.bookings}
        left = max(0, GPU_MILLI - sum(milli(booking.fraction) for booking in room.bookings))
        self.whole[row, column] = not held and not room.strangers and memory_in_use(target) is None
        for share, parts in self.parts.items():
            if held <= {share}:
                parts[row, column] = self.free[row, column] = left

    def take(self, spot: Spot, share: Share, shape: Shape, gpu_memory_mib: Sequence[int]) -> None:
        """Take a placement out of what is left.

        Args:
            spot: where it goes.
            share: exclusive, time-slice or MPS.
            shape: what it takes.
            gpu_memory_mib: GPU memory taken of each device, in the order of the spot; empty takes all of it.
        """
        row = spot.node
        self.cpu[row] -= shape.cpu_milli
        self.memory[row] = max(0, self.memory[row] - shape.memory_mib)
        for place, column in enumerate(spot.devices):
            left = max(0, int(self.free[row, column]) - shape.milli) if share in PARTIAL else 0
            self.free[row, column] = left
            self.whole[row, column] = False
            for way, parts in self.parts.items():
                parts[row, column] = left if way is share else 0
            memory_mib = self.gpu_memory[row, column] - gpu_memory_mib[place] if gpu_memory_mib else 0
            self.gpu_memory[row, column] = max(0, memory_mib)
        if spot.devices:
            self.work[row, 0 if share in PARTIAL else len(spot.devices)] = True
        self.used[row] = True
        self.changes.append(row)


def _kinds_of_work(room: NodeRoom) -> set[int]:
    """Columns of `Board.work` for what is booked on the node."""
    held = Counter(
        booking.workload
        for each in room.devices
        for booking in each.bookings
        if booking.share is Share.EXCLUSIVE and booking.mig_instance is None
    )
    shared = any(booking.share is not Share.EXCLUSIVE for each in room.devices for booking in each.bookings)
    return {*held.values(), *([0] if shared else [])}


def _columns(room: NodeRoom, by_memory: bool) -> tuple[int, ...]:
    places = range(len(room.devices))
    if not by_memory:
        return tuple(places)
    return tuple(sorted(places, key=lambda place: room.devices[place].device.memory_total_mib or 0))
