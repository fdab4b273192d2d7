"""Forecasts tick by tick: learned now and then, kept up to date in well under a millisecond for thousands of series."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpualloc.forecast.backtest import cuts_of
from gpualloc.forecast.conformal import stretched, stretches
from gpualloc.forecast.grid import Matrix, doubles
from gpualloc.forecast.models import BASIC, Linear, edges, spread
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
        learned = [_Learned(past, horizon, grid) for horizon in horizons]
        self._edges = np.stack([one.edges for one in learned], axis=1)
        """By series, horizon and side, in the unit of the series."""
        self._weights = np.stack([one.weights for one in learned], axis=1)
        """By feature, horizon and side."""
        self._powers = np.stack([one.powers for one in learned], axis=1)
        """By side and horizon."""
        self._positive: NDArray[np.bool_] = ~np.asarray(np.any(past.rows < 0, axis=1), np.bool_)

    def see(self, values: Matrix) -> None:
        """Take in the values of the next tick, one for each series; NaN is unknown."""
        self.recent.see(values)
        self._positive = self._positive & ~(values < 0)

    def bands(self) -> Matrix:
        """By series, horizon and quantile; NaN where nothing can be told."""
        recent = self.recent
        latest = np.where(recent.fresh, recent.latest, np.nan)[:, None]
        scale = recent.scale[:, None]
        features = recent.features()
        moved = np.tensordot(features, self._weights, axes=1) * scale[..., None]
        own = _around(latest, self._edges)
        pooled = np.where(np.isnan(moved).any(axis=2)[..., None], own, _around(latest, moved))
        for one in (own, pooled):
            np.copyto(one, np.maximum(one, 0.0), where=self._positive[:, None, None] & ~np.isnan(one))
        return stretched(spread(own, pooled), np.broadcast_to(scale, own.shape[:2]), self._powers)

    def forecasts(self) -> Forecasts:
        """What is told of the series after the tick that was seen last."""
        bands = self.bands()
        told = ~np.isnan(bands[..., 1])
        names = tuple(tuple(self.name if one else "" for one in row) for row in told)
        return Forecasts(self._horizons, doubles(bands), names)


class _Learned:
    """What is learned of one horizon."""

    def __init__(self, past: Past, horizon: int, grid: Grid) -> None:
        cuts = [*cuts_of(grid.ticks, grid.step_s), grid.ticks]
        last, regression = BASIC[0], Linear()
        became = past.became(horizon)
        told = spread(last.bands(past, horizon, cuts[:-1]), regression.bands(past, horizon, cuts[:-1]))
        delay = -(-horizon // past.stride)
        self.powers = stretches(told, became, past.seen.scale, delay, past.stride)[:, -1]
        self.edges = np.stack(edges(became - past.seen.latest), axis=1)
        found = regression.weights(past, horizon, grid.ticks, (None,) * len(QUANTILES))
        none = np.full(past.seen.features.shape[-1], np.nan)
        self.weights = np.stack([none if one is None else one for one in (found[0], found[-1])], axis=1)


def _around(latest: Matrix, off: Matrix) -> Matrix:
    """Bands around the latest values, by series and horizon, with edges so far off, by side."""
    middle = np.where(np.isnan(off).any(axis=-1), np.nan, latest)
    low, high = np.minimum(latest + off[..., 0], middle), np.maximum(latest + off[..., 1], middle)
    return np.stack([low, middle, high], axis=-1)
