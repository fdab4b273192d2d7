"""The candidates against plain Python, and what holds for all of them."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.forecast.grid import known_quantiles, matrix
from gpualloc.forecast.linear import fit
from gpualloc.forecast.models import NAMES, candidates
from gpualloc.forecast.past import past_of
from gpualloc.forecast.recent import LEVEL_SPANS_S, Recent, replay

SLOW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
VALUES = st.lists(st.none() | st.floats(0, 100), min_size=60, max_size=120)


def quantile(values, part):
    """As numpy has it, one by one."""
    ranked = sorted(values)
    place = part * (len(ranked) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ranked) - 1)
    return ranked[low] + (place - low) * (ranked[high] - ranked[low])


@SLOW
@given(st.lists(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=5, max_size=5), min_size=1, max_size=4))
def test_quantiles_are_those_of_what_is_known(rows):
    given_rows = np.array([[math.nan if value is None else value for value in row] for row in rows])
    found = known_quantiles(given_rows, (0.05, 0.5, 0.95))
    for row, told in zip(rows, found, strict=True):
        known = [value for value in row if value is not None]
        wanted = [quantile(known, part) if known else math.nan for part in (0.05, 0.5, 0.95)]
        np.testing.assert_allclose(told, wanted, rtol=1e-12, atol=1e-6)


def test_the_regression_finds_the_quantiles_of_what_it_was_made_from():
    draw = np.random.default_rng(0)
    level = draw.random(8000)
    features = np.stack([np.ones(8000), level], axis=1)
    targets = 3 * level + level * draw.random(8000)
    for part in (0.05, 0.5, 0.95):
        weights = fit(features, targets, part)
        assert weights == pytest.approx([0.0, 3 + part], abs=0.03)
        assert np.mean(targets < features @ weights) == pytest.approx(part, abs=0.02)


def test_the_regression_needs_more_rows_than_columns():
    assert fit(np.ones((9, 1)), np.ones(9), 0.5) is None
    assert fit(np.ones((10, 1)), np.ones(10), 0.5) == pytest.approx([1.0], abs=1e-3)


def test_what_is_remembered_is_what_a_loop_would_remember():
    values = [3.0, None, 5.0, 5.0, 2.0, None, None, 8.0]
    recent = Recent(300.0, np.array([10.0]))
    level, rate = None, 1 - math.exp(-300.0 / LEVEL_SPANS_S[0])
    for value in values:
        recent.see(np.array([math.nan if value is None else value]))
        if value is not None:
            level = value if level is None else level + rate * (value - level)
    assert recent.level[0] == pytest.approx(level)
    assert (recent.latest[0], recent.age[0], recent.ticks) == (8.0, 0, 8)


def test_a_value_that_is_too_old_is_no_ground_for_a_forecast():
    recent = Recent(300.0, np.array([math.nan, math.nan]))
    recent.see(np.array([4.0, math.nan]))
    for _ in range(12):
        recent.see(np.array([math.nan, math.nan]))
        assert recent.fresh.tolist() == [True, False]
    recent.see(np.array([math.nan, 1.0]))
    assert recent.fresh.tolist() == [False, True]


def test_points_are_what_a_loop_would_say(grid, walk):
    rows = walk(2, 700)
    past = past_of(grid(rows))
    horizon, tick = 24, 650
    told = candidates(past, horizon, [600])
    place = past.origin(tick)
    for series, row in enumerate(rows.tolist()):
        assert told["last"][series, place, 1] == row[tick]
        assert told["half-day"][series, place, 1] == (row[tick] + row[tick + horizon - 288]) / 2
        assert told["median"][series, place, 1] == statistics.median(row[tick - 11 : tick + 1])
        window = row[tick - 47 : tick + 1]
        assert told["quantiles"][series, place] == pytest.approx([quantile(window, q) for q in (0.05, 0.5, 0.95)])
        off = [row[at + horizon] - row[at] for at in range(600 - horizon)]
        low = min(0.0, quantile(off, 0.05))
        assert told["last"][series, place, 0] == pytest.approx(max(0.0, row[tick] + low))


@pytest.mark.parametrize("name", NAMES)
@SLOW
@given(data=st.data())
def test_bands_are_ordered_and_an_unknown_never_becomes_a_number(grid, name, data):
    values = data.draw(VALUES)
    rows = np.array([[math.nan if value is None else value for value in values], [math.nan] * len(values)])
    told = candidates(past_of(grid(rows)), 3, [40])[name]
    assert np.isnan(told[1]).all()
    known = ~np.isnan(told).any(axis=-1)
    assert (np.isnan(told).any(axis=-1) == np.isnan(told).all(axis=-1)).all()
    assert (told[known][:, 0] <= told[known][:, 1]).all()
    assert (told[known][:, 1] <= told[known][:, 2]).all()
    assert (told[known] >= 0).all()


def test_what_is_replayed_is_what_was_remembered_then(grid, walk):
    rows = matrix(grid(walk(3, 50)))
    capacity = np.array([64.0, math.nan, 64.0])
    seen, _ = replay(rows, 300.0, capacity, [20, 49])
    recent = Recent(300.0, capacity)
    for tick in range(21):
        recent.see(rows[:, tick])
    np.testing.assert_array_equal(seen.features[:, 0], recent.features())
    np.testing.assert_array_equal(seen.scale[:, 0], recent.scale)
