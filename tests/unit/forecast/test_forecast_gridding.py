"""Uneven facts on even times, against plain loops."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.forecast.gridding import Span, counts, joined, levels, ticks_of, where_known

TIMES = st.lists(st.integers(0, 100), max_size=20, unique=True).map(sorted)
SPANS = st.lists(
    st.builds(
        lambda begin, lasts, milli: Span(begin, begin + lasts, milli),
        st.integers(-20, 120),
        st.integers(0, 60) | st.just(math.inf),
        st.integers(0, 8000),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(SPANS, TIMES)
def test_levels_are_what_a_plain_loop_finds(spans, times):
    plain = [sum(span.milli for span in spans if span.from_s <= at_s < span.to_s) / 1000 for at_s in times]
    assert levels(spans, times) == plain


@settings(deadline=None)
@given(st.lists(st.integers(-20, 120), max_size=30), TIMES, st.integers(1, 30))
def test_counts_are_what_a_plain_loop_finds(moments, times, step_s):
    plain = [float(sum(at_s - step_s < moment <= at_s for moment in moments)) for at_s in times]
    assert counts(sorted(moments), times, step_s) == plain


@settings(deadline=None)
@given(st.lists(st.integers(1, 500), max_size=30))
def test_steps_beside_each_other_count_everything_once(moments):
    times = ticks_of(50, 50, 10)
    assert sum(counts(sorted(moments), times, 50)) == len(moments)


def test_parts_of_gpus_add_up_exactly():
    spans = [Span(0, 10, 100), Span(0, 10, 200), Span(5, 20, 300)]
    assert levels(spans, [0, 5, 10, 20]) == [0.3, 0.6, 0.3, 0.0]


def test_what_ended_before_it_began_counts_nothing():
    assert levels([Span(10, 5, 1000)], [4, 7, 10, 12]) == [0.0] * 4


def test_what_is_not_known_is_unknown_and_not_0():
    assert where_known([1.0, 2.0, 3.0], [100, 110, 120], 105, 110) == pytest.approx(
        [math.nan, 2, math.nan], nan_ok=True
    )


def test_a_grid_is_made_by_name():
    grid = joined({"b": [1.0, 2.0, 3.0], "a": [4.0, 5.0, 6.0]}, [100, 110, 120], 10)
    assert (grid.names, grid.start_s, grid.step_s, grid.ticks, grid.end_s) == (("a", "b"), 100, 10, 3, 120)
    assert list(grid.values) == [4, 5, 6, 1, 2, 3]


def test_no_series_make_an_empty_grid():
    grid = joined({}, [100, 110], 10)
    assert (grid.names, list(grid.values), grid.ticks) == ((), [], 2)
    assert joined({"a": []}, [], 10).ticks == 0
