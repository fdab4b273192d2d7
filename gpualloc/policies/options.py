"""The choices there are for one request on some nodes: what scorers look at."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board, Flags, Floats, Ints


class Options:
    """P options for one request on nodes where it fits, by row of the board.

    Work that shares one device has an option for every device that would do, but only one of a node's idle devices;
    any other work has one option per node, its devices being the first that would do.
    """

    __slots__ = (
        "_dense",
        "_usable",
        "ask",
        "board",
        "by_device",
        "cpu_left",
        "device",
        "free",
        "nodes",
        "rows",
        "shape",
    )

    def __init__(self, board: Board, ask: Ask, rows: Ints, usable: Flags) -> None:
        """Look at those rows of the board (K,), with the devices that would do there (K, G)."""
        self.board = board
        self.ask = ask
        self.shape: Shape = ask.shape
        self.nodes = rows
        """(K,) the nodes."""
        self._usable = usable
        self.by_device = ask.shape.gpus == 1 and ask.shape.milli < GPU_MILLI
        """Whether an option is one device."""
        self._dense: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]] | None = None
        self.rows = rows
        """(P,) the node of each option."""
        self.device: Ints = np.zeros(0, np.int64)
        """(P,) the device of each option; none unless `by_device`."""
        self.free: Ints = self.device
        """(P,) free compute of each option's device, 1/1000; none unless `by_device`."""
        if self.by_device:
            free = board.free[rows]
            idle = usable & (free == GPU_MILLI)
            place, device = np.nonzero(usable & ~(idle & (idle.cumsum(axis=1) > 1)))
            self._dense = place, device
            self.rows, self.device, self.free = rows[place], device, free[place, device]
        self.cpu_left: Ints = board.cpu[self.rows] - ask.shape.cpu_milli
        """(P,) CPU that stays free, 1/1000."""

    @property
    def size(self) -> int:
        """P."""
        return len(self.rows)

    @property
    def idle(self) -> Ints:
        """(P,) free compute of all devices of each option's node, 1/1000."""
        total: Ints = self.board.free[self.rows].sum(axis=1)
        return total

    def fullest_first(self, rated: Floats) -> Floats:
        """Ratings of nodes in whole numbers (P,), with all but the fullest devices of each node put after them."""
        if self._dense is None or not self.size:
            return rated
        place, free = self._dense[0], self.free
        least = np.minimum.reduceat(free, np.flatnonzero(np.diff(place, prepend=-1)))
        return rated - (free > least[place]) / 2.0

    def best(self, rated: Floats) -> tuple[Floats, Ints]:
        """The highest rating (K,) of each node, and which device it is for (0 unless `by_device`)."""
        if self._dense is None:
            return rated, np.zeros(len(rated), np.int64)
        table = np.full(self._usable.shape, -np.inf)
        table[self._dense] = rated
        pick: Ints = table.argmax(axis=1)
        return table[np.arange(len(table)), pick], pick

    def taken(self) -> Flags:
        """(K, G) devices taken unless `by_device`: the first that would do, the fullest first for parts of devices."""
        gpus = self.shape.gpus
        if self.shape.milli < GPU_MILLI and gpus:
            free = self.board.free[self.nodes]
            order = np.where(self._usable, free, GPU_MILLI + 1).argsort(axis=1, kind="stable")
            chosen = np.zeros_like(self._usable)
            np.put_along_axis(chosen, order[:, :gpus], values=True, axis=1)
            return chosen
        found: Flags = self._usable & (self._usable.cumsum(axis=1) <= gpus)
        return found

    def hardest(self, of_devices: Ints) -> Ints:
        """(P,) the most of these numbers (N, G), 0 or more, among the devices that each option takes."""
        if self.by_device:
            own: Ints = of_devices[self.rows, self.device]
            return own
        most: Ints = np.where(self.taken(), of_devices[self.nodes], 0).max(axis=1, initial=0)
        return most

    def opened(self) -> Ints:
        """(P,) idle devices that each option takes."""
        if self.by_device:
            begun: Ints = (self.free == GPU_MILLI).astype(np.int64)
            return begun
        idle: Ints = (self.taken() & (self.board.free[self.nodes] == GPU_MILLI)).sum(axis=1)
        return idle
