"""The contract of forecasters, for every one that is installed with what it needs."""

from __future__ import annotations

import math
from importlib.util import find_spec

import numpy as np
import pytest

from gpualloc.errors import ConfigError, NotFoundError
from gpualloc.forecast import registry
from gpualloc.forecast.grid import doubles, matrix
from gpualloc.model.forecast import Grid

NEEDED = {"lightgbm": "lightgbm", "lstm": "torch"}
HORIZONS = (1, 6, 30)


def demand(series: int = 4, ticks: int = 600) -> Grid:
    """Series that jump now and then, one with a gap, one that never moves, one of which nothing is known."""
    draw = np.random.default_rng(3)
    steps = draw.integers(-6, 7, (series, ticks)) * (draw.random((series, ticks)) < 0.15)
    rows = np.abs(np.cumsum(steps, axis=1) + 30.0)
    rows[0, 200:230] = math.nan
    rows = np.vstack([rows, np.full(ticks, 5.0), np.full(ticks, math.nan)])
    names = tuple(f"s{at}" for at in range(len(rows)))
    return Grid(names, 0.0, 300.0, ticks, doubles(rows), (128.0,) * len(rows))


@pytest.fixture(params=registry.names())
def forecaster(request):
    if request.param in NEEDED and find_spec(NEEDED[request.param]) is None:
        pytest.skip(f"{NEEDED[request.param]} is not installed")
    return registry.load(request.param)


def test_a_forecaster_tells_ordered_bands_by_its_name_and_version(forecaster):
    grid = demand()
    before = list(grid.values)
    told = forecaster.forecast(grid, HORIZONS)
    assert told.horizons == HORIZONS
    assert len(told.values) == len(grid.names) * len(HORIZONS) * 3
    assert list(map(len, told.models)) == [len(HORIZONS)] * len(grid.names)
    for series in range(len(grid.names)):
        for horizon in range(len(HORIZONS)):
            band = told.band(series, horizon)
            assert (band is None) == (told.models[series][horizon] == "")
            if band is not None:
                assert 0 <= band.low <= band.median <= band.high < math.inf
    assert all(told.band(series, 0) is not None for series in range(5))
    assert told.models[5] == ("", "", "")
    assert np.array_equal(before, list(grid.values), equal_nan=True)
    assert forecaster.version


def test_equal_grids_get_equal_answers(forecaster):
    one, again = (forecaster.forecast(demand(2, 300), (1, 6)) for _ in range(2))
    assert one.models == again.models
    np.testing.assert_array_equal(np.frombuffer(one.values), np.frombuffer(again.values))


@pytest.mark.parametrize("ticks", [1, 2, 25])
def test_of_too_little_nothing_is_told_or_something_ordered(forecaster, ticks):
    grid = demand()
    rows = matrix(grid)[:, :ticks]
    short = Grid(grid.names, 0.0, 300.0, ticks, doubles(rows))
    told = forecaster.forecast(short, (1, 100))
    values = np.frombuffer(told.values).reshape(-1, 3)
    known = values[~np.isnan(values).any(axis=1)]
    assert (np.diff(known, axis=1) >= 0).all()
    assert told.band(0, 1) is None


def test_no_series_at_all_is_no_failure(forecaster):
    told = forecaster.forecast(Grid((), 0.0, 300.0, 0, doubles(np.empty(0))), (1,))
    assert (list(told.values), told.models) == ([], ())


def test_an_unknown_name_gets_the_nearest_one():
    with pytest.raises(NotFoundError) as refused:
        registry.load("atuo")
    assert refused.value.hint == "did you mean auto?"


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_missing_is_said_with_the_way_to_get_it(name):
    if find_spec(NEEDED[name]) is not None:
        pytest.skip(f"{NEEDED[name]} is installed")
    with pytest.raises(ConfigError) as refused:
        registry.load(name)
    assert "gpualloc[ml]" in (refused.value.hint or "")
