"""`ts-dpbp`: dynamic programmes over time, one item after the other, until no item can do better."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from msgspec.structs import replace

from gpualloc.policies.temporal.bill import costs_of
from gpualloc.policies.temporal.case import Case, alike, case_of
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.emptying import empty_devices
from gpualloc.policies.temporal.finish import finish
from gpualloc.policies.temporal.improve import GAIN, most_of, settle
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.plan import TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE, TemporalProblem
from gpualloc.policies.temporal.squeeze import lower_bounds, squeeze
from gpualloc.policies.temporal.starts import series_fit, tightest

EFFORT = 1_200_000_000
"""Numbers that a search looks at before it ends by itself."""
_ROUNDS = 4
_RESTS = 8


def solve(
    problem: TemporalProblem,
    *,
    deadline: float | None = None,
    clock: Callable[[], float] | None = None,
    seed: int = 0,
    tell: Callable[[int], None] | None = None,
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
        tell: told how many percent of the work that it may do are done; it may end long before 100.

    Raises:
        ValueError: arrays of the problem do not belong together, or there is a deadline and no clock.
    """
    effort = Effort(EFFORT, deadline, clock, tell)
    case = case_of(problem)
    found = _searched(case, effort, seed)
    if (case.place != NOWHERE).any():
        found = _rested(case, found, effort, seed)
    return finish(found, complete=not effort.late)


def _rested(case: Case, found: Loads, effort: Effort, seed: int) -> Loads:
    """A plan such that, once everything is where it says first, the same search moves nothing.

    The search goes on from there until it says so; when it does not, or that does not pay, everything stays for now.
    """
    calm = Loads(case, series_fit(case).place)
    for _ in range(_RESTS):
        first = np.where(case.alive[:, 0], found.place[:, 0], case.place)
        if np.array_equal(first, found.case.place):
            final = Loads(case, found.place)
            return final if costs_of(final).total < costs_of(calm).total - GAIN else calm
        if effort.late:
            return min((calm, Loads(case, found.place)), key=lambda loads: costs_of(loads).total)
        found = _searched(replace(case, place=first), effort, seed)
    return calm


def _searched(case: Case, effort: Effort, seed: int) -> Loads:
    """The best plan found, from several first ones."""
    best, least = None, np.inf
    for loads in _starts(case, effort):
        settle(loads, effort)
        total = costs_of(loads).total
        if best is None or total < least - GAIN:
            best, least = loads, total
    assert best is not None
    if case.prices.needed and alike(case):
        best = _squeezed(best, effort, seed)
    for _ in range(_ROUNDS):
        if effort.spent() or not empty_devices(best, most_of(best), effort):
            break
        settle(best, effort)
    return best


def _squeezed(loads: Loads, effort: Effort, seed: int) -> Loads:
    """The same with as few devices as can be found, where that costs less; half the way to the bound is tried first."""
    best, least = loads, costs_of(loads).total
    bounds = lower_bounds(loads.case)
    bound = int(bounds.max())
    step = (most_of(best) - bound + 1) // 2
    while step and not effort.spent():
        found = squeeze(best, most_of(best) - step, bounds, effort, seed)
        if found is not None:
            settle(found, effort)
            total = costs_of(found).total
            if total < least - GAIN:
                best, least = found, total
                step = min(step, (most_of(best) - bound + 1) // 2)
                continue
        step //= 2
    return best


def _starts(case: Case, effort: Effort) -> Iterator[Loads]:
    """First plans, as long as there is effort left."""
    yield series_fit(case, tightest)
    if not effort.spent():
        yield series_fit(case, None)
