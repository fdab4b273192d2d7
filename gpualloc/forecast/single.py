"""Forecasters that are one model, whatever a back-test says of it; their bands are corrected all the same."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from gpualloc.forecast.auto import Telling, told
from gpualloc.forecast.conformal import correct
from gpualloc.forecast.models import BASIC, Model, Spread
from gpualloc.forecast.past import Past
from gpualloc.model.forecast import Forecasts, Grid


class Single:
    """A forecaster made of one model."""

    version = "1"

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def name(self) -> str:
        """That of its model."""
        return self.model.name

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """As `ports.Forecaster.forecast`."""
        return told(grid, horizons, self._tell)

    def _tell(self, past: Past, horizon: int, cuts: Sequence[int]) -> Telling:
        raw = self.model.bands(past, horizon, cuts)
        delay = -(-horizon // past.stride)
        bands = correct(raw, past.became(horizon), past.seen.scale, delay, past.stride)
        return (self.name,) * len(past.rows), bands


last, ewma, half_day, median, quantiles, linear = (partial(Single, model) for model in BASIC)
spread = partial(Single, Spread())
