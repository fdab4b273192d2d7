"""Plans made as time goes on: from what was seen until then, charged with what came.

What an item asks for at most, in memory and in compute, is known from its request: here its peaks. What it uses is
forecast from its past. One that has just come has none, and counts as its request; how long one lasts is not known, so
that all are expected to go on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.forecast import QUANTILES, Grid
from gpualloc.policies.temporal.plan import Move, TemporalPlan
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Prices, TemporalProblem, Values
from gpualloc.ports import Forecaster
from gpualloc.sim.traces.demand import Demand

AHEAD_S = 2 * 3600.0
"""How far plans look, within `MOST_AHEAD` intervals."""
MOST_AHEAD = 12
DRIFT = 0.05
"""A plan is made anew when an item used so much of a GPU more than its upper quantile."""
OVERLOAD_PRICE = 10.0
"""GPU-hours that a GPU-hour of compute asked for in vain is worth."""
_STEPS = (1, 2, 4, 8, 12)
"""Intervals ahead that are forecast; those between take the next one."""

Solver = Callable[[TemporalProblem], TemporalPlan]


class Rolled(Struct, frozen=True, eq=False):
    """Where items were."""

    place: Places
    """(I, T) number of the GPU of each item; -1 where it is not alive."""
    moves: tuple[Move, ...]
    """Those that were made, with the reasons of the plans that made them, numbered as in the demand."""
    plans: int
    """How many plans were made."""
    complete: bool
    """False when a deadline cut one of them short."""


class _Outlook(Struct, frozen=True, eq=False):
    """What is expected from one interval on; (I, H), NaN where nothing can be told."""

    since: int
    median: Values
    upper: Values


def roll(
    known: TemporalProblem,
    demand: Demand,
    forecaster: Forecaster,
    solver: Solver,
    progress: Callable[[int], None] | None = None,
) -> Rolled:
    """Play the demand with plans that do not know what comes.

    Args:
        known: the demand as a problem; of the future nothing of it is used but what items ask for at most.
        demand: where it comes from.
        forecaster: tells what items will use.
        solver: makes each plan.
        progress: told how many intervals are done.
    """
    return _Roll(known, demand, forecaster, solver).run(progress)


class _Roll:
    def __init__(self, known: TemporalProblem, demand: Demand, forecaster: Forecaster, solver: Solver) -> None:
        self._known, self._demand, self._forecaster, self._solver = known, demand, forecaster, solver
        step_s = float(np.nanmedian(demand.lasts_s)) if len(demand.times_s) > 1 else AHEAD_S
        self._step_s = step_s
        self._ahead = int(np.clip(round(AHEAD_S / step_s), 1, MOST_AHEAD))
        self._asks = np.where(known.alive, known.compute, 0.0).max(axis=1)
        self._outlook: _Outlook | None = None
        self._place = np.full(known.alive.shape, NOWHERE, np.int64)

    def run(self, progress: Callable[[int], None] | None) -> Rolled:
        """All intervals."""
        alive, plans = self._known.alive, list[tuple[int, TemporalPlan, Places]]()
        for now in range(alive.shape[1]):
            here = np.where(alive[:, now], self._before(now), NOWHERE)
            if self._outlook is None or self._drifted(now) or now - self._outlook.since >= max(1, self._ahead // 2):
                self._outlook = self._look(now)
                due = True
            else:
                due = bool((alive[:, now] & (here == NOWHERE)).any())
            if due and alive[:, now].any():
                plans.append((now, self._plan(now, here), np.flatnonzero(alive[:, now])))
            if plans:
                made, plan, items = plans[-1]
                self._place[items, now] = np.where(alive[items, now], plan.place[:, now - made], NOWHERE)
            if progress is not None:
                progress(now + 1)
        ends = [*(made for made, _, _ in plans[1:]), alive.shape[1]]
        moves = [
            move
            for (made, plan, items), end in zip(plans, ends, strict=True)
            for move in _made(plan, items.tolist(), made, (end, alive.shape[1]))
            if alive[move.item, move.interval]
        ]
        return Rolled(self._place, tuple(moves), len(plans), all(plan.complete for _, plan, _ in plans))

    def _before(self, now: int) -> Places:
        if now == 0:
            return np.full(len(self._asks), NOWHERE)
        before: Places = self._place[:, now - 1]
        return before

    def _drifted(self, now: int) -> bool:
        """Whether the last interval was not as expected: an item above its band, or a GPU asked for too much."""
        if now == 0 or self._outlook is None:
            return False
        used, last = self._known.compute[:, now - 1], now - 1 - self._outlook.since
        if 0 <= last < self._outlook.upper.shape[1] and (used > self._outlook.upper[:, last] + DRIFT).any():
            return True
        there = self._before(now)
        placed = there != NOWHERE
        return bool((np.bincount(there[placed], weights=used[placed], minlength=1) > 1.0 + 1e-9).any())

    def _look(self, now: int) -> _Outlook:
        """Forecasts for the next intervals, from those before now."""
        shape = (len(self._asks), self._ahead)
        outlook = _Outlook(now, np.full(shape, np.nan), np.full(shape, np.nan))
        items = np.flatnonzero(self._known.alive[:, max(0, now - 1) : now].any(axis=1))
        if not len(items):
            return outlook
        past = np.where(self._known.alive[items, :now], self._demand.compute[items, :now], np.nan)
        grid = Grid(
            names=tuple(self._demand.items[item] for item in items.tolist()),
            start_s=float(self._demand.times_s[0]),
            step_s=self._step_s,
            ticks=now,
            values=array("d", past.tobytes()),
            capacity=(1.0,) * len(items),
        )
        horizons = (*(step for step in _STEPS if step < self._ahead), self._ahead)
        told = self._forecaster.forecast(grid, horizons)
        values = np.array(told.values).reshape(len(items), len(horizons), len(QUANTILES))
        at = np.searchsorted(horizons, np.arange(1, self._ahead + 1))
        outlook.median[items], outlook.upper[items] = values[:, at, 1], values[:, at, 2]
        return outlook

    def _plan(self, now: int, here: Places) -> TemporalPlan:
        """A plan for what is there now, as far as plans look."""
        known, items = self._known, np.flatnonzero(self._known.alive[:, now])
        median, upper = self._expected(now, items)
        hours = np.full(self._ahead, self._step_s / 3600)
        there: Flags = np.ones((len(items), self._ahead), bool)
        problem = replace(
            known,
            items=tuple(known.items[item] for item in items.tolist()),
            hours=hours,
            alive=there,
            compute=median,
            upper=upper,
            memory=np.repeat(known.memory[items].max(axis=1)[:, None], self._ahead, axis=1),
            place=here[items],
            move_price=None if known.move_price is None else known.move_price[items],
            prices=Prices(overload=OVERLOAD_PRICE),
        )
        return self._solver(problem)

    def _expected(self, now: int, items: Places) -> tuple[Values, Values]:
        """Median and upper quantile of the items from now on; what cannot be told is what they ask for."""
        assert self._outlook is not None
        at = np.minimum(np.arange(self._ahead) + now - self._outlook.since, self._ahead - 1)
        asks = self._asks[items, None]
        median, upper = self._outlook.median[items][:, at], self._outlook.upper[items][:, at]
        unknown = np.isnan(median) | np.isnan(upper)
        median = np.where(unknown, asks, np.clip(median, 0.0, asks))
        return median, np.where(unknown, asks, np.clip(upper, median, asks))


def _made(plan: TemporalPlan, items: list[int], made: int, ends: tuple[int, int]) -> Iterator[Move]:
    """The moves of a plan until it and the demand end, with items and intervals numbered as in the demand."""
    for move in plan.moves:
        if made + move.interval < ends[0]:
            yield replace(
                move,
                item=items[move.item],
                interval=made + move.interval,
                when=min(made + move.when, ends[1] - 1),
                forecast=None if move.forecast is None else items[move.forecast],
            )
