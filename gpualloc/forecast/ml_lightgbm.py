"""Gradient-boosted trees for the quantiles of the change to come; needs the extra `ml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpualloc.errors import ConfigError
from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands, ordered, spans
from gpualloc.forecast.past import Past
from gpualloc.forecast.recent import units
from gpualloc.forecast.single import Single
from gpualloc.model.forecast import QUANTILES

INSTALL = "pip install 'gpualloc[ml]'"
LAGS = (1, 2, 3, 6, 12, 24, 288)
"""Ticks back, beside what is remembered of a series."""
MAX_ROWS = 40_000
FEWEST_ROWS = 500
_SETTINGS = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 100,
    "num_iterations": 150,
    "num_threads": 1,  # its threads wait busily, which on a shared machine takes many times as long
    "verbosity": -1,
    "deterministic": True,
    "seed": 0,
}


class Trees:
    """One set of trees for all series, by horizon and quantile."""

    name = "lightgbm"

    def __init__(self) -> None:
        try:
            import lightgbm
        except ImportError as error:
            raise ConfigError("the forecaster 'lightgbm' needs the package lightgbm", hint=INSTALL) from error
        self._library: Any = lightgbm

    def bands(self, past: Past, horizon: int, cuts: Sequence[int]) -> Bands:
        """As `models.Model.bands`."""
        seen = past.seen
        scale = units(seen.scale)
        change = (past.became(horizon) - seen.latest) / scale
        inputs = np.concatenate([seen.features, lags(past, LAGS)], axis=-1)
        out = np.full((*change.shape, len(QUANTILES)), np.nan)
        for cut, here in spans(past, cuts):
            told = ~np.isnan(change[:, : past.known_by(cut, horizon)])
            if told.sum() < FEWEST_ROWS or here.start == here.stop:
                continue
            rows, targets = inputs[:, : told.shape[1]][told], change[:, : told.shape[1]][told]
            chosen = np.unique(np.linspace(0, len(rows) - 1, MAX_ROWS).astype(np.int64))
            for place, quantile in enumerate(QUANTILES):
                found = self._fitted(rows[chosen], targets[chosen], quantile).predict(
                    inputs[:, here].reshape(-1, inputs.shape[-1])
                )
                moved = np.asarray(found).reshape(len(change), -1) * seen.scale[:, here]
                out[:, here, place] = seen.latest[:, here] + moved
        return ordered(out, past)

    def _fitted(self, rows: Matrix, targets: Matrix, quantile: float) -> Any:
        data = self._library.Dataset(rows, targets)
        return self._library.train({**_SETTINGS, "objective": "quantile", "alpha": quantile}, data)


def lags(past: Past, ticks: Sequence[int]) -> Matrix:
    """What series were before each origin, less what they were at it, in parts of the scale: by series, origin, lag."""
    scale = units(past.seen.scale)
    found = [past.carried[:, np.maximum(past.ticks - back, 0)] - past.seen.latest for back in ticks]
    out: Matrix = np.nan_to_num(np.stack(found, axis=-1) / scale[..., None])
    return out


class LightGbm(Single):
    """The forecaster `lightgbm`.

    Raises:
        ConfigError: lightgbm is not installed; the hint says how it is.
    """

    def __init__(self) -> None:
        super().__init__(Trees())
