"""Grids as matrices and back, and readings at uneven times put on an even grid. Unknown is NaN, never 0."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpualloc.model.forecast import Grid

Matrix = NDArray[np.float64]
"""Doubles; of a grid: a row for each series, a column for each tick."""


def matrix(grid: Grid) -> Matrix:
    """The values of the grid, not copied and not to be written to.

    Raises:
        ValueError: the grid has not as many values as series times ticks.
    """
    rows = np.frombuffer(grid.values, np.float64).reshape(len(grid.names), grid.ticks)
    rows.flags.writeable = False
    return rows


def doubles(values: Matrix) -> array[float]:
    """The values as the model holds them, row by row."""
    return array("d", np.ascontiguousarray(values, np.float64).tobytes())


def capacities(grid: Grid) -> Matrix:
    """The capacity of each series; NaN where it is unknown."""
    told = grid.capacity or (None,) * len(grid.names)
    return np.array([np.nan if one is None else one for one in told], np.float64)


def usual_step(times: Sequence[Matrix]) -> float | None:
    """The median distance between neighbouring times of all series, s; None when no series has two times.

    Args:
        times: of each series, ascending, none twice.
    """
    steps = [np.diff(one) for one in times if len(one) > 1]
    return float(np.median(np.concatenate(steps))) if steps else None


def on_even_times(times: Matrix, values: Matrix, start_s: float, step_s: float, ticks: int) -> Matrix:
    """Readings of one series on the even times of a grid: the mean of those nearest to a tick, NaN where there is none.

    Args:
        times: epoch seconds, in any order.
        values: as many; NaN is unknown and counts as not there.
        start_s: the first tick.
        step_s: seconds between ticks.
        ticks: how many; times beyond them are left out.
    """
    known = ~np.isnan(values)
    places = np.rint((times[known] - start_s) / step_s).astype(np.int64)
    within = (places >= 0) & (places < ticks)
    places, found = places[within], values[known][within]
    counts = np.bincount(places, minlength=ticks)
    sums = np.bincount(places, weights=found, minlength=ticks)
    out: Matrix = np.full(ticks, np.nan)
    np.divide(sums, counts, out=out, where=counts > 0)
    return out


def known_quantiles(values: Matrix, quantiles: Sequence[float]) -> Matrix:
    """Quantiles of what is known along the last axis, straight between neighbours; NaN where nothing is known.

    Returns:
        As the values, with a quantile each in place of the last axis.
    """
    if not values.shape[-1]:
        return np.full((*values.shape[:-1], len(quantiles)), np.nan)
    ranked = np.sort(values, axis=-1)  # NaN comes last
    last = (~np.isnan(values)).sum(axis=-1)[..., None] - 1
    places = np.maximum(last, 0) * np.asarray(quantiles)
    below = np.floor(places).astype(np.int64)
    low = np.take_along_axis(ranked, below, axis=-1)
    high = np.take_along_axis(ranked, np.minimum(below + 1, np.maximum(last, 0)), axis=-1)
    found: Matrix = low + (places - below) * (high - low)
    return found
