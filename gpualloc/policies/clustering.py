"""GPU clustering as published: work of one kind together, so that nodes hold work of equal size.

The grouping of jobs by GPUs asked for of Xiao et al., "Gandiva: Introspective Cluster Scheduling for Deep Learning",
OSDI 2018, in the form that Weng et al. compare with in "Beware of Fragmentation", USENIX ATC 2023. A kind is work on
parts of devices, or work on n whole devices. In order: nodes with this kind alone, nodes with this kind and others,
nodes without GPU work, nodes with other kinds alone; within each of the four the fuller first, in 25 steps of the
largest node. CPU-only work has no preference.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.allocation import Share
from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste

STEP = 25
"""Marks between two of the four groups of nodes."""


def _like_with_like(board: Board, _demand: Demand) -> Scorer:
    _, most_compute = board.largest

    def rate(options: Options) -> Floats:
        if not options.shape.gpus:
            return np.zeros(options.size)
        kind = options.shape.gpus if options.ask.share is Share.EXCLUSIVE else 0
        kinds = board.work[options.rows]
        there, count = kinds[:, kind], kinds.sum(axis=1)
        group = np.where(there, np.where(count == 1, 3, 2), np.where(count == 0, 1, 0))
        used = STEP * (most_compute - options.idle) // most_compute
        return options.fullest_first((group * STEP + used).astype(np.float64))

    return rate


class Clustering:
    """Takes a node with work of the same number of GPUs, and on it the fullest device."""

    name = "clustering"
    version = "1"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_like_with_like))
