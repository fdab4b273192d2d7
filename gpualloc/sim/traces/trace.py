"""Nodes and tasks of a trace, in whole numbers, and a table that holds millions of tasks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.model.shapes import Shape


class TraceNode(Struct, frozen=True):
    """A node of a trace, empty. All its GPUs are of one model."""

    name: str
    cpu_milli: int
    """CPU, in 1/1000 of a CPU."""
    memory_mib: int
    gpus: int
    model: str
    """GPU model; empty when it has no GPU."""
    gpu_memory_mib: int | None = None
    """Memory of each GPU; None when the trace does not tell."""


class TraceTask(Struct, frozen=True):
    """One row of a task file."""

    row: int
    """Counted from 0, as orders of arrival do."""
    name: str
    shape: Shape
    arrives_s: float | None = None
    """Seconds since the trace began; None when the trace does not tell."""
    leaves_s: float | None = None
    """Seconds since the trace began, not before `arrives_s`; None when the trace does not tell."""

    @property
    def cpu_milli(self) -> int:
        """CPU, in 1/1000 of a CPU."""
        return self.shape.cpu_milli

    @property
    def memory_mib(self) -> int:
        """Host memory."""
        return self.shape.memory_mib

    @property
    def gpus(self) -> int:
        """GPUs on one node; 0 is CPU-only work."""
        return self.shape.gpus

    @property
    def milli(self) -> int:
        """Part taken of each GPU, 1..1000; 0 for CPU-only work."""
        return self.shape.milli

    @property
    def models(self) -> tuple[str, ...]:
        """GPU models that will do; empty is any."""
        return self.shape.models


class Tasks(Struct, frozen=True, eq=False):
    """All tasks of a trace, by row, in some 40 bytes each: for files of millions of rows."""

    source: str
    """Where they come from, as errors name it."""
    shapes: tuple[Shape, ...]
    """Each once, in the order in which they first appear."""
    shape_of: NDArray[np.int32]
    """For each row, the index of its shape."""
    arrives_s: NDArray[np.float64]
    """For each row; NaN where the trace does not tell."""
    leaves_s: NDArray[np.float64]
    """For each row; NaN where the trace does not tell."""
    names: bytes
    """The names, UTF-8, one after the other."""
    name_ends: NDArray[np.int64]
    """For each row, where its name ends in `names`."""

    def __len__(self) -> int:
        return len(self.shape_of)

    def __iter__(self) -> Iterator[TraceTask]:
        return (self.task(row) for row in range(len(self)))

    @property
    def gpu_milli(self) -> NDArray[np.int64]:
        """For each row, the compute it takes in all, in 1/1000 of a GPU."""
        each = np.fromiter((shape.gpu_milli for shape in self.shapes), np.int64, len(self.shapes))
        return each[self.shape_of]

    @property
    def milli(self) -> NDArray[np.int64]:
        """For each row, the part it takes of each of its GPUs; 0 for CPU-only work."""
        each = np.fromiter((shape.milli for shape in self.shapes), np.int64, len(self.shapes))
        return each[self.shape_of]

    def task(self, row: int) -> TraceTask:
        """The task of that row, from 0; raises IndexError."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)} tasks")
        begin = int(self.name_ends[row - 1]) if row else 0
        name = self.names[begin : int(self.name_ends[row])].decode()
        arrives_s, leaves_s = _told(self.arrives_s[row]), _told(self.leaves_s[row])
        return TraceTask(row, name, self.shapes[self.shape_of[row]], arrives_s, leaves_s)


def gather(tasks: Iterable[TraceTask], source: str) -> Tasks:
    """Put tasks, given in the order of their rows, into a table."""
    shapes: dict[Shape, int] = {}
    shape_of, ends, names = array("i"), array("q"), bytearray()
    arrives_s, leaves_s = array("d"), array("d")
    for task in tasks:
        shape_of.append(shapes.setdefault(task.shape, len(shapes)))
        arrives_s.append(np.nan if task.arrives_s is None else task.arrives_s)
        leaves_s.append(np.nan if task.leaves_s is None else task.leaves_s)
        names += task.name.encode()
        ends.append(len(names))
    return Tasks(
        source=source,
        shapes=tuple(shapes),
        shape_of=np.frombuffer(shape_of, np.int32),
        arrives_s=np.frombuffer(arrives_s, np.float64),
        leaves_s=np.frombuffer(leaves_s, np.float64),
        names=bytes(names),
        name_ends=np.frombuffer(ends, np.int64),
    )


def _told(time_s: float) -> float | None:
    return None if np.isnan(time_s) else float(time_s)
