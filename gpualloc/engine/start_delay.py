"""How long waiting work waits at most, by what is known of the ends of the work before it. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Sequence

from gpualloc.engine.decide import in_turn
from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem
from gpualloc.model.workload import Workload
from gpualloc.ports import Policy

MOST_TRIED = 2000
"""Most times that a place is looked for; a count and not a time, so that the answer does not depend on the machine."""


def start_delay_s(
    problem: Problem, policy: Policy, workloads: Sequence[Workload], waiting: Collection[str]
) -> float | None:
    """How long the requests of the problem wait at most from now on, on average, if nothing else is submitted.

    Work ends at the latest when its --at-most is over. None when nothing is known to end that one of them waits for,
    when there are too many to tell, or when the policy alone would leave others waiting than the plan does.

    Args:
        problem: what is decided.
        policy: who decides.
        workloads: all work that has not ended.
        waiting: ids of those that the plan gives no place.
    """
    if not waiting:
        return 0.0
    queue = _Queue(problem, policy, workloads)
    if {workload.id for workload in queue.waiting} != set(waiting):
        return None
    delays_s = queue.delays_s()
    return None if delays_s is None else sum(delays_s) / len(problem.requests)


class _Queue:
    """Work that waits, and work that ends."""

    def __init__(self, problem: Problem, policy: Policy, workloads: Sequence[Workload]) -> None:
        self._now_s = problem.snapshot.at_s
        self._session = policy.begin(problem)
        self._ends: list[tuple[float, str, tuple[Allocation, ...]]] = []
        held: defaultdict[str, list[Allocation]] = defaultdict(list)
        for part in problem.running:
            held[part.workload].append(part)
        for workload in workloads:
            began_s, most_s = workload.started_at_s, workload.request.at_most_s
            if workload.id in held and began_s is not None and most_s is not None:
                end_s = max(began_s + most_s, self._now_s)
                heapq.heappush(self._ends, (end_s, workload.id, tuple(held[workload.id])))
        self.waiting = [workload for workload in in_turn(problem) if not self._begins(workload, self._now_s)]

    def delays_s(self) -> list[float] | None:
        """After how long each of those that wait begins at the latest; None when that is not known of all."""
        found: list[float] = []
        tried = 0
        while self.waiting and self._ends and tried <= MOST_TRIED:
            at_s, _, parts = heapq.heappop(self._ends)
            for part in parts:
                self._session.free(part)
            tried += len(self.waiting)
            left = [workload for workload in self.waiting if not self._begins(workload, at_s)]
            found += [at_s - self._now_s] * (len(self.waiting) - len(left))
            self.waiting = left
        return None if self.waiting else found

    def _begins(self, workload: Workload, at_s: float) -> bool:
        """Whether it gets a place at that time."""
        answer = self._session.place(workload)
        if not isinstance(answer, Allocation):
            return False
        if workload.request.at_most_s is not None:
            heapq.heappush(self._ends, (at_s + workload.request.at_most_s, workload.id, (answer,)))
        return True
