"""Batch: all requests of a plan are packed together by an integer programme; what comes later, or alone, by `pack`.

Patterns of shares on one GPU are chosen by an integer programme (HiGHS), bundles of shares count as one GPU, and items
go, the largest first, to the node with the most CPU to spare per free GPU (`policies.batch_pack`). Requests with
constraints beyond a GPU model are placed one by one. Needs the extra `lp`.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from dataclasses import replace

import numpy as np

from gpualloc.model.allocation import Share
from gpualloc.model.decision import Problem
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.ask import Ask
from gpualloc.policies.batch_nodes import FreeNodes
from gpualloc.policies.batch_pack import pack_batch
from gpualloc.policies.board import Board, Spot
from gpualloc.policies.demand import Demand
from gpualloc.policies.fragments import accepts
from gpualloc.policies.pack import PackScorer
from gpualloc.policies.session import BoardSession, Taste
from gpualloc.policies.weights import DEFAULT

_NO_LIMIT = 1 << 40


class BatchSession(BoardSession):
    """Places requests where the programme put work of their shape, as long as there is such a place."""

    def __init__(self, problem: Problem, taste: Taste) -> None:
        super().__init__(problem, taste)
        counts = Counter(self._shape(one.request) for one in problem.requests if _plain(one.request))
        self._planned: defaultdict[Shape, deque[Spot]] = defaultdict(deque)
        if sum(counts.values()) > 1:
            batch = pack_batch(self._free_nodes(), counts)
            for shape, spots in batch.spots.items():
                self._planned[shape].extend(Spot(int(node), tuple(map(int, gpus))) for node, gpus in spots)

    def best(self, workload: Workload, ask: Ask) -> Spot | None:
        """A place the programme left for the shape, else the best by score."""
        request = workload.request
        planned = self._planned[self._shape(request)] if _plain(request) else deque[Spot]()
        while planned:
            spot = planned.popleft()
            if self._fits(ask, spot):
                return spot
        return super().best(workload, ask)

    def _shape(self, request: Request) -> Shape:
        """The shape with the models of this fleet that its selector takes."""
        shape = self.ask(request).shape
        if not shape.models:
            return shape
        models = tuple(model for model in self.board.models if accepts(shape.models, model))
        return replace(shape, models=models or shape.models)

    def _free_nodes(self) -> FreeNodes:
        board = self.board
        # A device that is free but may not be given as a whole must not look like a whole one.
        free = np.where(board.whole | (board.free < GPU_MILLI), board.parts[Share.TIME_SLICE], 0)
        free = np.where(self.takes_work[:, None], free, 0)
        number = board.model.max(axis=1, initial=-1)
        return FreeNodes(
            cpu_milli=np.where(self.takes_work, board.cpu, 0),
            memory_mib=np.where(self.takes_work, board.memory, 0),
            gpu_milli=free,
            models=tuple(board.models[one] if one >= 0 else "" for one in number.tolist()),
            task_slots=np.where(self.takes_work, _NO_LIMIT, 0),
        )

    def _fits(self, ask: Ask, spot: Spot) -> bool:
        rows = np.array([spot.node])
        usable = ask.usable(self.board, rows)
        room = bool(ask.fits(self.board, rows, usable)[0]) and self.board.memory[spot.node] >= ask.shape.memory_mib
        return bool(room) and bool(usable[0, list(spot.devices)].all())


def _plain(request: Request) -> bool:
    """Whether nothing but its shape decides where the request may go."""
    constrained = request.nodes or request.labels or request.near or request.numa or request.cpuset
    return not constrained and request.gpu_memory_mib is None and request.share in (Share.EXCLUSIVE, Share.TIME_SLICE)


def _scorer(board: Board, demand: Demand) -> PackScorer:
    return PackScorer(board, demand, DEFAULT)


class Batch:
    """Packs everything that waits at once."""

    name = "batch"
    version = "1"

    def begin(self, problem: Problem) -> BatchSession:
        """Start deciding the problem; raises ConfigError when HiGHS is not installed and something is to be packed."""
        return BatchSession(problem, Taste(_scorer, by_memory=True))
