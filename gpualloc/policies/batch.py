"""Batch: all requests of a plan are packed together by an integer programme; what comes later, or alone, by `pack`.

Patterns of shares on one GPU are chosen by an integer programme (HiGHS), bundles of shares count as one GPU, and items
go, the largest first, to the node with the most CPU to spare per free GPU (`policies.batch_pack`). Requests with
constraints beyond a GPU model are placed before, one by one. Needs the extra `lp`. For an objective other than
`balanced` there is no programme: requests are placed one by one, the largest of equal priority first.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem, Rejection
from gpualloc.model.objective import Objective
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.workload import Request, Workload
from gpualloc.policies.ask import Ask, shape_of
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
    """Gives the requests of the problem the places that the programme found, which are kept for them from the start."""

    def __init__(self, problem: Problem, taste: Taste) -> None:
        super().__init__(problem, taste)
        self._kept: dict[str, Allocation] = {}
        """By workload, what is booked for it and not yet given."""
        self._places: dict[str, tuple[Request, Spot]] = {}
        """By workload, where the programme put it."""
        in_turn = sorted(problem.requests, key=lambda one: (-one.request.priority, one.submitted_at_s, one.id))
        for one in in_turn:
            if not _plain(one.request):  # no pattern may take what it cannot do without
                answer = super().place(one)
                if isinstance(answer, Allocation):
                    self._kept[one.id] = answer
        waiting = [one for one in in_turn if _plain(one.request)]
        if problem.objective is not Objective.BALANCED:
            self._keep_largest_first(waiting)
        elif len(waiting) > 1:
            self._keep_batch(waiting)

    def place(self, workload: Workload) -> Allocation | Rejection:
        """What is kept for the workload, else the best place by score, or why there is none."""
        kept = self._kept.pop(workload.id, None)
        if kept is not None:
            return kept
        request, spot = self._places.get(workload.id, (None, None))
        if spot is not None and request == workload.request:  # given back, and asked for again
            self._keep(workload, spot)
            if workload.id in self._kept:
                return self._kept.pop(workload.id)
        return super().place(workload)

    def _keep_batch(self, waiting: Sequence[Workload]) -> None:
        """Book what the programme finds for them."""
        counts = Counter(self._shape(one.request) for one in waiting)
        batch = pack_batch(self._free_nodes(), counts)
        spots = {shape: deque(found) for shape, found in batch.spots.items()}
        for one in waiting:
            found = spots.get(self._shape(one.request))
            if found:
                node, gpus = found.popleft()
                self._keep(one, Spot(int(node), tuple(map(int, gpus))))

    def _keep_largest_first(self, waiting: Sequence[Workload]) -> None:
        """Book the best place for one after the other: the programme knows nothing of objectives."""
        for one in sorted(waiting, key=_urgent_and_large):
            answer = super().place(one)
            if isinstance(answer, Allocation):
                self._kept[one.id] = answer

    def _keep(self, workload: Workload, spot: Spot) -> None:
        """Book the place for the workload, if it fits there."""
        ask = self.ask(workload.request)
        if self._fits(ask, spot):
            self._places[workload.id] = workload.request, spot
            self._kept[workload.id] = self.take(workload, ask, spot)

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


def _urgent_and_large(workload: Workload) -> tuple[int, ...]:
    shape = shape_of(workload.request)
    return -workload.request.priority, -shape.gpu_milli, -shape.cpu_milli, -shape.memory_mib


def _plain(request: Request) -> bool:
    """Whether nothing but its shape decides where the request may go."""
    constrained = request.nodes or request.labels or request.near or request.numa or request.cpuset or request.gang
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
