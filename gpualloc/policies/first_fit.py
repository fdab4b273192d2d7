"""First fit: the first node by name, the first devices by index.

The oldest of the heuristics of bin packing; analysed by Johnson, "Near-Optimal Bin Packing Algorithms", MIT, 1973.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.instances import ANY
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste


def indifferent(_board: Board, _demand: Demand) -> Scorer:
    """Scores every place alike."""

    def rate(options: Options) -> Floats:
        return np.zeros(options.size)

    return rate


class FirstFit:
    """Takes the first place that fits, in the order of node names and device indices."""

    name = "first-fit"
    version = "2"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(indifferent, ANY))
