"""Charts: as large as asked, gaps empty, extremes on the axis."""

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.views.chart import chart, sparkline

VALUES = st.lists(st.none() | st.floats(-1e6, 1e6) | st.floats(-1e300, 1e300), min_size=1, max_size=300)


def points(values, every_s=10.0):
    return [(i * every_s, value) for i, value in enumerate(values)]


@given(VALUES, st.integers(30, 120), st.integers(2, 10))
def test_a_chart_has_the_size_asked_for(values, width, height):
    lines = chart(points(values), width, height, lambda value: f"{value:.3g}")
    known = any(value is not None for value in values)
    assert len(lines) == (height if known else 1)
    assert max(map(len, lines)) <= width or not known


@given(VALUES, st.integers(8, 80))
def test_a_sparkline_has_the_width_asked_for(values, width):
    assert len(sparkline(points(values), width)) == width


def test_the_axis_starts_at_zero_and_ends_at_the_highest():
    lines = chart(points([0.2, 0.4, 0.8]), 40, 4, lambda value: f"{value:.1f}")
    assert lines[0].startswith("0.8 ┤")
    assert lines[-1].startswith("0.0 ┤")


def test_unknown_values_and_missing_samples_leave_a_gap():
    solid = [1.0] * 30
    unknown = chart(points([*solid, *[None] * 40, *solid]), 60, 2, str)
    missing = chart([*points(solid), *[(700.0 + i * 10, 1.0) for i in range(30)]], 60, 2, str)
    for lines in (unknown, missing):
        drawn = lines[0].split("┤")[1]
        middle = drawn[len(drawn) // 2 - 4 : len(drawn) // 2 + 4]
        assert set(middle) <= {"⠀"}
        assert "⠀" not in drawn[:10]


def test_few_points_are_joined_to_a_line():
    drawn = chart(points([1.0, 1.0, 1.0, 1.0]), 60, 2, str)[0].split("┤")[1]
    assert "⠀" not in drawn


def test_nothing_known_is_said():
    assert chart(points([None, None]), 60, 4, str) == ["no value is known in this time"]
    assert sparkline(points([None]), 8) == "········"
