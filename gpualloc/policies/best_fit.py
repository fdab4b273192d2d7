"""Best fit as published: the node with the least left, so that whole nodes stay free for large work.

Weighted best fit over all resources as in Hadary et al., "Protean: VM Allocation Service at Scale", OSDI 2020, in the
form that Weng et al. compare with in "Beware of Fragmentation", USENIX ATC 2023: CPU and compute count half each, as
shares of the largest node, and the score is a whole number of percent.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.instances import FULLEST
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste


def _least_left(board: Board, _demand: Demand) -> Scorer:
    most_cpu, most_compute = board.largest

    def rate(options: Options) -> Floats:
        compute_left = options.idle - options.shape.gpu_milli
        left = (options.cpu_left / most_cpu + compute_left / most_compute) / 2
        return options.fullest_first(np.floor((1 - left) * 100))

    return rate


class BestFit:
    """Takes the node with the least CPU and compute left, and on it the fullest device."""

    name = "best-fit"
    version = "3"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_least_left, FULLEST, by_memory=True))
