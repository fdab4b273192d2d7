"""How good bands were: pinball loss, coverage, and the error of the median."""

from __future__ import annotations

import numpy as np

from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands
from gpualloc.model.forecast import QUANTILES

EDGE_TOLERANCE = 1e-9
"""A value that lies beyond an edge by no more than this part of itself lies on it."""


def pinball(bands: Bands, became: Matrix) -> Matrix:
    """The mean loss over the quantiles, by series and origin, in the unit of the series; NaN where unknown."""
    off = became[..., None] - bands
    quantiles = np.array(QUANTILES)
    loss: Matrix = np.maximum(quantiles * off, (quantiles - 1) * off).mean(axis=-1)
    return loss


def misses(bands: Bands, became: Matrix) -> Matrix:
    """1 where the value lay outside the band, 0 where inside, NaN where unknown."""
    near = EDGE_TOLERANCE * np.maximum(1.0, np.abs(became))
    out = (became < bands[..., 0] - near) | (became > bands[..., 2] + near)
    found: Matrix = np.where(np.isnan(became) | np.isnan(bands[..., 1]), np.nan, out)
    return found


def errors(bands: Bands, became: Matrix) -> Matrix:
    """How far the median was off, by series and origin, in the unit of the series; NaN where unknown."""
    off: Matrix = np.abs(became - bands[..., 1])
    return off


def mean_known(values: Matrix) -> Matrix:
    """The mean along the last axis of what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    counts = known.sum(axis=-1)
    sums = np.where(known, values, 0.0).sum(axis=-1)
    out: Matrix = np.full(np.shape(counts), np.nan)
    np.divide(sums, counts, out=out, where=counts > 0)
    return out
