"""What nodes still have, as arrays with one entry per node; where a batch of tasks is packed into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from gpualloc.model.shapes import GPU_MILLI, Shape

Amounts = npt.NDArray[np.int64]
Chosen = npt.NDArray[np.bool_]


class PerGpu(Struct, frozen=True):
    """What CPU and host memory are measured in when they are compared with each other."""

    cpu_milli: float
    """CPU for one GPU, in 1/1000 of a CPU; 1 or more."""
    memory_mib: float
    """Host memory for one GPU, MiB; 1 or more."""


class FreeNodes(Struct, frozen=True):
    """Free CPU, memory and GPUs of nodes. The order of the nodes is the last tie-break wherever they are compared."""

    cpu_milli: Amounts
    """Free CPU of each node, in 1/1000 of a CPU."""
    memory_mib: Amounts
    """Free host memory of each node, MiB."""
    gpu_milli: Amounts
    """Free compute of each GPU, in 1/1000 of it: one row per node; 0 where a GPU is taken, unusable or absent."""
    models: tuple[str, ...]
    """GPU model of each node; empty when it has none."""
    task_slots: Amounts
    """How many more tasks each node takes."""

    def accepting(self, models: tuple[str, ...]) -> Chosen:
        """The nodes whose GPU model is one of these; all of them when empty."""
        return np.array([not models or model in models for model in self.models], dtype=np.bool_)

    def groups(self, shapes: Sequence[Shape]) -> list[Amounts]:
        """Indices of nodes that the model constraints of these shapes do not tell apart, one array per group."""
        wanted = sorted({shape.models for shape in shapes})
        accepted = {model: tuple(model in models for models in wanted) for model in set(self.models)}
        kinds = sorted(set(accepted.values()))
        kind = np.array([kinds.index(accepted[model]) for model in self.models], dtype=np.int64)
        return [np.flatnonzero(kind == index) for index in range(len(kinds))]

    @property
    def idle(self) -> Amounts:
        """How many GPUs of each node are wholly free."""
        return np.asarray((self.gpu_milli == GPU_MILLI).sum(axis=1), dtype=np.int64)

    @property
    def per_gpu(self) -> PerGpu:
        """CPU and memory there are for each idle GPU, on average."""
        gpus = max(1, int(self.idle.sum()))
        return PerGpu(max(1.0, self.cpu_milli.sum() / gpus), max(1.0, self.memory_mib.sum() / gpus))

    def most(self, shape: Shape) -> Amounts:
        """How many tasks of the shape each node holds if it gets nothing else."""
        most = np.where(self.accepting(shape.models), self.task_slots, 0)
        if shape.gpus > 0:
            parts = (self.gpu_milli // shape.milli).sum(axis=1)
            enough = (self.gpu_milli >= shape.milli).sum(axis=1) >= shape.gpus
            most = np.minimum(most, np.where(enough, parts // shape.gpus, 0))
        if shape.cpu_milli > 0:
            most = np.minimum(most, self.cpu_milli // shape.cpu_milli)
        if shape.memory_mib > 0:
            most = np.minimum(most, self.memory_mib // shape.memory_mib)
        return most
