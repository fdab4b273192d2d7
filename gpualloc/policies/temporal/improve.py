"""Best responses: each item in turn takes its cheapest path given the others, until nothing changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from gpualloc.policies.temporal.case import Case
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Values
from gpualloc.policies.temporal.recurrence import cheapest_path
from gpualloc.policies.temporal.stage import stage_costs

GAIN = 1e-7
"""Least that a change has to save; less may be noise of sums."""

Late = Callable[[], bool]
"""Whether the time is up."""


@dataclass(frozen=True, slots=True, eq=False)
class Routes:
    """The ways of one item over devices and intervals, and their costs."""

    case: Case
    item: int
    times: Places
    """(A,) intervals in which it is alive."""
    columns: Places
    """(C,) devices."""
    stage: Values
    """(A, C) cost of being there."""

    def cheapest(self) -> tuple[Places, float]:
        """Device in each interval, and the cost; infinite when there is no way."""
        case, columns = self.case, self.columns
        now, price = int(case.place[self.item]), float(case.move_price[self.item])
        found = np.flatnonzero(columns == now)
        origin = int(found[0]) if len(found) else NOWHERE
        fresh = fresh_of(case, self.item, self.times)
        path = cheapest_path(self.stage, case.enter_price[columns], price, fresh, origin)
        if math.isinf(path.cost):
            return np.full(len(self.times), NOWHERE), path.cost
        left = origin == NOWHERE and now != NOWHERE and not fresh[0]
        return columns[path.devices], path.cost + (price if left else 0.0)

    def cost(self, devices: Places) -> float:
        """What a way costs, all of whose devices are among the columns."""
        case = self.case
        at = np.searchsorted(self.columns, devices)
        came = np.concatenate([[case.place[self.item]], devices[:-1]]) != devices
        fresh = fresh_of(case, self.item, self.times)
        return float(
            self.stage[np.arange(len(devices)), at].sum()
            + case.enter_price[devices[came | fresh]].sum()
            + case.move_price[self.item] * np.count_nonzero(came & ~fresh)
        )


def respond(loads: Loads, item: int, most: int | None = None, without: int = NOWHERE) -> bool:
    """Let one item take its cheapest path; returns whether it changed.

    Args:
        loads: what everything is on; changed.
        item: which; pinned items stay.
        most: as for `stage_costs`.
        without: a device that it may not be on; NOWHERE: it may be on all.
    """
    case, times = loads.case, loads.times[item]
    if case.pinned[item] or not len(times):
        return False
    old = loads.place[item, times].copy()
    loads.take(item)
    columns = loads.candidates(item)
    columns = np.union1d(columns, old[(old != NOWHERE) & (old != without)])
    columns = columns[columns != without]
    routes = Routes(case, item, times, columns, stage_costs(loads, item, times, columns, most))
    new, cost = routes.cheapest()
    if math.isinf(cost) or (without == NOWHERE and (old != NOWHERE).all() and routes.cost(old) - cost <= GAIN):
        new = old
    placed = new != NOWHERE
    loads.put(item, times[placed], new[placed])
    return not np.array_equal(new, old)


def respond_all(loads: Loads, items: Iterable[int], late: Late, most: int | None = None) -> int:
    """Let items respond one after the other; returns how many changed."""
    changed = 0
    for item in items:
        if late():
            break
        changed += respond(loads, item, most)
    return changed


def fresh_of(case: Case, item: int, times: Places) -> Flags:
    """(times,) where the item comes anew: it was not alive before, or had no place before the first interval."""
    fresh: Flags = np.diff(times, prepend=np.int64(-1)) > 1
    if times[0] == 0:
        fresh[0] = case.place[item] == NOWHERE
    return fresh
