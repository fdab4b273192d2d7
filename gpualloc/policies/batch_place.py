"""Bundles and tasks on single nodes, one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.batch_bundles import Bundle
from gpualloc.policies.batch_nodes import Amounts, Chosen, FreeNodes

Spot = tuple[int, tuple[int, ...]]
"""Index of a node, and indices of the GPUs on it."""
LAST_GPU = 0.5
"""Idle GPUs that a node without any counts as having, so that its CPU and memory still tell it from others."""


class Placing:
    """What is placed so far, and what the nodes still have."""

    def __init__(self, free: FreeNodes) -> None:
        self._free = free
        self._cpu = free.cpu_milli.copy()
        self._memory = free.memory_mib.copy()
        self._slots = free.task_slots.copy()
        self._gpus = free.gpu_milli.copy()
        self._untouched = self._gpus > 0
        self._idle = free.idle.copy()
        self._per_gpu = free.per_gpu
        self._reserved: list[tuple[Bundle, int, Amounts]] = []
        self.spots: dict[Shape, list[Spot]] = defaultdict(list)
        """Where the tasks of each shape are."""
        self.gpu_milli = 0
        """Compute given out, in 1/1000 of a GPU."""

    def place_bundle(self, bundle: Bundle, nodes: Chosen, step_milli: int) -> bool:
        """Put a bundle on that one of these nodes which keeps the most CPU and memory per idle GPU.

        Args:
            bundle: what is placed together.
            nodes: the nodes it may go to.
            step_milli: step to which the bundle's `free_milli` is rounded.

        Returns:
            False when it fits on none of them.
        """
        found = self._spot(bundle, nodes, step_milli)
        if found is None:
            return False
        for task in bundle.tasks:
            self._take(task, *found)
            self.spots[task].append((found[0], tuple(found[1].tolist())))
            self.gpu_milli += task.gpu_milli
        return True

    def reserve_bundle(self, bundle: Bundle, nodes: Chosen, step_milli: int) -> None:
        """Keep a place for such a bundle as if it were placed, until `release_reserved`; none if it fits nowhere."""
        found = self._spot(bundle, nodes, step_milli)
        if found is None:
            return
        for task in bundle.tasks:
            self._take(task, *found)
        self._reserved.append((bundle, *found))

    def release_reserved(self) -> None:
        """Give back what is reserved."""
        for bundle, node, gpus in self._reserved:
            for task in bundle.tasks:
                self._take(task, node, gpus, sign=-1)
            self._untouched[node, gpus] = True
        self._reserved.clear()

    def _spot(self, bundle: Bundle, nodes: Chosen, step_milli: int) -> tuple[int, Amounts] | None:
        matching = self._untouched & (self._gpus // step_milli * step_milli == bundle.free_milli)
        fits = nodes & (matching.sum(axis=1) >= bundle.gpus)
        fits &= self._room(bundle.cpu_milli, bundle.memory_mib, len(bundle.tasks))
        node = _first_best(fits, self._surplus(bundle))
        return None if node is None else (node, np.flatnonzero(matching[node])[: bundle.gpus])

    def place_task(self, shape: Shape) -> bool:
        """Put one task where it fits most tightly; False when it fits nowhere."""
        fits = self._free.accepting(shape.models) & self._room(shape.cpu_milli, shape.memory_mib, 1)
        enough = self._gpus >= max(1, shape.milli)
        if shape.gpus > 0:
            fits &= enough.sum(axis=1) >= shape.gpus
            rest = np.where(enough, self._gpus, 2 * GPU_MILLI).min(axis=1, initial=2 * GPU_MILLI)
        else:
            rest = self._idle * (int(self._free.cpu_milli.max(initial=0)) + 1) + self._cpu
        node = _first_best(fits, -rest)
        if node is None:
            return False
        tightest = np.argsort(np.where(enough[node], self._gpus[node], 2 * GPU_MILLI), kind="stable")
        gpus = np.sort(tightest[: shape.gpus])
        self._take(shape, node, gpus)
        self.spots[shape].append((node, tuple(gpus.tolist())))
        self.gpu_milli += shape.gpu_milli
        return True

    def place_all(self, tasks: Mapping[Shape, int]) -> None:
        """Put as many of these tasks as fit, shape by shape in this order."""
        for shape, count in tasks.items():
            for _ in range(count):
                if not self.place_task(shape):
                    break

    def left(self, tasks: Mapping[Shape, int]) -> dict[Shape, int]:
        """How many of these tasks are not placed; shapes that are all placed are left out."""
        left = {shape: count - len(self.spots.get(shape, ())) for shape, count in tasks.items()}
        return {shape: count for shape, count in left.items() if count > 0}

    def _room(self, cpu_milli: int, memory_mib: int, tasks: int) -> Chosen:
        return (self._cpu >= cpu_milli) & (self._memory >= memory_mib) & (self._slots >= tasks)

    def _surplus(self, bundle: Bundle) -> npt.NDArray[np.float64]:
        """What is left for each idle GPU of a node after the bundle, of the scarcer of CPU and memory."""
        taken = bundle.gpus if bundle.free_milli == GPU_MILLI else 0
        idle = np.maximum(self._idle - taken, LAST_GPU)
        cpu = (self._cpu - bundle.cpu_milli) / self._per_gpu.cpu_milli
        memory = (self._memory - bundle.memory_mib) / self._per_gpu.memory_mib
        return np.minimum(cpu, memory) / idle

    def _take(self, shape: Shape, node: int, gpus: Amounts, sign: int = 1) -> None:
        self._cpu[node] -= sign * shape.cpu_milli
        self._memory[node] -= sign * shape.memory_mib
        self._slots[node] -= sign
        self._gpus[node, gpus] -= sign * shape.milli
        self._untouched[node, gpus] = False
        self._idle[node] = (self._gpus[node] == GPU_MILLI).sum()


def _first_best(fits: Chosen, score: npt.NDArray[np.generic]) -> int | None:
    """The first of the nodes that fit with the highest score."""
    able = np.flatnonzero(fits)
    return int(able[np.argmax(score[able])]) if len(able) else None
