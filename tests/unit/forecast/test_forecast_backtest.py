"""The back-test: honest about time, right in its figures, clear about what is too short."""

import math

import numpy as np
import pytest

from gpualloc.errors import UsageError
from gpualloc.forecast.auto import Auto
from gpualloc.forecast.backtest import backtest, parts, shortest
from gpualloc.forecast.choose import settle
from gpualloc.forecast.conformal import FLOOR, correct
from gpualloc.forecast.grid import matrix
from gpualloc.forecast.models import NAMES, candidates
from gpualloc.forecast.past import past_of
from gpualloc.forecast.scores import misses, pinball


def told_by(grid, horizon):
    past = past_of(grid)
    test, cuts = parts(grid)
    raw = candidates(past, horizon, cuts)
    names, bands = settle(raw, past, horizon, test)
    return {**raw, "chosen": bands}, names, test


def test_changing_the_future_does_not_change_a_past_forecast(grid, walk):
    rows = walk(3, 900)
    horizon, moment = 6, 700
    other = rows.copy()
    other[:, moment + 1 :] = walk(3, 900, seed=5)[:, moment + 1 :] + 30
    one, names, test = told_by(grid(rows), horizon)
    two, others, _ = told_by(grid(other), horizon)
    assert test < moment
    assert names == others
    for name in (*NAMES, "chosen"):
        np.testing.assert_array_equal(one[name][:, : moment + 1], two[name][:, : moment + 1])
        assert np.nanmax(np.abs(one[name][:, moment + 20] - two[name][:, moment + 20])) > 1


def test_the_choice_sees_nothing_of_the_part_that_is_scored(grid, walk):
    rows = walk(2, 900)
    other = rows.copy()
    test, _ = parts(grid(rows))
    other[:, test:] = 0.0
    assert told_by(grid(rows), 6)[1] == told_by(grid(other), 6)[1]


def test_a_gap_in_the_future_changes_neither_choice_nor_past_bands(grid, walk):
    rows = walk(2, 900)
    other = rows.copy()
    other[0, 800:] = math.nan
    one, names, _ = told_by(grid(rows), 6)
    two, others, _ = told_by(grid(other), 6)
    assert names == others
    assert "" not in names
    np.testing.assert_array_equal(one["chosen"][:, :800], two["chosen"][:, :800])


def test_figures_are_those_of_a_loop(grid, walk):
    rows = walk(2, 900)
    found = backtest(grid(rows, capacity=(64.0, 32.0)), [6])
    test, _ = parts(grid(rows))
    for series, row in enumerate(rows):
        off = [abs(row[tick + 6] - row[tick]) for tick in range(test, 894)]
        assert found.scores["last"][0].error[series] == pytest.approx(np.mean(off))
        assert found.scores["last"][0].scored[series] == len(off)
    daily = [np.mean(np.abs(row[288:test] - row[: test - 288])) for row in rows]
    errors = found.scores["last"][0].error
    assert found.mase("last", 0) == pytest.approx(np.mean(errors / daily))
    assert found.pinball("last", 0) == pytest.approx(100 * np.mean(found.scores["last"][0].pinball / [64.0, 32.0]))
    assert found.seasonal


def test_pinball_and_coverage_of_known_bands():
    bands = np.array([[[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [math.nan] * 3]])
    came = np.array([[3.0, 5.0, math.nan, 2.0]])
    assert pinball(bands, came)[0, :2] == pytest.approx([(0.1 + 0.5 + 0.05) / 3, (0.2 + 1.5 + 0.95) / 3])
    assert misses(bands, came)[0, :2].tolist() == [0.0, 1.0]
    assert np.isnan(pinball(bands, came)[0, 2:]).all()
    assert np.isnan(misses(bands, came)[0, 2:]).all()


def test_of_a_walk_the_last_value_stays_the_point_and_the_band_covers(grid, walk):
    found = backtest(grid(walk(6, 3000), capacity=(64.0,) * 6), [1, 6, 24])
    for at in range(3):
        assert found.mase("chosen", at) == pytest.approx(found.mase("last", at))
        assert found.pinball("chosen", at) < 1.02 * found.pinball("last", at)
        assert found.coverage90("chosen", at) == pytest.approx(90, abs=3)


def test_of_noise_around_a_level_another_point_is_chosen(grid):
    draw = np.random.default_rng(1)
    found = backtest(grid(20 + draw.normal(0, 2, (2, 3000))), [6])
    assert set(found.chosen[0]) <= {"median", "quantiles", "linear"}
    assert found.mase("chosen", 0) < 0.85 * found.mase("last", 0)
    assert found.coverage90("chosen", 0) == pytest.approx(90, abs=3)


def test_an_unknown_series_is_told_as_unknown_and_others_as_if_it_were_not_there(grid, walk):
    rows = walk(2, 900)
    alone = backtest(grid(rows), [6])
    beside = backtest(grid(np.vstack([rows, np.full(900, math.nan)])), [6])
    assert beside.chosen[0] == (*alone.chosen[0], "")
    assert beside.mase("chosen", 0) == pytest.approx(alone.mase("chosen", 0))
    assert beside.coverage90("last", 0) == pytest.approx(alone.coverage90("last", 0))


def test_a_series_that_never_moves_has_a_narrow_band_and_no_mase(grid):
    found = backtest(grid(np.full((1, 900), 7.0)), [6])
    assert (found.mase("chosen", 0), found.coverage90("chosen", 0)) == (None, 100.0)
    assert found.pinball("chosen", 0) == pytest.approx(7 * FLOOR * 0.1 / 3)


def test_of_very_many_values_every_other_origin_will_do(grid, walk, monkeypatch):
    rows = grid(walk(4, 3000), capacity=(64.0,) * 4)
    every = backtest(rows, [6, 24])
    monkeypatch.setattr("gpualloc.forecast.past.MAX_ORIGINS", 3000)
    some = backtest(rows, [6, 24])
    assert (every.stride, some.stride) == (1, 4)
    for at in range(2):
        assert some.scores["last"][at].scored.sum() == pytest.approx(
            every.scores["last"][at].scored.sum() / 4, rel=0.01
        )
        assert some.mase("last", at) == pytest.approx(every.mase("last", at), rel=0.1)
        assert some.coverage90("chosen", at) == pytest.approx(90, abs=4)


def test_too_short_a_past_is_refused_with_what_is_needed(grid):
    assert shortest(24) == 216
    with pytest.raises(UsageError) as refused:
        backtest(grid(np.ones((1, 215))), [1, 24])
    assert "needs 216" in refused.value.message
    assert "at least 18 h" in (refused.value.hint or "")
    assert backtest(grid(np.arange(216.0)[None]), [1, 24]).horizons == (1, 24)


def test_the_correction_widens_what_is_too_narrow_and_never_looks_ahead():
    draw = np.random.default_rng(2)
    came = draw.normal(0, 1, (4, 4000))
    raw = np.zeros((4, 4000, 3)) + np.array([-0.5, 0.0, 0.5])
    scale = np.full((4, 4000), 10.0)
    bands = correct(raw, came, scale, 3)
    assert misses(bands, came)[:, 1000:].mean() == pytest.approx(0.1, abs=0.02)
    later = came.copy()
    later[:, 2000:] = 100.0
    np.testing.assert_array_equal(bands[:, :2003], correct(raw, later, scale, 3)[:, :2003])


def test_two_forecasts_of_the_same_grid_are_equal_and_the_order_of_series_does_not_matter(grid, walk):
    rows = walk(4, 900)
    one, again = (Auto().forecast(grid(rows), [1, 12]) for _ in range(2))
    assert one == again
    turned = Auto().forecast(grid(rows[::-1]), [1, 12])
    values = np.frombuffer(one.values).reshape(4, -1)
    np.testing.assert_allclose(np.frombuffer(turned.values).reshape(4, -1)[::-1], values, rtol=1e-6, atol=1e-6)
    assert turned.models[::-1] == one.models


def test_a_series_measured_in_another_unit_is_forecast_in_that_unit(grid, walk):
    rows = walk(3, 900)
    one = Auto().forecast(grid(rows, capacity=(64.0,) * 3), [1, 12])
    other = Auto().forecast(grid(1000 * rows, capacity=(64000.0,) * 3), [1, 12])
    np.testing.assert_allclose(np.frombuffer(other.values), 1000 * np.frombuffer(one.values), rtol=1e-9)
    assert other.models == one.models
    free = Auto().forecast(grid(rows), [1, 12])
    np.testing.assert_allclose(
        np.frombuffer(Auto().forecast(grid(1000 * rows), [1, 12]).values), 1000 * np.frombuffer(free.values), rtol=1e-9
    )


def test_matrix_does_not_copy_and_cannot_be_written_to(grid):
    one = grid([[1.0, 2.0]])
    rows = matrix(one)
    one.values[1] = 5.0
    assert rows[0, 1] == 5.0
    with pytest.raises(ValueError, match="read-only"):
        rows[0, 0] = 1.0
