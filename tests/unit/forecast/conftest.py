"""Series made up for tests."""

import numpy as np
import pytest

from gpualloc.forecast.grid import doubles
from gpualloc.model.forecast import Grid


def _grid(rows, step_s=300.0, capacity=()):
    rows = np.atleast_2d(np.asarray(rows, np.float64))
    names = tuple(f"s{at}" for at in range(len(rows)))
    return Grid(names, 0.0, step_s, rows.shape[1], doubles(rows), tuple(capacity))


def _walk(series, ticks, seed=0, moves=0.15, top=64):
    """Demand that rests most of the time and sometimes jumps by a few GPUs."""
    draw = np.random.default_rng(seed)
    steps = draw.integers(-8, 9, (series, ticks)) * (draw.random((series, ticks)) < moves)
    level = np.full(series, top / 2.0)
    out = np.empty((series, ticks))
    for tick in range(ticks):
        level = np.clip(level + steps[:, tick], 0, top)
        out[:, tick] = level
    return out


@pytest.fixture
def grid():
    """Make a grid of rows; series are called s0, s1, ..."""
    return _grid


@pytest.fixture
def walk():
    """Make rows that look like the demand of tenants."""
    return _walk
