"""Tasks that come and go on a simulated cluster with a virtual clock: who waits, for how long, and what is in use.

A task that finds no place waits. Whenever a task leaves, those that wait are tried again in the order in which they
came; what fits goes, past what does not. Nobody gives up waiting. Within a budget running tasks are moved so that one
that waits fits. Decisions come from the session that plans use too; a referee that shares nothing with it checks them.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.books import Books, Violation
from gpualloc.engine.churn_figures import Figures
from gpualloc.engine.churn_trial import ChurnTrial
from gpualloc.engine.migration import moves_for
from gpualloc.model.allocation import Allocation
from gpualloc.model.shapes import Shape
from gpualloc.ports import Policy
from gpualloc.sim.traces.churn import ChurnResult, Migrations

HOUR_S = 3600.0
SEARCH_EVERY_S = 60.0
"""Time of the trace between two searches for moves."""
SEARCHED = 4
"""Kinds of waiting tasks that one search looks at, those that wait longest."""


class Running(Struct, frozen=True):
    """A task that has its place."""

    arrival: int
    row: int
    shape: Shape
    allocation: Allocation
    gpus: tuple[int, ...]
    ends_s: float

    @property
    def node(self) -> str:
        """Where it runs."""
        return self.allocation.node


def simulate_churn(
    trial: ChurnTrial, policy: Policy, clock: Callable[[], float], progress: Callable[[int], None] | None = None
) -> ChurnResult:
    """Let the tasks come, wait, run and leave.

    Args:
        trial: what to run.
        policy: any policy.
        clock: seconds that time the decisions; they decide nothing.
        progress: told how many tasks have arrived, now and then.
    """
    run = _Run(trial, policy, clock)
    for arrival, at_s in enumerate(trial.times.arrives_s.tolist()):
        run.until(at_s)
        run.arrive(arrival, at_s)
        if progress is not None and arrival % 256 == 0:
            progress(arrival)
    run.until(None)
    return run.result()


class _Run:
    """The state of one run."""

    def __init__(self, trial: ChurnTrial, policy: Policy, clock: Callable[[], float]) -> None:
        self._trial = trial
        counts = np.bincount(trial.tasks.shape_of[trial.times.rows], minlength=len(trial.tasks.shapes)).tolist()
        self._books = Books(trial.nodes, trial.tasks.shapes, policy, expected=counts, seed=trial.seed or 0, clock=clock)
        self._figures = Figures(self._books, trial)
        self._names = tuple(node.name for node in trial.nodes)
        self._shape_of = trial.tasks.shape_of[trial.times.rows].tolist()
        self._rows = trial.times.rows.tolist()
        self._left_s = trial.times.lasts_s.copy()
        """How long each arrival has still to run when it gets a place."""
        self._leaving: list[tuple[float, int]] = []
        self._begun: set[int] = set()
        """Arrivals that have had a place; one that was moved may wait again."""
        self._running: dict[int, Running] = {}
        self._on_node: defaultdict[str, set[int]] = defaultdict(set)
        self._queues: dict[int, deque[int]] = {}
        """Waiting arrivals by the number of their shape."""
        self._opened: set[str] = set()
        self._moved_at_s: deque[float] = deque()
        self._searched_s = -np.inf
        self._moves = self._helped = self._stranded = 0
        self._policy = policy

    def arrive(self, arrival: int, at_s: float) -> None:
        """A task comes. It does not overtake one that waits for the same."""
        self._figures.holds(at_s)
        number = self._shape_of[arrival]
        if number in self._queues or not self._start(arrival, at_s):
            self._wait(arrival)

    def until(self, at_s: float | None) -> None:
        """Let everything leave that is due by then (None: everything), and what waits move up."""
        while self._leaving and (at_s is None or self._leaving[0][0] <= at_s):
            now_s = self._leaving[0][0]
            while self._leaving and self._leaving[0][0] == now_s:
                self._leave(heapq.heappop(self._leaving)[1], now_s)
            if self._queues:
                self._move_up(now_s)
                self._migrate(now_s)
            self._opened.clear()

    def _leave(self, arrival: int, now_s: float) -> None:
        placed = self._running.get(arrival)
        if placed is None or placed.ends_s != now_s:
            return  # it was moved and leaves later
        self._figures.holds(now_s)
        self._take_back(placed)
        self._figures.left(now_s)

    def _take_back(self, placed: Running) -> None:
        del self._running[placed.arrival]
        self._on_node[placed.node].discard(placed.arrival)
        self._books.free(placed.shape, placed.allocation, placed.gpus)
        self._opened.add(placed.node)

    def _move_up(self, now_s: float) -> None:
        """Try those that wait, in their order; what was refused is not asked for again until more leaves."""
        openings = [self._books.opening(node) for node in sorted(self._opened)]
        heads = [(queue[0], number) for number, queue in self._queues.items()]
        heapq.heapify(heads)
        while heads:
            arrival, number = heapq.heappop(heads)
            shape = self._trial.tasks.shapes[number]
            if not any(opening.holds(shape) for opening in openings) or not self._start(arrival, now_s):
                continue
            openings = [self._books.opening(node) for node in sorted(self._opened)]
            self._no_longer_waits(number)
            if number in self._queues:
                heapq.heappush(heads, (self._queues[number][0], number))

    def _start(self, arrival: int, now_s: float) -> bool:
        """Ask for a place; whether the task is done with waiting, in its place or dropped for a wrong answer."""
        shape = self._trial.tasks.shapes[self._shape_of[arrival]]
        answer = self._books.place(arrival, self._rows[arrival], self._shape_of[arrival])
        if answer is None:
            return False
        if isinstance(answer, Violation):
            self._figures.dropped(shape)
            return True
        ends_s = now_s + float(self._left_s[arrival])
        allocation, gpus = answer
        placed = Running(arrival, self._rows[arrival], shape, allocation, gpus, ends_s)
        self._running[arrival] = placed
        self._on_node[placed.node].add(arrival)
        heapq.heappush(self._leaving, (ends_s, arrival))
        if arrival not in self._begun:
            self._begun.add(arrival)
            self._figures.started(arrival, shape, now_s)
        return True

    def _wait(self, arrival: int, *, first: bool = False) -> None:
        queue = self._queues.setdefault(self._shape_of[arrival], deque())
        if first:
            queue.appendleft(arrival)
        else:
            queue.append(arrival)
        self._figures.waiting += 1

    def _no_longer_waits(self, number: int) -> None:
        self._queues[number].popleft()
        self._figures.waiting -= 1
        if not self._queues[number]:
            del self._queues[number]

    def _migrate(self, now_s: float) -> None:
        if not self._queues or now_s < self._searched_s + SEARCH_EVERY_S or not self._moves_left(now_s):
            return
        self._searched_s = now_s
        heads = sorted((queue[0], number) for number, queue in self._queues.items())[:SEARCHED]
        for arrival, number in heads:
            shape, most = self._trial.tasks.shapes[number], self._moves_left(now_s)
            chosen = moves_for(shape, self._books.referee, self._names, self._movable, most) if most else ()
            if chosen:
                self._make_room(arrival, number, chosen, now_s)

    def _moves_left(self, now_s: float) -> int:
        while self._moved_at_s and self._moved_at_s[0] <= now_s - HOUR_S:
            self._moved_at_s.popleft()
        return self._trial.budget.per_hour - len(self._moved_at_s)

    def _movable(self, node: str) -> Iterator[Running]:
        there = (self._running[arrival] for arrival in self._on_node[node])
        return (placed for placed in there if placed.row not in self._trial.fixed)

    def _make_room(self, arrival: int, number: int, chosen: Iterable[Running], now_s: float) -> None:
        """Move the chosen ones: they go, the waiting one comes, and they come again."""
        moved = sorted(chosen, key=lambda placed: (-placed.shape.gpu_milli, placed.arrival))
        for placed in moved:
            self._take_back(placed)
            self._left_s[placed.arrival] = placed.ends_s - now_s + self._trial.budget.move_s
        if self._start(arrival, now_s):
            self._no_longer_waits(number)
            self._helped += 1
        for placed in moved:
            self._moves += 1
            self._moved_at_s.append(now_s)
            if not self._start(placed.arrival, now_s):
                self._stranded += 1
                self._wait(placed.arrival, first=True)

    def result(self) -> ChurnResult:
        """What came of it."""
        left = [(arrival, self._trial.tasks.shapes[n]) for n, queue in self._queues.items() for arrival in queue]
        found = self._figures.result(self._policy.name, sorted(left))
        return replace(found, migrations=Migrations(self._moves, self._helped, self._stranded))
