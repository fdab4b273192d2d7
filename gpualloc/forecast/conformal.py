"""Bands widened or narrowed by how often they were left before: a conformal correction that never stops learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands
from gpualloc.forecast.recent import units
from gpualloc.model.forecast import QUANTILES

RATE = 0.2
"""How much one tick's misses of all series change the width, at a horizon of one tick."""
FADING = 0.5
"""The rate at a horizon of h ticks is divided by h to this power: what comes later tells less that is new."""
MARGIN = 0.005
"""Added to a width before it is stretched, in parts of the scale, so that a band without width can get one."""
FLOOR = 0.001
"""An edge is at least so far from the median, in parts of the scale: an idle series may wake up."""
LIMIT = 3.0
"""Widths are changed by a factor of e to this power at most."""
_MISSES = QUANTILES[0]
_TOLERANCE = 1e-9


def correct(raw: Bands, became: Matrix, scale: Matrix, delay: int, ticks_between: int = 1) -> Bands:
    """The bands, each edge moved by what was learned from outcomes that were known when its band was told.

    Each edge, the lower and the upper one, stretches by a factor common to all series. It grows when an edge, as it
    would be drawn now, was left, and shrinks a little when it was not, such that an edge is left in 5 of 100 cases in
    the long run, whatever the series do; where they rest so often that even no width would do, the floor stays.

    Args:
        raw: by series, origin and quantile; NaN where nothing is told.
        became: the outcomes, by series and origin; NaN where unknown.
        scale: what widths are measured by, by series and origin.
        delay: origins until the outcome of one is known, at least 1.
        ticks_between: ticks from one origin to the next.
    """
    return stretched(raw, scale, stretches(raw, became, scale, delay, ticks_between))


def stretched(raw: Bands, scale: Matrix, powers: Matrix) -> Bands:
    """The bands with their edges moved.

    Args:
        raw: by series, origin and quantile.
        scale: by series and origin.
        powers: by side and origin, or one for each side: the logarithm of the factor.
    """
    middle = raw[..., 1]
    factors = np.exp(powers)[:, None, :]
    moved = np.maximum(_widths(raw, scale) * factors - MARGIN, FLOOR) * scale
    out: Bands = np.stack([middle - moved[0], middle, middle + moved[1]], axis=-1)
    # What never was below 0 is not told to be: the raw bands know that.
    out[..., 0] = np.where(raw[..., 0] >= 0, np.maximum(out[..., 0], 0.0), out[..., 0])
    return out


def stretches(raw: Bands, became: Matrix, scale: Matrix, delay: int, ticks_between: int) -> Matrix:
    """The logarithm of the factor that edges stretch by, by side and origin; `correct` says what it is."""
    middle = raw[..., 1]
    unit = units(scale)
    widths, excess = _widths(raw, scale), np.stack([middle - became, became - middle]) / unit
    told = ~np.isnan(excess) & ~np.isnan(widths)
    rate = RATE * (delay * ticks_between) ** -FADING * ticks_between
    return _walk(widths, excess, told, delay, rate)


def _widths(raw: Bands, scale: Matrix) -> Matrix:
    """From the median to each edge, by side, series and origin, in parts of the scale and with the margin."""
    unit = units(scale)
    return np.stack([raw[..., 1] - raw[..., 0], raw[..., 2] - raw[..., 1]]) / unit + MARGIN


def _walk(widths: Matrix, excess: Matrix, told: NDArray[np.bool_], delay: int, rate: float) -> Matrix:
    sides, _, origins = widths.shape
    # Origin first, so that one step of the walk lies together in memory.
    width, over, known = (np.ascontiguousarray(np.moveaxis(one, -1, 0)) for one in (widths, excess, told))
    power = np.zeros(sides)
    out: Matrix = np.empty((sides, origins))
    many = known.sum(axis=2)
    for now in range(origins):
        then = now - delay
        if then >= 0 and many[then].any():
            edge = np.maximum(width[then] * np.exp(power)[:, None] - MARGIN, FLOOR)
            off = np.where(known[then], (over[then] > edge + _TOLERANCE) - _MISSES, 0.0)
            power = np.clip(power + rate * off.sum(axis=1) / np.maximum(many[then], 1), -LIMIT, LIMIT)
        out[:, now] = power
    return out
