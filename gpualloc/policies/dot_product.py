"""Dot product as published: the node whose free room, as a vector, has the smallest product with the request.

The alignment score of Grandl et al., "Multi-Resource Packing for Cluster Schedulers" (Tetris), SIGCOMM 2014, in the
form that Weng et al. compare with in "Beware of Fragmentation", USENIX ATC 2023: over CPU and compute as shares of the
largest node, smaller first, in whole percent; on the node the fullest device that would do.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste


def _alignment(board: Board, _demand: Demand) -> Scorer:
    most_cpu, most_compute = board.largest

    def rate(options: Options) -> Floats:
        cpu = board.cpu[options.rows] / most_cpu * (options.shape.cpu_milli / most_cpu)
        compute = options.idle / most_compute * (options.shape.gpu_milli / most_compute)
        return options.fullest_first(np.floor((1 - (cpu + compute) / 2) * 100))

    return rate


class DotProduct:
    """Takes the node whose free CPU and compute have the smallest dot product with the request."""

    name = "dot-product"
    version = "1"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_alignment))
