"""How far work is, and when it will be done: from what it tells, and unknown where it does not tell enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.progress import Progress


def progress(step=None, of=None, points=(), age_s=None):
    told_s = points[-1][0] if points else 0.0
    return Progress(step, of, None, None, told_s if age_s is None else age_s, tuple(points))


def evenly(pace_s, first, last, age_s=0.0):
    """A point for each step, the last one so long ago."""
    return [(age_s + (last - step) * pace_s, float(step)) for step in range(first, last + 1)]


def test_what_is_left_takes_as_long_as_what_was_seen_less_what_passed_since():
    told = progress(40, 100, evenly(10.0, 33, 40, age_s=4.0))
    assert told.ratio == 0.4
    assert told.seconds_per_step == pytest.approx(10.0)
    assert told.eta_s == pytest.approx(596.0)


def test_one_long_pause_does_not_change_the_pace():
    points = [(at_s + (500.0 if step < 36 else 0.0), step) for at_s, step in evenly(10.0, 33, 44)]
    assert progress(44, 100, points).eta_s == pytest.approx(560.0, rel=0.05)


@pytest.mark.parametrize(
    "told",
    [
        progress(),
        progress(5, 10),
        progress(5, None, evenly(1.0, 1, 5)),
        progress(5, 10, evenly(1.0, 5, 5)),
        progress(5, 10, [(9.0, 5.0), (1.0, 5.0)]),
        progress(5, 10, evenly(1.0, 1, 5, age_s=60.0)),
    ],
    ids=["nothing", "no times", "no end", "one point", "it stands", "silent for long"],
)
def test_what_cannot_be_told_is_unknown(told):
    assert told.eta_s is None


def test_done_is_done():
    assert progress(12, 10, evenly(1.0, 1, 12)).ratio == 1.0
    assert progress(12, 10, evenly(1.0, 1, 12)).eta_s == 0.0


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e15)), max_size=16), st.floats(0, 1e15), st.floats(1e-9, 1e15)
)
def test_whatever_it_tells_the_answer_is_a_time_or_unknown(points, step, of):
    told = Progress(step, of, None, None, 0.0, tuple(sorted(points, reverse=True)))
    assert told.eta_s is None or told.eta_s >= 0
    assert 0 <= told.ratio <= 1


@given(st.floats(0.01, 1000.0), st.integers(2, 16), st.integers(0, 1000))
def test_an_even_pace_is_told_exactly(pace_s, count, left):
    told = progress(count, count + left, evenly(pace_s, 1, count))
    assert told.eta_s == pytest.approx(left * pace_s)
