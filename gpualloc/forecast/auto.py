"""The forecaster `auto`: a back-test on the grid itself picks the model of each series and horizon."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gpualloc.forecast.backtest import cuts_of
from gpualloc.forecast.choose import settle
from gpualloc.forecast.grid import doubles
from gpualloc.forecast.models import Bands, candidates
from gpualloc.forecast.past import Past, past_of
from gpualloc.model.forecast import QUANTILES, Forecasts, Grid

Telling = tuple[tuple[str, ...], Bands]
"""Names of models by series, and bands at all origins."""


class Auto:
    """Picks by back-test, corrects the bands by what came, and tells those at the last tick."""

    name = "auto"
    version = "1"

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """As `ports.Forecaster.forecast`."""
        return told(grid, horizons, _tell)


def _tell(past: Past, horizon: int, cuts: Sequence[int]) -> Telling:
    return settle(candidates(past, horizon, cuts), past, horizon, past.rows.shape[1])


def told(grid: Grid, horizons: Sequence[int], tell: Callable[[Past, int, Sequence[int]], Telling]) -> Forecasts:
    """What is told at the last tick of a grid.

    Args:
        grid: the series; of no series or no tick nothing is told.
        horizons: in ticks, ascending, from 1.
        tell: bands at all origins of a past, for one horizon, with fits at these ticks.
    """
    ends = np.full((len(grid.names), len(horizons), len(QUANTILES)), np.nan)
    models = [[""] * len(horizons) for _ in grid.names]
    if grid.names and grid.ticks:
        past = past_of(grid)
        cuts = [*cuts_of(grid.ticks, grid.step_s), grid.ticks - 1]
        for at, horizon in enumerate(horizons):
            names, bands = tell(past, horizon, cuts)
            ends[:, at] = bands[:, -1]
            for series, name in enumerate(names):
                models[series][at] = "" if np.isnan(bands[series, -1, 1]) else name
    return Forecasts(tuple(horizons), doubles(ends), tuple(map(tuple, models)))
