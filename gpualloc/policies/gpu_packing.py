"""GPU packing as published: devices in use before idle ones, nodes in use before idle ones.

The placement of Weng et al., "MLaaS in the Wild: Workload Analysis and Scheduling in Large-Scale Heterogeneous GPU
Clusters", NSDI 2022, in the form that Weng et al. compare with in "Beware of Fragmentation", USENIX ATC 2023. In order:
the device in use with the least free, in steps of a tenth; then nodes in use with the fewest idle devices to open; then
idle nodes, those with fewer devices first. CPU-only work has no preference.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.decision import Problem
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.board import Board, Floats, Ints
from gpualloc.policies.demand import Demand
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste

BEST = 100
"""Marks of a device in use with nothing to spare; a node in use begins at a half of that, an idle one at a third."""


def _fullest(board: Board, _demand: Demand) -> Scorer:
    def rate(options: Options) -> Floats:
        if not options.shape.gpus:
            return np.zeros(options.size)
        rows = options.rows
        total = board.total_gpus[rows]
        untouched = (board.free[rows] == GPU_MILLI).sum(axis=1) == total
        on_idle_node = np.maximum(BEST // 3 - total, total)
        on_used_node = np.maximum(_on_used_node(options), BEST // 3)
        marks = np.where(untouched, on_idle_node, on_used_node)
        return options.fullest_first(marks.astype(np.float64))

    return rate


def _on_used_node(options: Options) -> Ints:
    """(P,) marks on nodes of which not all devices are idle."""
    to_open, free = _opened(options)
    spare = free * 100 // GPU_MILLI // 10
    return np.where(to_open > 0, BEST // 2 - to_open, np.maximum(BEST - spare, BEST // 2))


def _opened(options: Options) -> tuple[Ints, Ints]:
    """(P,) how many idle devices an option takes, and what is free in sum on all it takes."""
    if options.by_device:
        return (options.free == GPU_MILLI).astype(np.int64), options.free
    free = np.where(options.taken(), options.board.free[options.rows], 0)
    return (free == GPU_MILLI).sum(axis=1), free.sum(axis=1)


class GpuPacking:
    """Takes devices in use before idle ones, and nodes in use before idle ones."""

    name = "gpu-packing"
    version = "1"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_fullest))
