"""How long waiting work waits at most, by what is known of the ends of the work before it. Pure."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence

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
    queue = Queue(problem, policy, workloads, latest_end_s)
    if {workload.id for workload in queue.waiting} != set(waiting):
        return None
    starts = queue.starts()
    delays_s = [starts[identity] - problem.snapshot.at_s for identity in waiting if identity in starts]
    return sum(delays_s) / len(problem.requests) if len(delays_s) == len(set(waiting)) else None


def latest_end_s(workload: Workload, began_s: float) -> float | None:
    """When work that began then ends at the latest; None when it has no limit."""
    return None if workload.request.at_most_s is None else began_s + workload.request.at_most_s


class Queue:
    """Work that waits, and work that ends.

    Args:
        problem: what is decided.
        policy: who decides.
        workloads: all work that has not ended.
        end_of: when work ends that began at an epoch second; None when that is not known.
    """

    def __init__(
        self,
        problem: Problem,
        policy: Policy,
        workloads: Sequence[Workload],
        end_of: Callable[[Workload, float], float | None],
    ) -> None:
        self._now_s = problem.snapshot.at_s
        self._session = policy.begin(problem)
        self._end_of = end_of
        self._ends: list[tuple[float, str, tuple[Allocation, ...]]] = []
        self._starts: dict[str, float] = {}
        held: defaultdict[str, list[Allocation]] = defaultdict(list)
        for part in problem.running:
            held[part.workload].append(part)
        for workload in workloads:
            began_s = workload.started_at_s
            end_s = None if workload.id not in held or began_s is None else end_of(workload, began_s)
            if end_s is not None:
                heapq.heappush(self._ends, (max(end_s, self._now_s), workload.id, tuple(held[workload.id])))
        self.waiting = [workload for workload in in_turn(problem) if not self._begins(workload, self._now_s)]
        """What gets no place now, in turn."""

    def starts(self) -> dict[str, float]:
        """When each begins, epoch seconds, by id; those of which that is not known are left out."""
        tried = 0
        while self.waiting and self._ends and tried <= MOST_TRIED:
            at_s, _, parts = heapq.heappop(self._ends)
            for part in parts:
                self._session.free(part)
            tried += len(self.waiting)
            self.waiting = [workload for workload in self.waiting if not self._begins(workload, at_s)]
        return self._starts

    def _begins(self, workload: Workload, at_s: float) -> bool:
        """Whether it gets a place at that time."""
        answer = self._session.place(workload)
        if not isinstance(answer, Allocation):
            return False
        self._starts[workload.id] = at_s
        end_s = self._end_of(workload, at_s)
        if end_s is not None:
            heapq.heappush(self._ends, (end_s, workload.id, (answer,)))
        return True
