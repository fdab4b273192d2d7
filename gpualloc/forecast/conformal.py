"""Bands widened or narrowed by how often they were left before: a conformal correction that never stops learning."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands
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
    would be drawn now, was left, and shrinks a little when it was not, such that an edge is left in 5 of 100 cases in the
    long run, whatever the series do; where they rest so often that even no width would do, the floor stays.

    Args:
        raw: by series, origin and quantile; NaN where nothing is told.
        became: the outcomes, by series and origin; NaN where unknown.
        scale: what widths are measured by, by series and origin.
        delay: origins until the outcome of one is known, at least 1.
        ticks_between: ticks from one origin to the next.
    """
    middle = raw[..., 1]
    widths = np.stack([middle - raw[..., 0], raw[..., 2] - middle])
    excess = np.stack([middle - became, became - middle])
    unit = np.where(scale > 0, scale, 1.0)
    widths, excess = widths / unit + MARGIN, excess / unit
    told = ~np.isnan(excess) & ~np.isnan(widths)
    rate = RATE * (delay * ticks_between) ** -FADING * ticks_between
    powers = _powers(widths, excess, told, delay, rate)
    moved = np.maximum(widths * np.exp(powers) - MARGIN, FLOOR) * scale
    out: Bands = np.stack([middle - moved[0], middle, middle + moved[1]], axis=-1)
    return out


def _powers(widths: Matrix, excess: Matrix, told: NDArray[np.bool_], delay: int, rate: float) -> Matrix:
    """The logarithm of the factor, by side and origin."""
    sides, _, origins = widths.shape
    # Origin first, so that one step of the walk lies together in memory.
    width, over, known = (np.ascontiguousarray(np.moveaxis(one, -1, 0)) for one in (widths, excess, told))
    power = np.zeros((sides, 1))
    out: Matrix = np.empty((origins, sides, 1))
    many = known.sum(axis=2)
    for now in range(origins):
        then = now - delay
        if then >= 0 and many[then].any():
            edge = np.maximum(width[then] * np.exp(power) - MARGIN, FLOOR)
            off = np.where(known[then], (over[then] > edge + _TOLERANCE) - _MISSES, 0.0)
            power = np.clip(power + (rate * off.sum(axis=1) / np.maximum(many[then], 1))[:, None], -LIMIT, LIMIT)
        out[now] = power
    return np.moveaxis(out, 0, -1)
