"""FGD as published: the steepest descent of expected fragmentation.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent", USENIX ATC
2023, with what its published runs did beside the paper's text: the score is a whole number of percent of a sigmoid, so
that most places tie; what is expected are the shapes that make up 95% of the tasks, host memory aside, weighed among
themselves.
"""

from __future__ import annotations

import numpy as np

from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import DIGITS, Demand
from gpualloc.policies.fragments import Fragments
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste

COVERED = 0.95
"""Part of all tasks that the shapes looked at make up."""


def _descent(board: Board, demand: Demand) -> Scorer:
    fragments = Fragments(board, demand.covering(COVERED))

    def rate(options: Options) -> Floats:
        fall = (fragments.before(options) - fragments.after(options)).round(DIGITS)
        score: Floats = np.floor(100 / (1 + np.exp(-fall)))
        return score

    return rate


class Fgd:
    """Places where the expected fragmentation grows least."""

    name = "fgd"
    version = "1"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_descent))
