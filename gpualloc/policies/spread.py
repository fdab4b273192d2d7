"""Spread: the emptiest place, so that work disturbs other work as little as possible."""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.policies.best_fit import least_left
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.instances import EMPTIEST
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste


def _most_left(board: Board, demand: Demand) -> Scorer:
    least = least_left(board, demand)

    def rate(options: Options) -> Floats:
        return -least(options)

    return rate


class Spread:
    """Takes the emptiest devices on the node with the most CPU and compute left."""

    name = "spread"
    version = "2"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(_most_left, EMPTIEST))
