"""What is remembered of the recent past of series: of constant size, brought up to date tick by tick.

The models look at series through this alone, live as in a back-test, so that nothing later than a tick can reach a
forecast made at it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.forecast.grid import Matrix, known_quantiles
from gpualloc.model.forecast import QUANTILES

HOUR_S = 3600.0
DAY_S = 86400.0
LEVEL_SPANS_S = (900.0, HOUR_S, 4 * HOUR_S, DAY_S)
"""Times over which the level is averaged, each newer value counting more."""
CHANGE_SPANS_S = (900.0, 2700.0, 10_000.0, 30_000.0, 100_000.0)
"""Times over which the size of changes is averaged."""
RANGE_SPAN_S = DAY_S
"""Time in which the highest and the lowest value fade towards the level."""
SAMPLE_S = 1800.0
"""Every so often the value is kept, for a day."""
FEWEST_SAMPLES = 12
"""With fewer of them known nothing is told of the day."""
MAX_AGE_S = HOUR_S
"""A series whose latest value is older gets no forecast; so does one that missed more than `MAX_AGE_TICKS`."""
MAX_AGE_TICKS = 12
FEATURES = 4 + len(LEVEL_SPANS_S) + len(CHANGE_SPANS_S) + 3

_TINY = 1e-100


class Recent:
    """The recent past of each series, up to the tick that was seen last.

    Args:
        step_s: seconds between ticks.
        scale: what each series is measured by, such as its capacity, above 0; NaN where it is the highest value so far.
    """

    def __init__(self, step_s: float, scale: Matrix) -> None:
        count = len(scale)
        self.step_s = step_s
        self.ticks = 0
        self.age: NDArray[np.int64] = np.zeros(count, np.int64)
        """Ticks since the latest known value."""
        self._begun: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self._now: Matrix = np.zeros(count)
        self._fixed = ~np.isnan(scale)
        self._scale = np.where(self._fixed, scale, 0.0)
        self._levels: Matrix = np.zeros((len(LEVEL_SPANS_S), count))
        self._changes: Matrix = np.zeros((len(CHANGE_SPANS_S), count))
        self._often: Matrix = np.zeros(count)
        self._high: Matrix = np.zeros(count)
        self._low: Matrix = np.zeros(count)
        self._every = max(1, round(SAMPLE_S / step_s))
        self._samples: Matrix = np.full((max(FEWEST_SAMPLES, round(DAY_S / (self._every * step_s))), count), np.nan)
        self._day: Matrix | None = None
        self._level_rates = _rates(LEVEL_SPANS_S, step_s)
        self._change_rates = _rates(CHANGE_SPANS_S, step_s)
        self._range_rate = float(_rates((RANGE_SPAN_S,), step_s)[0, 0])

    @property
    def latest(self) -> Matrix:
        """The latest known value; NaN where none was known yet."""
        return np.where(self._begun, self._now, np.nan)

    @property
    def scale(self) -> Matrix:
        """What each series is measured by: its capacity, or the highest value so far; 0 until it was above 0."""
        return self._scale

    @property
    def level(self) -> Matrix:
        """The level over the shortest span, in the unit of the series."""
        level: Matrix = self._levels[0]
        return level

    @property
    def fresh(self) -> NDArray[np.bool_]:
        """Of which series the latest value is new enough to forecast from."""
        oldest = max(MAX_AGE_TICKS, int(MAX_AGE_S / self.step_s))
        return self._begun & (self.age <= oldest)

    def day(self) -> Matrix:
        """The outer quantiles of what the last day held, by series and side; NaN where too little of it is known."""
        if self._day is None:
            samples = np.ascontiguousarray(self._samples.T)
            self._day = known_quantiles(samples, (QUANTILES[0], QUANTILES[-1]))
            self._day[(~np.isnan(samples)).sum(axis=1) < FEWEST_SAMPLES] = np.nan
        return self._day

    def see(self, values: Matrix) -> None:
        """Take in the values of the next tick, NaN where unknown; nothing but the age of such a series changes."""
        known = ~np.isnan(values)
        every = bool(known.all())
        value = values if every else np.where(known, values, self._now)
        if not self._begun.all():
            self._begin(value, known & ~self._begun)
        moved = np.abs(value - self._now)
        # A rate of 0 leaves what is remembered as it is.
        part: float | Matrix = 1.0 if every else known.astype(np.float64)
        rate = self._range_rate * part
        self._levels += self._level_rates * part * (value - self._levels)
        self._changes += self._change_rates * part * (moved - self._changes)
        self._often += rate * ((moved > 0) - self._often)
        day = self._levels[-1]
        self._high = np.maximum(self._high - rate * (self._high - day), value)
        self._low = np.minimum(self._low - rate * (self._low - day), value)
        np.copyto(self._scale, np.maximum(self._scale, np.abs(value)), where=~self._fixed)
        self._now = value
        self.age = np.where(known, 0, self.age + 1)
        if self.ticks % self._every == 0:
            self._samples[self.ticks // self._every % len(self._samples)] = values
            self._day = None
        self.ticks += 1

    def _begin(self, value: Matrix, begins: NDArray[np.bool_]) -> None:
        """The first known value is all that is known of a series."""
        for kept in (self._now, *self._levels, self._high, self._low):
            np.copyto(kept, value, where=begins)
        self._begun = self._begun | begins

    def features(self) -> Matrix:
        """What the regressions look at, a row for each series, in parts of its scale; without a unit."""
        scale = units(self._scale)
        day = 2 * math.pi * (self.ticks * self.step_s % DAY_S) / DAY_S
        out: Matrix = np.empty((len(scale), FEATURES))
        out[:, 0] = 1.0
        out[:, 1] = self._now / scale
        out[:, 2] = (self._high - self._now) / scale
        out[:, 3] = (self._now - self._low) / scale
        at = 4 + len(LEVEL_SPANS_S)
        out[:, 4:at] = ((self._levels - self._now) / scale).T
        out[:, at : at + len(CHANGE_SPANS_S)] = (self._changes / scale).T
        out[:, -3] = self._often
        out[:, -2] = math.sin(day)
        out[:, -1] = math.cos(day)
        return out


class Replay(Struct, frozen=True):
    """What was remembered at some ticks of the past, each as it stood then."""

    latest: Matrix
    """By series and tick; NaN where nothing could be told then."""
    level: Matrix
    scale: Matrix
    features: NDArray[np.float64]
    """By series, tick and feature."""
    day: NDArray[np.float64]
    """By series, tick and side."""


def replay(rows: Matrix, step_s: float, capacity: Matrix, ticks: Sequence[int]) -> tuple[Replay, Recent]:
    """See all ticks one after another; what was remembered at some of them, and in the end.

    Args:
        rows: by series and tick.
        step_s: seconds between ticks.
        capacity: of each series, NaN where unknown.
        ticks: ascending.
    """
    recent = Recent(step_s, capacity)
    count = len(rows)
    latest, level, scale = (np.full((len(ticks), count), np.nan) for _ in range(3))
    features: Matrix = np.empty((len(ticks), count, FEATURES))
    day: Matrix = np.empty((len(ticks), count, 2))
    at = 0
    columns = np.ascontiguousarray(rows.T)
    for tick, values in enumerate(columns):
        recent.see(values)
        if at < len(ticks) and ticks[at] == tick:
            latest[at] = np.where(recent.fresh, recent.latest, np.nan)
            level[at], scale[at], features[at] = recent.level, recent.scale, recent.features()
            day[at] = recent.day()
            at += 1
    seen = Replay(latest.T, level.T, scale.T, features.transpose(1, 0, 2), day.transpose(1, 0, 2))
    return seen, recent


def units(scale: Matrix) -> Matrix:
    """What values are divided by to be parts of their scale: the scale, or 1 where there is as good as none."""
    return np.where(scale > _TINY, scale, 1.0)


def _rates(spans_s: Sequence[float], step_s: float) -> Matrix:
    """How much the newest value counts, as a column."""
    return np.array([[1 - math.exp(-step_s / span)] for span in spans_s])
