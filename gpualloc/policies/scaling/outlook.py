"""What demand may rise to, read from those moments of its own past that were like now.

Demand of a pool is close to a random walk for two hours: its middle cannot be told better than by its last value. How
far it may rise can: it depends on how much is in use already (a full pool rises no more), and on the hour of the day.
The moments of the past are weighted by how like now they were in both, and the wanted quantile of their rises is taken.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

LEVELS = 8
"""Parts into which demand from none to its highest is divided."""
LEVEL_WIDTH = 0.15
"""Distance, as a part of the highest demand, at which a moment counts for 1/e."""
HOUR_WIDTH = 4.0
"""Distance in hours of the day at which a moment counts for 1/e."""
FLOOR = 0.05
"""What a moment counts for that is like now in neither."""
LEAST = 24
"""Fewer known moments than this tell nothing."""
MOST_CAUTION = 3.0
"""The caution up to which it is a quantile; past it the rise at this one is stretched."""
READY_S = 600.0
"""How long after a new node serves the demand is looked at that it is ordered for."""
_HOURS = 24

Floats = NDArray[np.float64]


class Outlook:
    """The rises that followed the moments of a pool's past.

    Args:
        demand: GPUs at each tick up to now, oldest first; NaN is unknown.
        end_s: epoch seconds of the last of them.
        step_s: seconds between ticks.
        window: first and last tick ahead within which the highest demand is looked for, from 1.
    """

    def __init__(self, demand: Floats, end_s: float, step_s: float, window: tuple[int, int]) -> None:
        first, last = window
        rises = _rises(demand, first, last)
        known = np.flatnonzero(~np.isnan(rises))
        known = known[np.argsort(rises[known], kind="stable")]
        self._rises = rises[known]
        self._peak = max(float(np.nanmax(demand, initial=0.0)), 1e-9)
        self._levels = _parts(demand[known] / self._peak)
        ages_s = (len(demand) - 1 - known) * step_s
        self._hours = ((end_s - ages_s) // 3600 % _HOURS).astype(np.intp)
        self._totals: dict[tuple[int, int], Floats] = {}

    def highest(self, demand_gpus: float, at_s: float, caution: float) -> float | None:
        """The demand to be ready for within the window.

        Args:
            demand_gpus: demand now.
            at_s: now, epoch seconds.
            caution: 1, 2, 3: it is passed once in 10, 100, 1000 moments like this; above 3 the rise is stretched.

        Returns:
            GPUs; None when too little of the past is known.
        """
        if len(self._rises) < LEAST:
            return None
        level = min(int(demand_gpus / self._peak * LEVELS), LEVELS - 1)
        total = self._total(level, int(at_s // 3600 % _HOURS))
        share = 1.0 - 10.0 ** -min(caution, MOST_CAUTION)
        place = min(int(np.searchsorted(total, share * total[-1])), len(total) - 1)
        return demand_gpus + float(self._rises[place]) * max(1.0, caution - MOST_CAUTION + 1.0)

    def _total(self, level: int, hour: int) -> Floats:
        """Sums of the weights of the moments, by ascending rise, as they are like this level and hour."""
        if (level, hour) not in self._totals:
            weights = _BY_LEVEL[level][self._levels] * _BY_HOUR[hour][self._hours] + FLOOR
            self._totals[level, hour] = np.cumsum(weights)
        return self._totals[level, hour]


def windows(warmup_s: float, horizon_s: float, step_s: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last tick ahead: of the demand that a node ordered now is for, and of that until the horizon."""
    lead = max(1, math.ceil(warmup_s / step_s - 1e-9))
    ready = lead + round(READY_S / step_s)
    return (lead, ready), (lead, max(ready, round(horizon_s / step_s)))


def caution_of(risk: float) -> float:
    """The caution that takes a risk, which is above 0 and below 1."""
    return -math.log10(risk)


def _rises(demand: Floats, first: int, last: int) -> Floats:
    """How far each moment's demand rose (or at least fell) within the window after it; NaN where that is not known."""
    count = len(demand) - last
    if count <= 0:
        return np.empty(0)
    highest = demand[first : first + count].copy()
    for ahead in range(first + 1, last + 1):
        np.maximum(highest, demand[ahead : ahead + count], out=highest)
    return highest - demand[:count]


def _parts(ratio: Floats) -> NDArray[np.intp]:
    return np.clip(ratio * LEVELS, 0, LEVELS - 1).astype(np.intp)


def _near(count: int, width: float, around: int | None = None) -> Floats:
    away = np.abs(np.subtract.outer(np.arange(count), np.arange(count))).astype(float)
    if around is not None:
        away = np.minimum(away, around - away)
    near: Floats = np.exp(-np.square(away / width))
    return near


_BY_LEVEL = _near(LEVELS, LEVEL_WIDTH * LEVELS)
_BY_HOUR = _near(_HOURS, HOUR_WIDTH, _HOURS)
