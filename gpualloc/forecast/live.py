"""Forecasts tick by tick: learned now and then, kept up to date in well under a millisecond for thousands of series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpualloc.forecast.backtest import cuts_of
from gpualloc.forecast.conformal import stretched, stretches
from gpualloc.forecast.grid import Matrix, doubles
from gpualloc.forecast.models import BASIC, Linear, day_weight, edges, spread
from gpualloc.forecast.past import Past, past_of
from gpualloc.model.forecast import QUANTILES, Forecasts, Grid


class Tracker:
    """The candidate `spread`, with its bands corrected, for series that grow by a tick at a time.

    What it learns from the past (the errors of each series, the weights of the regression, the correction) is learned
    once; what it remembers of each series is brought up to date with every tick. Make a new one every hour or so.

    Args:
        grid: the past; the next tick comes `grid.step_s` after its last.
        horizons: in ticks, ascending, from 1.
    """

    name = "spread"

    def __init__(self, grid: Grid, horizons: Sequence[int]) -> None:
        past = past_of(grid)
        self._horizons = tuple(horizons)
        self.recent = past.recent
        """What is remembered of the series."""
        self._learned = [_Learned(past, horizon, grid) for horizon in horizons]
        self._positive: NDArray[np.bool_] = ~np.asarray(np.any(past.rows < 0, axis=1), np.bool_)

    def see(self, values: Matrix) -> None:
        """Take in the values of the next tick, one for each series; NaN is unknown."""
        self.recent.see(values)
        np.copyto(self._positive, False, where=values < 0)

    def bands(self) -> Matrix:
        """By series, horizon and quantile; NaN where nothing can be told."""
        recent = self.recent
        latest = np.where(recent.fresh, recent.latest, np.nan)
        features, day, scale = recent.features(), recent.day(), recent.scale
        out: Matrix = np.empty((len(latest), len(self._horizons), len(QUANTILES)))
        for at, learned in enumerate(self._learned):
            moved = (features @ learned.weights) * scale[:, None]
            own, pooled = self._around(latest, learned.edges), self._around(latest, moved)
            raw = spread(own, pooled, day, day_weight(learned.horizon, recent.step_s))
            out[:, at] = stretched(raw[:, None], scale[:, None], learned.powers[:, None])[:, 0]
        return out

    def _around(self, latest: Matrix, off: Matrix) -> Matrix:
        """Bands around the latest values, by series, with edges so far off, by side."""
        out: Matrix = np.empty((len(latest), len(QUANTILES)))
        low, high = latest + off[:, 0], latest + off[:, 1]
        np.maximum(low, 0.0, out=low, where=self._positive)
        out[:, 0], out[:, 2] = np.minimum(low, latest), np.maximum(high, latest)
        out[:, 1] = np.where(np.isnan(low + high), np.nan, latest)
        return out

    def forecasts(self) -> Forecasts:
        """What is told of the series after the tick that was seen last."""
        bands = self.bands()
        told = ~np.isnan(bands[..., 1])
        names = tuple(tuple(self.name if one else "" for one in row) for row in told)
        return Forecasts(self._horizons, doubles(bands), names)


class _Learned:
    """What is learned of one horizon: edges by series and side, weights by feature and side, powers by side."""

    def __init__(self, past: Past, horizon: int, grid: Grid) -> None:
        self.horizon = horizon
        cuts = [*cuts_of(grid.ticks, grid.step_s), grid.ticks]
        last, regression = BASIC[0], Linear()
        became = past.became(horizon)
        own, pooled = (model.bands(past, horizon, cuts[:-1]) for model in (last, regression))
        told = spread(own, pooled, past.seen.day, day_weight(horizon, past.step_s))
        delay = -(-horizon // past.stride)
        self.powers = stretches(told, became, past.seen.scale, delay, past.stride)[:, -1]
        self.edges = np.stack(edges(became - past.seen.latest), axis=1)
        found = regression.weights(past, horizon, grid.ticks, (None,) * len(QUANTILES))
        none = np.full(past.seen.features.shape[-1], np.nan)
        self.weights = np.stack([none if one is None else one for one in (found[0], found[-1])], axis=1)
