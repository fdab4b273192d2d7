"""How much idle compute of a node is of no use to the work that is expected.

For one shape, a node's fragment is all its idle compute when it cannot hold the shape (CPU, number of devices, model),
and else the idle compute on devices too full for one unit of it. The expected fragment is the mean over the shapes.
Definition: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent", USENIX ATC 2023.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.demand import Demand
from gpualloc.policies.filters import matches_model
from gpualloc.policies.options import Options


class Fragments:
    """Expected fragments on a board under one demand, in GPUs.

    Shapes that ask for the same part, count and models form a group, Q groups in all; within one they differ in CPU.
    What the devices of a node add up to is kept, and only nodes that changed are added up again.
    """

    def __init__(self, board: Board, demand: Demand, *, by_compute: bool = False) -> None:
        """Prepare for one board and demand; `by_compute` weighs a shape by the compute it asks for in all."""
        self._board = board
        weights = _weights(demand, by_compute)
        groups = sorted({_group(shape) for shape in demand.shapes if shape.gpus})
        part = np.array([milli for milli, _, _ in groups], np.int64)
        self._count: Ints = np.array([count for _, count, _ in groups], np.int64)
        free = np.arange(GPU_MILLI + 1)[:, None]
        large = (free >= part).astype(np.int64)
        self._of_device: Floats = np.hstack([free * (1 - large), large]).astype(np.float64)
        """(1001, 2 Q) by free compute of a device: what of it is too little for one unit of each group, and whether it
        is enough. Whole numbers, but not converted again and again."""
        self._cpus: Ints = np.array(sorted({shape.cpu_milli for shape in demand.shapes}), np.int64)
        self._total = float(weights.sum())
        self._held = _held(demand, weights, groups, self._cpus)
        self._models = [models for _, _, models in groups]
        self._allowed = self._which_allowed() if any(self._models) else None
        self._idle: Ints = np.zeros(board.nodes, np.int64)
        self._sums: Floats = np.zeros((board.nodes, 2 * len(groups)))
        """(N, 2 Q) both, added up over the node's devices."""
        self._now: Floats = np.zeros(board.nodes)
        self._seen = 0
        self._add_up(np.arange(board.nodes))

    def before(self, options: Options) -> Floats:
        """(P,) expected fragment of each option's node now."""
        self._catch_up()
        return self._now[options.rows]

    def after(self, options: Options) -> Floats:
        """(P,) expected fragment of each option's node after it."""
        self._catch_up()
        shape, rows = options.shape, options.rows
        sums, of_device = self._sums[rows], self._of_device
        if options.by_device:
            sums += of_device[options.free - shape.milli] - of_device[options.free]
        elif shape.milli == GPU_MILLI:
            sums -= shape.gpus * of_device[GPU_MILLI]
        elif shape.gpus:
            place, device = np.nonzero(options.taken())
            free = self._board.free[rows[place], device]
            np.add.at(sums, place, of_device[free - shape.milli] - of_device[free])
        return self._fragment(rows, options.cpu_left, sums, self._idle[rows] - shape.gpu_milli)

    def _catch_up(self) -> None:
        changes = self._board.changes
        if self._seen < len(changes):
            self._add_up(np.array(list(set(changes[self._seen :])), np.int64))
            self._seen = len(changes)

    def _add_up(self, rows: Ints) -> None:
        free = self._board.free[rows]
        idle, sums = free.sum(axis=1), self._of_device[free].sum(axis=1)
        self._idle[rows], self._sums[rows] = idle, sums
        self._now[rows] = self._fragment(rows, self._board.cpu[rows], sums, idle)

    def _fragment(self, rows: Ints, cpu: Ints, sums: Floats, idle: Ints) -> Floats:
        """(P,) from free CPU, what `_sums` has, and all idle compute."""
        groups = len(self._count)
        held = self._held[np.searchsorted(self._cpus, cpu, side="right")]
        if self._allowed is not None:
            held = held * self._allowed[rows]
        useful = (idle[:, None] - sums[:, :groups]) * (sums[:, groups:] >= self._count)
        fragment: Floats = (idle * self._total - np.einsum("pq,pq->p", useful, held)) / GPU_MILLI
        return fragment

    def _which_allowed(self) -> Floats:
        """(N, Q) whether the node's devices are of a model the group may use."""
        names = (*self._board.models, "")
        of_model = np.array([[accepts(models, model) for models in self._models] for model in names])
        allowed: Floats = of_model[self._board.model.max(axis=1, initial=-1)].astype(np.float64)
        return allowed


def accepts(models: tuple[str, ...], model: str) -> bool:
    """Whether work for these models may use a device of that model; empty is any."""
    return not models or any(matches_model(model, selector) for selector in models)


def _group(shape: Shape) -> tuple[int, int, tuple[str, ...]]:
    return shape.milli, shape.gpus, shape.models


def _held(demand: Demand, weights: Floats, groups: list[tuple[int, int, tuple[str, ...]]], cpus: Ints) -> Floats:
    """(C + 1, Q) by how many of the C sizes of CPU are there: weight of each group's shapes that have enough CPU."""
    held = np.zeros((len(cpus) + 1, len(groups)))
    place = {group: number for number, group in enumerate(groups)}
    for shape, weight in zip(demand.shapes, weights, strict=True):
        if shape.gpus:
            held[int(np.searchsorted(cpus, shape.cpu_milli)) + 1, place[_group(shape)]] += weight
    total: Floats = held.cumsum(axis=0)
    return total


def _weights(demand: Demand, by_compute: bool) -> Floats:
    counts = np.array(demand.weights, np.float64)
    if not by_compute:
        return counts
    compute = counts * np.array([shape.gpu_milli for shape in demand.shapes], np.float64)
    return compute / (compute.sum() or 1.0)
