"""Ask the policy for a place for each request, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Decision, Problem, Rejection, RejectionReason
from gpualloc.model.workload import Workload
from gpualloc.ports import Policy

NO_TIME = "the deadline came before it was looked at; the next run goes on"
"""Said of requests that were not decided in time."""


def in_turn(problem: Problem) -> list[Workload]:
    """The workloads of the problem in the order in which they get their places: by priority, then age, then id."""
    return sorted(problem.requests, key=lambda work: (-work.request.priority, work.submitted_at_s, work.id))


def decide(problem: Problem, policy: Policy, late: Callable[[], bool] = lambda: False) -> Decision:
    """Place every request of the problem, in turn.

    The order of `problem.requests` does not matter; every request gets exactly one answer.

    Args:
        problem: what is to be decided.
        policy: decides it.
        late: whether there is no more time; what was not asked for then waits.
    """
    session = policy.begin(problem)
    allocations = []
    rejections = []
    for workload in in_turn(problem):
        if late():
            rejections.append(Rejection(workload.id, RejectionReason.POLICY, NO_TIME))
            continue
        answer = session.place(workload)
        if isinstance(answer, Allocation):
            allocations.append(answer)
        else:
            rejections.append(answer)
    return Decision(policy.name, policy.version, problem.seed, tuple(allocations), tuple(rejections), problem.objective)
