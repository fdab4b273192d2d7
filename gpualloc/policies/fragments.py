"""How much idle compute of a node is of no use to the work that is expected.

For one shape, a node's fragment is all its idle compute when it cannot hold the shape (CPU, number of devices, model),
and else the idle compute on devices too full for one unit of it. The expected fragment is the mean over the shapes.
Definition: Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent", USENIX ATC 2023.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.demand import Demand
from gpualloc.policies.filters import matches_model
from gpualloc.policies.options import Options
from gpualloc.policies.shapes import GPU_MILLI, Shape


class Fragments:
    """Expected fragments under one demand, in GPUs.

    Shapes that ask for the same part, count and models form a group, Q groups in all; within one they differ in CPU.
    """

    def __init__(self, board: Board, demand: Demand, *, by_compute: bool = False) -> None:
        """Prepare for one board and demand; `by_compute` weighs a shape by the compute it asks for in all."""
        self._board = board
        weights = _weights(demand, by_compute)
        groups = sorted({_group(shape) for shape in demand.shapes if shape.gpus})
        self._parts: Ints = np.array(sorted({part for part, _, _ in groups}), np.int64)
        self._part: Ints = np.array([int(np.searchsorted(self._parts, part)) for part, _, _ in groups], np.int64)
        self._count: Ints = np.array([count for _, count, _ in groups], np.int64)
        place = {group: number for number, group in enumerate(groups)}
        self._cpus: Ints = np.array(sorted({shape.cpu_milli for shape in demand.shapes}), np.int64)
        self._total = float(weights.sum())
        held = np.zeros((len(self._cpus) + 1, len(groups)))
        for shape, weight in zip(demand.shapes, weights, strict=True):
            if shape.gpus:
                held[int(np.searchsorted(self._cpus, shape.cpu_milli)) + 1, place[_group(shape)]] += weight
        self._held: Floats = held.cumsum(axis=0)
        """By how many thresholds of CPU are met: weight of each group's shapes whose CPU is there."""
        self._models = [models for _, _, models in groups]

    def before(self, options: Options) -> Floats:
        """(K,) expected fragment of each node now."""
        free = options.free[:, None, :]
        return self._fragment(options, options.cpu, *self._usable(free), free.sum(axis=2))[:, 0]

    def after(self, options: Options) -> Floats:
        """(K, O) expected fragment of each node after each option."""
        if not options.by_device:
            free = options.free_left
            return self._fragment(options, options.cpu_left, *self._usable(free), free.sum(axis=2))
        small, large = self._by_device(options.free)
        small_left, large_left = self._by_device(np.maximum(options.free - options.shape.milli, 0))
        small = small.sum(axis=1)[:, None, :] - small + small_left
        large = large.sum(axis=1)[:, None, :] - large + large_left
        idle = np.broadcast_to((options.idle - options.shape.milli)[:, None], small.shape[:2])
        return self._fragment(options, options.cpu_left, small, large, idle)

    def _by_device(self, free: Ints) -> tuple[Ints, Ints]:
        """For each device and part: its idle compute where that is too little, and whether it is enough."""
        large = free[..., None] >= self._parts
        return np.where(large, 0, free[..., None]), large.astype(np.int64)

    def _usable(self, free: Ints) -> tuple[Ints, Ints]:
        small, large = self._by_device(free)
        return small.sum(axis=2), large.sum(axis=2)

    def _fragment(self, options: Options, cpu: Floats, small: Ints, large: Ints, idle: Ints) -> Floats:
        """(K, O) from idle compute too small for each part, devices that are large enough, and all idle compute."""
        held = self._held[np.searchsorted(self._cpus, cpu, side="right")]
        if self._constrained:
            held = held * self._allowed[options.rows]
        useful = (idle[:, :, None] - small)[:, :, self._part] * (large[:, :, self._part] >= self._count)
        fragment: Floats = (idle * self._total - np.einsum("koq,kq->ko", useful, held)) / GPU_MILLI
        return fragment

    @cached_property
    def _constrained(self) -> bool:
        return any(self._models)

    @cached_property
    def _allowed(self) -> Floats:
        """(N, Q) whether the node's devices are of a model the group may use."""
        of_model = np.array(
            [[_accepts(models, model) for models in self._models] for model in (*self._board.models, "")]
        )
        node_model = self._board.model.max(axis=1, initial=-1)
        allowed: Floats = of_model[node_model].astype(np.float64)
        return allowed


def _group(shape: Shape) -> tuple[int, int, tuple[str, ...]]:
    return shape.milli, shape.gpus, shape.models


def _accepts(models: tuple[str, ...], model: str) -> bool:
    return not models or any(matches_model(model, selector) for selector in models)


def _weights(demand: Demand, by_compute: bool) -> Floats:
    counts = np.array(demand.weights, np.float64)
    if not by_compute:
        return counts
    compute = counts * np.array([shape.gpu_milli for shape in demand.shapes], np.float64)
    return compute / (compute.sum() or 1.0)
