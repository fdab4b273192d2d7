"""Best fit: least leftover, so that whole nodes stay free for large work."""

from __future__ import annotations

from gpualloc.model.decision import Problem
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.policies.board import Board, Floats
from gpualloc.policies.demand import Demand
from gpualloc.policies.instances import FULLEST
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Scorer
from gpualloc.policies.session import BoardSession, Taste


def least_left(board: Board, _demand: Demand) -> Scorer:
    """Half the share of CPU that is left and half that of compute, each of the largest node's; less is better."""
    most_cpu = max(int(board.total_cpu.max(initial=0)), 1)
    most_compute = max(int(board.total_gpus.max(initial=0)), 1) * GPU_MILLI

    def rate(options: Options) -> Floats:
        idle = board.free[options.rows].sum(axis=1)
        left: Floats = (options.cpu_left / most_cpu + (idle - options.shape.gpu_milli) / most_compute) / 2
        if not options.by_device:
            return -left
        # Nodes are told apart first, the fullest device of a node after.
        return -left - options.free / GPU_MILLI * 1e-3

    return rate


class BestFit:
    """Takes the node with the least CPU and compute left, and on it the fullest device."""

    name = "best-fit"
    version = "2"

    def begin(self, problem: Problem) -> BoardSession:
        """Start deciding the problem."""
        return BoardSession(problem, Taste(least_left, FULLEST, by_memory=True))
