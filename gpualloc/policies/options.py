"""The choices there are for one request on some nodes, and what each would leave: what scorers look at."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from gpualloc.policies.ask import Ask
from gpualloc.policies.board import Board, Flags, Floats, Ints
from gpualloc.policies.shapes import GPU_MILLI, Shape


class Options:
    """K nodes with O options each. Work that shares one device has an option for every device (O = G); any other work
    has one (O = 1), its devices being the first that would do.
    """

    def __init__(self, board: Board, ask: Ask, rows: Ints) -> None:
        """Find the options on those rows of the board."""
        self.board = board
        self.ask = ask
        self.rows = rows
        self.usable = ask.usable(board, rows)
        self.fits = ask.fits(board, rows, self.usable)
        """(K,) nodes where the request fits."""

    @property
    def shape(self) -> Shape:
        """What the request takes."""
        return self.ask.shape

    @cached_property
    def by_device(self) -> bool:
        """Whether each device is an option."""
        return self.shape.gpus == 1 and self.shape.milli < GPU_MILLI

    @cached_property
    def valid(self) -> Flags:
        """(K, O) options that can be taken."""
        return self.usable & self.fits[:, None] if self.by_device else self.fits[:, None]

    @cached_property
    def cpu(self) -> Floats:
        """(K,) free CPU now, 1/1000."""
        return self.board.cpu[self.rows].astype(np.float64)

    @cached_property
    def cpu_left(self) -> Floats:
        """(K,) free CPU afterwards, 1/1000."""
        return self.cpu - self.shape.cpu_milli

    @cached_property
    def memory_left(self) -> Floats:
        """(K,) free host memory afterwards, MiB."""
        return (self.board.memory[self.rows] - self.shape.memory_mib).astype(np.float64)

    @cached_property
    def free(self) -> Ints:
        """(K, G) free compute of each device now, 1/1000."""
        return self.board.free[self.rows]

    @cached_property
    def taken(self) -> Flags:
        """(K, O, G) devices that each option takes."""
        count = self.free.shape[1]
        if self.by_device:
            return np.broadcast_to(np.eye(count, dtype=np.bool_), (len(self.rows), count, count))
        return self.first_usable[:, None, :]

    @cached_property
    def first_usable(self) -> Flags:
        """(K, G) the usable devices that come first, as many as are asked for; the fullest first for shares."""
        gpus = self.shape.gpus
        if self.shape.milli < GPU_MILLI and gpus:
            order = np.where(self.usable, self.free, GPU_MILLI + 1).argsort(axis=1, kind="stable")
            chosen = np.zeros_like(self.usable)
            np.put_along_axis(chosen, order[:, :gpus], values=True, axis=1)
            return chosen & self.usable
        found: Flags = self.usable & (self.usable.cumsum(axis=1) <= gpus)
        return found

    @cached_property
    def free_left(self) -> Ints:
        """(K, O, G) free compute of each device after each option, 1/1000."""
        return self.free[:, None, :] - self.taken * self.shape.milli

    @cached_property
    def idle(self) -> Ints:
        """(K,) free compute of all devices of the node now, 1/1000."""
        total: Ints = self.free.sum(axis=1)
        return total

    def spread(self, values: Floats) -> Floats:
        """A value per node (K,) as one per option (K, O)."""
        return np.broadcast_to(values[:, None], self.valid.shape)
