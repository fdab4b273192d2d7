"""Forecasters that are one model, whatever a back-test says of it; their bands are corrected all the same."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.forecast.auto import Telling, told
from gpualloc.forecast.conformal import correct
from gpualloc.forecast.models import candidates
from gpualloc.forecast.past import Past
from gpualloc.model.forecast import Forecasts, Grid


class Single:
    """A forecaster made of one of the candidates, known by its name."""

    version = "1"

    def __init__(self, name: str) -> None:
        self.name = name

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """As `ports.Forecaster.forecast`."""
        return told(grid, horizons, self._tell)

    def _tell(self, past: Past, horizon: int, cuts: Sequence[int]) -> Telling:
        raw = candidates(past, horizon, cuts)[self.name]
        delay = -(-horizon // past.stride)
        return (self.name,) * len(past.rows), correct(raw, past.became(horizon), past.seen.scale, delay, past.stride)


def last() -> Single:
    """The naive one: the last value."""
    return Single("last")
