"""The tracker: what it tells after a tick is what a forecaster would tell who learned at the same moment."""

import math

import numpy as np
import pytest

from gpualloc.forecast.live import Tracker
from gpualloc.forecast.past import past_of
from gpualloc.forecast.single import spread


def test_right_after_learning_it_tells_what_the_forecaster_tells(grid, walk):
    past = grid(walk(4, 900), capacity=(64.0,) * 4)
    told = np.frombuffer(spread().forecast(past, [1, 12]).values).reshape(4, 2, 3)
    np.testing.assert_allclose(Tracker(past, [1, 12]).bands(), told, atol=0.5)


def test_what_it_remembers_after_ticks_is_what_a_replay_remembers(grid, walk):
    rows = walk(3, 900)
    rows[1, 860:870] = math.nan
    tracker = Tracker(grid(rows[:, :850]), [1, 12])
    for tick in range(850, 900):
        tracker.see(rows[:, tick])
    wanted = past_of(grid(rows)).recent
    np.testing.assert_array_equal(tracker.recent.features(), wanted.features())
    assert tracker.bands()[:, 0, 1].tolist() == rows[:, 899].tolist()


def test_bands_are_ordered_and_what_is_unknown_for_too_long_is_not_told(grid, walk):
    rows = np.vstack([walk(2, 900), np.full(900, math.nan)])
    tracker = Tracker(grid(rows), [1, 12])
    for _ in range(13):
        tracker.see(np.array([5.0, math.nan, math.nan]))
    bands = tracker.bands()
    assert np.isnan(bands[1:]).all()
    assert (np.diff(bands[0], axis=-1) >= 0).all()
    found = tracker.forecasts()
    assert found.models == (("spread", "spread"), ("", ""), ("", ""))
    assert found.band(0, 1).median == pytest.approx(5.0)
    assert found.band(1, 0) is None


def test_with_too_little_to_learn_from_nothing_is_told(grid):
    assert np.isnan(Tracker(grid([[1.0, 2.0, 3.0]]), [1]).bands()).all()
