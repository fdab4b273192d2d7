"""Bands widened or narrowed by how often they were left before: a conformal correction that never stops learning."""

from __future__ import annotations


import numpy as np

from gpualloc.forecast.grid import Matrix
from gpualloc.forecast.models import Bands
from gpualloc.model.forecast import QUANTILES

RATE = 0.2
"""How much one tick's misses of all series change the width, at a horizon of one tick."""
FADING = 0.4
"""The rate at a horizon of h ticks is divided by h to this power: what comes later tells less that is new."""
OWN_RATE = 0.002
"""How much a miss of a series changes its own width alone."""
MARGIN = 0.005
"""Added to a width before it is stretched, in parts of the scale, so that a band without width can get one."""
FLOOR = 0.001
"""An edge is at least so far from the median, in parts of the scale: an idle series may wake up."""
LIMIT = 2.0
"""Widths are changed by a factor of e to this power at most."""
_MISSES = QUANTILES[0]
_TOLERANCE = 1e-9


def correct(raw: Bands, became: Matrix, scale: Matrix, delay: int, ticks_between: int = 1) -> Bands:
    """The bands, each edge moved by what was learned from the outcomes that were known when its band was told.

    The two edges of a series stretch by a common factor of all series and one of its own. After each outcome the factors
    grow when the edge, as it would be drawn now, was left, and shrink a little when it was not, such that an edge is left
    in 5 of 100 cases in the long run, whatever the series do.

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
    powers = _powers(widths, excess, told, delay, rate, OWN_RATE * ticks_between)
    moved = np.maximum(widths * np.exp(powers) - MARGIN, FLOOR) * scale
    out: Bands = np.stack([middle - moved[0], middle, middle + moved[1]], axis=-1)
    return out


def _powers(widths: Matrix, excess: Matrix, told: Matrix, delay: int, rate: float, own: float) -> Matrix:
    """The logarithm of the factor by side, series and origin."""
    sides, series, origins = widths.shape
    # Origin first, so that one step of the walk lies together in memory.
    width, over, known = (np.ascontiguousarray(np.moveaxis(one, -1, 0)) for one in (widths, excess, told))
    power = np.zeros((sides, series))
    out = np.empty((origins, sides, series))
    many = known.sum(axis=2)
    for now in range(origins):
        then = now - delay
        if then >= 0 and many[then].any():
            edge = np.maximum(width[then] * np.exp(power) - MARGIN, FLOOR)
            off = np.where(known[then], (over[then] > edge + _TOLERANCE) - _MISSES, 0.0)
            power += own * off
            power += (rate * off.sum(axis=1) / np.maximum(many[then], 1))[:, None]
            np.clip(power, -LIMIT, LIMIT, out=power)
        out[now] = power
    return np.moveaxis(out, 0, -1)
