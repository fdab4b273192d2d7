"""Best responses: each item in turn takes its cheapest path given the others, until nothing changes."""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct

from gpualloc.policies.temporal.case import Case
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Values
from gpualloc.policies.temporal.recurrence import cheapest_path
from gpualloc.policies.temporal.stage import stage_costs

GAIN = 1e-7
"""Least that a change has to save; less may be noise of sums."""

_FIXED = 300
"""What an interval costs beside its devices, in numbers that are looked at."""
PASSES = 12
"""Most times that all items respond."""


class Terms(Struct, frozen=True):
    """What items reckon with beside their own costs."""

    most: int | None = None
    """As for `stage_costs`."""
    shared: int = NOWHERE
    """Device of which each item on it pays its part, so that all leave when that is cheaper; NOWHERE: of none."""


class Routes(Struct, frozen=True, eq=False):
    """The ways of one item over devices and intervals, and their costs."""

    case: Case
    item: int
    fresh: Flags
    """(A,) of the intervals in which it is alive, before which it was not."""
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
        path = cheapest_path(self.stage, case.enter_price[columns], price, self.fresh, origin)
        if math.isinf(path.cost):
            return np.full(len(self.stage), NOWHERE), path.cost
        left = origin == NOWHERE and now != NOWHERE and not self.fresh[0]
        return columns[path.devices], path.cost + (price if left else 0.0)

    def cost(self, devices: Places) -> float:
        """What a way costs, all of whose devices are among the columns."""
        case = self.case
        at = np.searchsorted(self.columns, devices)
        came = np.concatenate([[case.place[self.item]], devices[:-1]]) != devices
        return float(
            self.stage[np.arange(len(devices)), at].sum()
            + case.enter_price[devices[came | self.fresh]].sum()
            + case.move_price[self.item] * np.count_nonzero(came & ~self.fresh)
        )


def respond(loads: Loads, item: int, terms: Terms, effort: Effort) -> bool:
    """Let one item take its cheapest way, which among equals is the one it has; returns whether it changed.

    Pinned items stay. An item for which there is no way without breaking a limit keeps what it has.
    """
    case, times = loads.case, loads.times[item]
    if case.pinned[item] or not len(times):
        return False
    old = loads.place[item, times].copy()
    loads.take(item)
    columns = loads.candidates(item, np.append(old, case.place[item]))
    stage = stage_costs(loads, item, times, columns, terms.most)
    effort.add(stage.size + _FIXED * len(times))
    if terms.shared != NOWHERE:
        _share(loads, times, columns, stage, terms.shared)
    routes = Routes(case, item, loads.fresh[item], columns, stage)
    new, cost = routes.cheapest()
    if math.isinf(cost) or ((old != NOWHERE).all() and routes.cost(old) - cost <= GAIN):
        new = old
    placed = new != NOWHERE
    loads.put(item, times[placed], new[placed])
    return not np.array_equal(new, old)


def settle(loads: Loads, effort: Effort) -> None:
    """Let items respond until none changes, or so many times, or the effort is spent.

    Each time they reckon with owning as many devices as are on at the worst time. After those that changed, the ones
    that share a device with them respond first; all do before it ends.
    """
    everyone = np.flatnonzero(loads.case.alive.any(axis=1))
    waiting = everyone
    for _ in range(PASSES):
        touched = np.zeros(loads.case.devices + 1, bool)
        terms = Terms(most_of(loads))
        for item in waiting.tolist():
            if effort.spent():
                return
            before = loads.place[item].copy()
            if respond(loads, item, terms, effort):
                touched[before] = touched[loads.place[item]] = True
        touched[NOWHERE] = False
        near = everyone[touched[loads.place[everyone]].any(axis=1)]
        if not len(near) and len(waiting) == len(everyone):
            return
        waiting = near if len(near) else everyone


def most_of(loads: Loads) -> int:
    """How many devices are on at once, at most; 1 at least."""
    return max(1, int(loads.on().max(initial=0)))


def _share(loads: Loads, times: Places, columns: Places, stage: Values, device: int) -> None:
    """Add the item's part of what the device costs where others are on it."""
    case = loads.case
    at = np.flatnonzero(columns == device)
    others = loads.count[times, device]
    part = case.hours[times] * case.on_price[device] / (others + 1)
    stage[:, at] += np.where(others > 0, part, 0.0)[:, None]
