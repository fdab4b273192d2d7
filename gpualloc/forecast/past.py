"""The past of series as models see it: at each origin what was known then, and what became of it at a horizon."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.forecast.grid import Matrix, capacities, matrix
from gpualloc.forecast.recent import DAY_S, Recent, Replay, replay
from gpualloc.model.forecast import Grid

MAX_ORIGINS = 400_000
"""Series times origins that are looked at; of more an even choice is taken, the last tick among it."""
_FEWEST_IN_WINDOW = 12


class Past(Struct, frozen=True):
    """Series up to their last tick, and the origins at which forecasts are made and scored."""

    rows: Matrix
    """By series and tick; NaN is unknown."""
    carried: Matrix
    """The same with the latest known value in every gap."""
    step_s: float
    ticks: NDArray[np.int64]
    """The origins, ascending; the last one is the last tick."""
    capacity: Matrix
    """Of each series; NaN is unknown."""
    seen: Replay
    """What was remembered at the origins."""
    recent: Recent
    """What is remembered at the last tick."""
    stride: int
    """Ticks from one origin to the next."""

    @property
    def period(self) -> int:
        """Ticks of a day, at least 1."""
        return max(1, round(DAY_S / self.step_s))

    def became(self, horizon: int) -> Matrix:
        """What the series were `horizon` ticks after each origin; NaN where unknown or not there yet."""
        series, count = self.rows.shape
        out: Matrix = np.full((series, len(self.ticks)), np.nan)
        targets = self.ticks + horizon
        there = targets < count
        out[:, there] = self.rows[:, targets[there]]
        out[np.isnan(self.seen.latest)] = np.nan
        return out

    def known_by(self, tick: int, horizon: int) -> int:
        """How many origins, from the first on, had their outcome known before that tick."""
        return int(np.searchsorted(self.ticks, tick - horizon, side="left"))

    def origin(self, tick: int) -> int:
        """The place of the first origin at or after that tick."""
        return int(np.searchsorted(self.ticks, tick, side="left"))

    def windows(self, seconds: float, first: int, last: int) -> Matrix:
        """The values of so long up to each origin from place `first` to before `last`, NaN before the series."""
        width = max(_FEWEST_IN_WINDOW, round(seconds / self.step_s))
        places = self.ticks[first:last, None] - np.arange(width)[None, ::-1]
        found = self.carried[:, np.maximum(places, 0)]
        found[:, places < 0] = np.nan
        return found


def past_of(grid: Grid) -> Past:
    """The past of a grid, looked at from as many of its ticks as can be."""
    rows = matrix(grid)
    stride = max(1, -(-rows.size // MAX_ORIGINS))
    ticks = np.arange(grid.ticks - 1, -1, -stride)[::-1].copy()
    most = capacities(grid)
    seen, recent = replay(rows, grid.step_s, most, ticks.tolist())
    return Past(rows, carried(rows), grid.step_s, ticks, most, seen, recent, stride)


def carried(rows: Matrix) -> Matrix:
    """The rows with the latest known value in every gap; NaN before the first."""
    places = np.where(np.isnan(rows), 0, np.arange(rows.shape[1]))
    np.maximum.accumulate(places, axis=1, out=places)
    return np.take_along_axis(rows, places, axis=1)
