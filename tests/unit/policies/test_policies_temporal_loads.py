"""Sums over time kept up to date, simpler packings, and windows packed anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.policies.temporal import Prices, TemporalProblem
from gpualloc.policies.temporal.bill import costs_of
from gpualloc.policies.temporal.case import case_of
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.emptying import empty_devices
from gpualloc.policies.temporal.improve import Terms, respond, settle
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.numbering import renumbered
from gpualloc.policies.temporal.peers import pack_lifetimes, pack_peaks, pack_series, pack_windows
from gpualloc.policies.temporal.ruin import Window, fit_into
from gpualloc.policies.temporal.squeeze import lower_bounds, squeeze
from gpualloc.policies.temporal.stage import overload
from gpualloc.policies.temporal.starts import series_fit


def drawn(seed, items=12, intervals=6, **more):
    """A problem with waves and lives drawn from a seed."""
    numbers = np.random.default_rng(seed)
    alive = numbers.random((items, intervals)) < 0.8
    alive[~alive.any(axis=1), 0] = True
    return TemporalProblem(
        items=tuple(f"i{number:02}" for number in range(items)),
        hours=np.full(intervals, 0.5),
        alive=alive,
        compute=numbers.uniform(0.05, 0.7, (items, intervals)),
        memory=np.repeat(numbers.uniform(5, 40, (items, 1)), intervals, axis=1),
        devices=tuple(f"g{number}" for number in range(items)),
        device_memory=np.full(items, 80.0),
        **more,
    )


def sums(loads):
    return loads.compute, loads.memory, loads.count


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_what_is_kept_up_to_date_equals_what_is_summed_anew(seed):
    problem = drawn(seed)
    wide = replace(problem, upper=np.minimum(problem.compute + 0.1, 1.0))
    loads = series_fit(case_of(wide))
    settle(loads, Effort(10**9))
    empty_devices(loads, 3, Effort(10**9))
    anew = Loads(loads.case, loads.place)
    for kept, summed in zip(sums(loads), sums(anew), strict=True):
        assert np.allclose(kept, summed, atol=1e-9)
    assert np.allclose(loads.variance, anew.variance, atol=1e-9)


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_no_response_costs_more_than_what_was(seed):
    loads = series_fit(case_of(drawn(seed)))
    for item in range(loads.case.items):
        before = costs_of(loads).total
        respond(loads, item, Terms(), Effort(10**9))
        assert costs_of(loads).total <= before + 0.05


def test_packings_that_look_further_need_no_more():
    problem = drawn(3, items=30, intervals=12)
    needed = [
        plan.costs.needed
        for plan in (pack_peaks(problem), pack_lifetimes(problem), pack_windows(problem, 1.0), pack_series(problem))
    ]
    assert needed[0] >= needed[1] >= min(needed[2:])
    assert pack_peaks(problem).costs.on_hours == needed[0] * 6
    assert pack_series(problem).moves == ()


def test_windows_keep_what_they_can_where_it_is():
    problem = drawn(5, items=10, intervals=8)
    steady = replace(problem, compute=np.repeat(problem.compute[:, :1], 8, axis=1), alive=np.ones((10, 8), bool))
    assert pack_windows(steady, 1.0).moves == ()


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_numbered_anew_there_are_no_more_devices_than_are_on_at_once_and_no_more_moves(seed):
    loads = series_fit(case_of(drawn(seed)), None)
    settle(loads, Effort(10**9))
    anew = renumbered(loads)
    before, after = costs_of(loads), costs_of(anew)
    assert len(np.unique(anew.place[anew.place >= 0])) == after.needed == before.needed
    assert (after.on_hours, after.overload_hours) == pytest.approx((before.on_hours, before.overload_hours))
    assert after.moves <= before.moves
    for interval in range(loads.case.intervals):
        there = loads.case.alive[:, interval]
        old, new = loads.place[there, interval], anew.place[there, interval]
        assert np.array_equal(old[:, None] == old, new[:, None] == new)


def test_fewer_devices_are_found_where_first_fit_misses_them():
    # first-fit decreasing takes 4 for what fits 3: 0.5+0.3+0.2, 0.5+0.3+0.2, 0.4+0.4+0.2
    sizes = np.array([0.5, 0.5, 0.4, 0.4, 0.3, 0.3, 0.2, 0.2, 0.2])[:, None]
    window = Window(sizes, np.ones((3, 1)), np.ones((9, 3), bool))
    place = fit_into(window, np.full(9, -1), 200, 1, Effort(10**9))
    assert place is not None
    assert np.bincount(place, weights=sizes[:, 0], minlength=3).max() <= 1 + 1e-9
    assert fit_into(Window(sizes, np.ones((2, 1)), np.ones((9, 2), bool)), np.full(9, -1), 50, 1, Effort(10**9)) is None


def test_a_window_is_squeezed_only_as_far_as_the_bound():
    problem = drawn(2, prices=Prices(np.inf, 100.0))
    loads = series_fit(case_of(problem), None)
    needed = costs_of(loads).needed
    least = lower_bounds(loads.case)
    assert squeeze(loads, 1, least, Effort(10**9), 0) is None
    found = squeeze(loads, needed, least, Effort(10**9), 0)
    assert found is not None
    assert costs_of(found).needed <= needed


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [(0.5, 0.0, 0.0), (1.5, 0.0, 0.5), (1.0, 0.1, 0.0398942), (0.9, 0.1, 0.0083315), (1.1, 0.1, 0.1083315)],
)
def test_expected_overload_is_that_of_a_normal_distribution(mean, deviation, expected):
    found = overload(np.array([[mean]]), np.array([[deviation**2]]), np.array([1.0]))
    assert found[0, 0] == pytest.approx(expected, abs=2e-3)
    if not deviation:
        assert overload(np.array([[mean]]), None, np.array([1.0]))[0, 0] == expected


def test_effort_ends_by_work_or_by_the_clock_and_tells_how_far_it_is():
    told = []
    effort = Effort(1000, tell=told.append)
    for _ in range(4):
        effort.add(251)
    assert told == [25, 50, 75, 100]
    assert (effort.spent(), effort.late) == (True, False)
    clock = iter([1.0, 2.0])
    timed = Effort(1000, 2.0, lambda: next(clock))
    assert (timed.spent(), timed.late) == (False, False)
    assert (timed.spent(), timed.late) == (True, True)
