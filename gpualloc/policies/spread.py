"""Spread: the emptiest place, so that work disturbs other work as little as possible.

Worst fit, the opposite of best fit in the classic heuristics of bin packing; here by device before node.
"""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.instances import EMPTIEST
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste

DEVICE_FIRST = 1e5
"""Weight of 1/1000 of a free device against 1/1000 of a GPU free on its node; more than any node has."""


def _most_left(board: Board, _demand: Demand) -> Scorer:
    most_cpu, _ = board.largest

    def rate(options: Options) -> Floats:
        cpu: Floats = options.cpu_left / (most_cpu + 1)
        if not options.shape.gpus:
            return cpu
        rated: Floats = options.idle + cpu
        return rated + options.free * DEVICE_FIRST if options.by_device else rated

    return rate


class Spread:
    """Takes the emptiest device for a part of one; else the node with most compute free, then most CPU."""

    name = "spread"
    version = "3"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_most_left, EMPTIEST))
