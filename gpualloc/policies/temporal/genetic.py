"""A genetic search over which items share a device for good, as a second solver beside `ts-dpbp`.

What is inherited are whole devices with what is on them, the fullest first (grouping genetic algorithm, Falkenauer
1996, with the crossover by rank of Quiroz-Castellanos et al. 2015). Nothing moves while plans are bred; at the end the
items of the best one respond to each other, and may.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct

from gpualloc.policies.temporal.bill import costs_of
from gpualloc.policies.temporal.case import Case, case_of
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.finish import finish
from gpualloc.policies.temporal.improve import settle
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.plan import TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE, Places, TemporalProblem, Values
from gpualloc.policies.temporal.ruin import Packing, Window, distinct
from gpualloc.policies.temporal.starts import padded, series_fit, tightest
from gpualloc.policies.temporal.ts_dpbp import EFFORT

_POPULATION = 24
_GENERATIONS = 80
_CHILDREN = 12
"""New plans in each generation."""
_DISSOLVED = 3
"""Devices that a mutation takes apart, the least filled first."""


class _Plan(Struct, frozen=True, eq=False):
    """One of the population; the lower the better."""

    place: Places
    devices: int
    spare: float
    """How unevenly the devices are filled, the other way round: full and empty ones are better than half-full ones."""

    @property
    def rank(self) -> tuple[int, float]:
        return self.devices, self.spare


def solve_genetic(
    problem: TemporalProblem,
    *,
    deadline: float | None = None,
    clock: Callable[[], float] | None = None,
    seed: int = 0,
    tell: Callable[[int], None] | None = None,
) -> TemporalPlan:
    """A plan, as `solve` gives one. For devices that are all alike, with nothing on them yet.

    Raises:
        ValueError: arrays of the problem do not belong together, or there is a deadline and no clock.
    """
    effort = Effort(EFFORT, deadline, clock, tell)
    case = case_of(problem)
    first = series_fit(case, tightest)
    items = np.flatnonzero(case.alive.any(axis=1))
    best = first
    if len(items) and not (first.place[items] == NOWHERE).all():
        place = _Breeding(case, items, effort, seed).run(_constant(first, items))
        best = _loads(case, items, place)
    for loads in (best, first):
        settle(loads, effort)
    best = min((best, first), key=lambda loads: costs_of(loads).total)
    return finish(best, complete=not effort.late)


class _Breeding:
    def __init__(self, case: Case, items: Places, effort: Effort, seed: int) -> None:
        everything = np.arange(case.intervals)
        demand = padded(case)[items]
        sizes = np.concatenate([demand, case.memory[items]], axis=1)
        rooms = np.repeat([case.device_compute, case.device_memory], len(everything), axis=0).T
        self._window = Window(*distinct(sizes, rooms), case.allowed[items])
        self._effort = effort
        self._numbers = np.random.Generator(np.random.PCG64(seed))

    def run(self, place: Places) -> Places:
        """The best placing after all generations, beginning with this one and others drawn."""
        nothing = np.full(len(place), NOWHERE)
        few = min(_POPULATION, 2 * len(place))
        plans = [self._judged(place)]
        plans += [self._grown(nothing) for _ in range(few - 1)]
        for _ in range(min(_GENERATIONS, 2 * len(place))):
            if self._effort.spent():
                break
            plans.sort(key=lambda plan: plan.rank)
            children = [self._child(plans) for _ in range(_CHILDREN)]
            plans = sorted([*plans, *children], key=lambda plan: plan.rank)
            plans = _different(plans)[:_POPULATION]
        return min(plans, key=lambda plan: plan.rank).place

    def _child(self, plans: list[_Plan]) -> _Plan:
        half = max(1, len(plans) // 2)
        one, other = (plans[int(self._numbers.integers(half))] for _ in range(2))
        place = self._crossed(one.place, other.place)
        if self._numbers.random() < 0.5:
            place = self._dissolved(place)
        return self._grown(place)

    def _crossed(self, one: Places, other: Places) -> Places:
        """Devices of both, the fullest first, as long as no item is on two; the rest has no place."""
        child = np.full(len(one), NOWHERE)
        used = 0
        pairs = [(fill, parent, device) for parent in (0, 1) for device, fill in self._fills((one, other)[parent])]
        for _, parent, device in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
            members = np.flatnonzero((one, other)[parent] == device)
            if (child[members] == NOWHERE).all() and used < len(self._window.rooms):
                child[members] = used
                used += 1
        return child

    def _dissolved(self, place: Places) -> Places:
        """Without the least filled devices, and one drawn."""
        fills = sorted(self._fills(place), key=lambda pair: (pair[1], pair[0]))
        gone = [device for device, _ in fills[: int(self._numbers.integers(1, _DISSOLVED + 1))]]
        gone += [fills[int(self._numbers.integers(len(fills)))][0]] if fills else []
        return np.where(np.isin(place, gone), NOWHERE, place)

    def _fills(self, place: Places) -> list[tuple[int, float]]:
        """Devices that are used, and how full each is, 0..1."""
        used = np.unique(place[place != NOWHERE])
        full = self._filled(place)[used]
        return list(zip(used.tolist(), full.tolist(), strict=True))

    def _filled(self, place: Places) -> Values:
        rooms = self._window.rooms
        taken = np.zeros_like(rooms)
        there = place != NOWHERE
        np.add.at(taken, place[there], self._window.sizes[there])
        filled: Values = (taken / rooms).mean(axis=1)
        return filled

    def _grown(self, place: Places) -> _Plan:
        """Everything that has no place gets one."""
        packing = Packing(self._window, place, self._numbers)
        packing.insert(np.flatnonzero(place == NOWHERE))
        self._effort.add(self._window.sizes.size * 4)
        return self._judged(packing.place)

    def _judged(self, place: Places) -> _Plan:
        filled = self._filled(place)
        lost = int((place == NOWHERE).sum())
        return _Plan(place, int((filled > 0).sum()) + lost * len(self._window.rooms), -float((filled**2).sum()))


def _different(plans: list[_Plan]) -> list[_Plan]:
    """Each kind once: plans of equal rank are taken for the same."""
    found: dict[tuple[int, float], _Plan] = {}
    for plan in plans:
        found.setdefault((plan.devices, round(plan.spare, 9)), plan)
    return list(found.values())


def _constant(loads: Loads, items: Places) -> Places:
    place: Places = loads.place[items].max(axis=1)
    return place


def _loads(case: Case, items: Places, place: Places) -> Loads:
    loads = Loads(case)
    for item, device in zip(items.tolist(), place.tolist(), strict=True):
        if device != NOWHERE:
            times = loads.times[item]
            loads.put(item, times, np.full(len(times), device))
    return loads
