"""What series were, and what they are expected to become: flat buffers of doubles, so that nothing is copied."""

from __future__ import annotations

import math
from array import array

from msgspec import Struct

QUANTILES = (0.05, 0.5, 0.95)
"""What a band tells: the lower edge, the median and the upper edge of the middle 90 %."""


class Band(Struct, frozen=True):
    """What one series is expected to be at one horizon, in the unit of the series."""

    low: float
    """The value that it stays below in 5 of 100 cases."""
    median: float
    high: float
    """The value that it stays below in 95 of 100 cases."""


class Grid(Struct, frozen=True):
    """Series on one even grid of times, oldest first."""

    names: tuple[str, ...]
    """One for each series, none twice."""
    start_s: float
    """Epoch seconds of the first tick."""
    step_s: float
    """Seconds between ticks, above 0."""
    ticks: int
    values: array[float]
    """Doubles, series by series, `ticks` of each; NaN is unknown, never 0."""
    capacity: tuple[float | None, ...] = ()
    """The most that each series could be; None is unknown; empty: of none is it known."""

    @property
    def end_s(self) -> float:
        """Epoch seconds of the last tick."""
        return self.start_s + (self.ticks - 1) * self.step_s


class Forecasts(Struct, frozen=True):
    """What the series of a grid are expected to be after its last tick."""

    horizons: tuple[int, ...]
    """In ticks of the grid, ascending, from 1."""
    values: array[float]
    """Doubles: series by series, horizon by horizon, one for each of `QUANTILES`; NaN where nothing can be told."""
    models: tuple[tuple[str, ...], ...]
    """Name of the model by series and horizon; empty text where nothing can be told."""

    def band(self, series: int, horizon: int) -> Band | None:
        """What is expected of the series at that place at the horizon at that place; None when nothing can be told."""
        first = (series * len(self.horizons) + horizon) * len(QUANTILES)
        low, median, high = self.values[first : first + len(QUANTILES)]
        return None if math.isnan(median) else Band(low, median, high)
