"""`ts-dpbp`: dynamic programmes over time, one item after the other, until no item can do better."""

from __future__ import annotations

from collections.abc import Callable

from gpualloc.policies.temporal.bill import costs_of
from gpualloc.policies.temporal.case import case_of
from gpualloc.policies.temporal.finish import finish
from gpualloc.policies.temporal.improve import respond_all
from gpualloc.policies.temporal.plan import TemporalPlan
from gpualloc.policies.temporal.problem import TemporalProblem
from gpualloc.policies.temporal.starts import series_fit

_PASSES = 20


def solve(
    problem: TemporalProblem,
    *,
    deadline: float | None = None,
    clock: Callable[[], float] | None = None,
    seed: int = 0,
) -> TemporalPlan:
    """A plan for the whole horizon; its first interval is what to do now.

    Always answers with the best valid plan found so far. Without a deadline equal problems and seeds have equal
    answers, and a problem in which every item is where the answer put it first is answered without a move there.
    Nothing moves to or from a device on which something unknown (NaN) is.

    Args:
        problem: what to place.
        deadline: reading of the clock at which to stop; None: when nothing gets better.
        clock: seconds, any origin; needed with a deadline.
        seed: draws what the search takes apart.

    Raises:
        ValueError: arrays of the problem do not belong together, or there is a deadline and no clock.
    """
    if deadline is not None and clock is None:
        raise ValueError("a deadline needs a clock")

    def late() -> bool:
        return deadline is not None and clock is not None and clock() >= deadline

    del seed
    case = case_of(problem)
    loads = series_fit(case)
    for _ in range(_PASSES):
        if not respond_all(loads, range(case.items), late, costs_of(loads).needed):
            break
    return finish(loads, complete=not late())
