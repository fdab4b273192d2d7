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
        self._large: Ints = (free >= part).astype(np.int64)
        """(1001, Q) by free compute of a device: whether it is enough for one unit of the group."""
        self._small: Ints = free * (1 - self._large)
        """(1001, Q) by free compute of a device: what of it is too little for one unit."""
        self._cpus: Ints = np.array(sorted({shape.cpu_milli for shape in demand.shapes}), np.int64)
        self._total = float(weights.sum())
        self._held = _held(demand, weights, groups, self._cpus)
        self._models = [models for _, _, models in groups]
        self._allowed = self._which_allowed() if any(self._models) else None
        self._idle: Ints = np.zeros(board.nodes, np.int64)
        self._small_sum: Ints = np.zeros((board.nodes, len(groups)), np.int64)
        self._large_sum: Ints = np.zeros((board.nodes, len(groups)), np.int64)
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
        small, large = self._small_sum[rows], self._large_sum[rows]
        if options.by_device:
            free = options.free
            small += self._small[free - shape.milli] - self._small[free]
            large += self._large[free - shape.milli] - self._large[free]
        elif shape.milli == GPU_MILLI:
            large -= shape.gpus * self._large[GPU_MILLI]
        elif shape.gpus:
            place, device = np.nonzero(options.taken())
            free = self._board.free[rows[place], device]
            np.add.at(small, place, self._small[free - shape.milli] - self._small[free])
            np.add.at(large, place, self._large[free - shape.milli] - self._large[free])
        return self._fragment(rows, options.cpu_left, small, large, self._idle[rows] - shape.gpu_milli)

    def _catch_up(self) -> None:
        changes = self._board.changes
        if self._seen < len(changes):
            self._add_up(np.array(list(set(changes[self._seen :])), np.int64))
            self._seen = len(changes)

    def _add_up(self, rows: Ints) -> None:
        free = self._board.free[rows]
        self._idle[rows] = free.sum(axis=1)
        self._small_sum[rows] = self._small[free].sum(axis=1)
        self._large_sum[rows] = self._large[free].sum(axis=1)
        small, large = self._small_sum[rows], self._large_sum[rows]
        self._now[rows] = self._fragment(rows, self._board.cpu[rows], small, large, self._idle[rows])

    def _fragment(self, rows: Ints, cpu: Ints, small: Ints, large: Ints, idle: Ints) -> Floats:
        """(P,) from idle compute too small for each group, devices large enough for it, and all idle compute."""
        held = self._held[np.searchsorted(self._cpus, cpu, side="right")]
        if self._allowed is not None:
            held = held * self._allowed[rows]
        useful = (idle[:, None] - small) * (large >= self._count)
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
