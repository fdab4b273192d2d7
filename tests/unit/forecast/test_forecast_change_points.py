"""Changes are found where they are, at once in several series, over gaps, and nowhere else."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpualloc.forecast.change_points import LEAST_TICKS, partition

SEEDS = st.integers(0, 2**32 - 1)


def noisy(levels, lengths, seed=1, deviation=0.05):
    """One column: these levels for these ticks, and noise."""
    clean = np.repeat(np.array(levels, dtype=float), lengths)
    return clean + np.random.default_rng(seed).normal(0, deviation, len(clean))


def columns(*series):
    return np.stack(series, axis=1)


def bounds_of(values, floors=None, **said):
    return partition(values, floors or [0.01] * values.shape[1], **said).bounds


def test_a_step_is_found_with_how_far_apart_the_parts_are():
    found = partition(columns(noisy([0.2, 0.9], [100, 100])), [0.01])
    assert found.bounds == (0, 100, 200)
    assert found.effects[0] == pytest.approx(0.7 / found.noise[0], rel=0.1)
    assert found.noise[0] == pytest.approx(0.05, rel=0.4)
    assert found.unexplained < 0.05


def test_the_shortest_dip_is_found_and_a_shorter_one_is_noise():
    dip = noisy([0.9, 0.1, 0.9], [100, LEAST_TICKS, 100])
    blink = noisy([0.9, 0.1, 0.9], [100, 1, 100])
    assert bounds_of(columns(dip)) == (0, 100, 100 + LEAST_TICKS, 200 + LEAST_TICKS)
    assert bounds_of(columns(blink)) == (0, 201)


def test_what_one_series_alone_tells_is_found_beside_others():
    flat = noisy([0.5], [300])
    stepped = noisy([20.0, 40.0], [150, 150], deviation=0.5)
    assert bounds_of(columns(flat, stepped), [0.01, 0.1]) == (0, 150, 300)


def test_a_ramp_is_one_part_and_no_staircase():
    ramp = np.concatenate((np.linspace(0.0, 1.0, 200), np.full(200, 1.0)))
    values = columns(ramp + np.random.default_rng(3).normal(0, 0.02, 400))
    first, change, end = bounds_of(values)
    assert (first, end) == (0, 400)
    assert change == pytest.approx(200, abs=12)


def test_a_change_within_a_gap_lies_somewhere_in_the_gap():
    values = noisy([0.2, 0.9], [100, 100])
    values[90:120] = np.nan
    _, change, _ = bounds_of(columns(values))
    assert 90 <= change <= 120


def test_a_series_of_which_nothing_is_known_hides_nothing_of_the_others():
    nothing = np.full(200, np.nan)
    found = partition(columns(nothing, noisy([0.2, 0.9], [100, 100])), [0.01, 0.01])
    assert found.bounds == (0, 100, 200)
    assert math.isnan(found.noise[0])


@pytest.mark.parametrize("ticks", [0, 1, 5])
def test_too_little_is_one_part(ticks):
    assert bounds_of(np.zeros((ticks, 2))) == (0, ticks)


def test_changes_smaller_than_the_floor_say_nothing():
    values = columns(np.repeat([40_000.0, 40_001.0], 100))
    assert bounds_of(values, [400.0]) == (0, 200)


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.integers(0, 400), st.integers(1, 3), SEEDS)
def test_constant_series_never_change_whatever_is_missing(level, ticks, count, seed):
    values = np.full((ticks, count), level)
    values[np.random.default_rng(seed).random(values.shape) < 0.3] = np.nan
    assert bounds_of(values) == (0, ticks)


@settings(deadline=None)
@given(SEEDS, st.floats(0.01, 100.0), st.floats(-1000.0, 1000.0))
@example(1, 100.0, 0.0)
def test_units_and_zero_do_not_matter(seed, factor, shift):
    random = np.random.default_rng(seed)
    lengths = random.integers(20, 80, 5)
    values = noisy(random.uniform(0, 1, 5), lengths, seed)
    plain = partition(columns(values), [0.01])
    moved = partition(columns(values * factor + shift), [0.01 * factor])
    assert moved.bounds == plain.bounds
    assert moved.effects == pytest.approx(plain.effects, rel=1e-4)


@settings(deadline=None)
@given(SEEDS, st.integers(0, 300), st.integers(1, 6))
def test_parts_are_whole_and_none_is_shorter_than_the_shortest(seed, ticks, least):
    values = np.random.default_rng(seed).choice([0.0, 1.0, np.nan], (ticks, 2))
    found = partition(values, [0.01, 0.01], least)
    assert (found.bounds[0], found.bounds[-1]) == (0, ticks)
    assert len(found.effects) == len(found.bounds) - 2
    if len(found.bounds) > 2:
        assert min(np.diff(found.bounds)) >= least
    assert 0.0 <= found.unexplained <= 1.0


@settings(deadline=None)
@given(SEEDS)
def test_the_order_of_the_series_does_not_matter(seed):
    random = np.random.default_rng(seed)
    values = columns(noisy(random.uniform(0, 1, 3), [60, 60, 60], seed), random.normal(5, 1, 180))
    assert bounds_of(values) == bounds_of(values[:, ::-1])


@settings(deadline=None)
@given(SEEDS, st.floats(0.0, 0.4))
def test_a_clear_step_is_found_over_gaps(seed, missing):
    values = noisy([0.2, 0.8], [120, 120], seed)
    values[np.random.default_rng(seed + 1).random(240) < missing] = np.nan
    known = ~np.isnan(values)
    apart = [known[min(bound, 120) : max(bound, 120)].sum() for bound in bounds_of(columns(values))]
    assert min(apart) <= 6, "ticks at which anything is known"


def test_every_dip_of_a_day_is_found():
    random = np.random.default_rng(5)
    use = np.tile(np.repeat([0.9, 0.2], [54, 6]), 144) + random.normal(0, 0.05, 8640)
    values = columns(use, np.full(8640, 4e4), 100 + 500 * use)
    expected = [at * 60 + edge for at in range(144) for edge in (0, 54)]
    assert bounds_of(values, [0.03, 400.0, 5.0]) == (*expected, 8640)
