"""Series from CSV: gaps stay unknown, and every wrong cell is named with its line."""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError
from gpualloc.forecast.grid import matrix
from gpualloc.forecast.series_file import read


def grid_of(text):
    return read(text.splitlines(keepends=True), "demand.csv")


def rows_of(text):
    return [[None if math.isnan(value) else value for value in row] for row in matrix(grid_of(text))]


def test_series_lie_on_one_grid_in_the_order_of_their_first_row():
    grid = grid_of("time_s,series,value,capacity\n600,b,3,8\n300,a,1,16\n600,a,2,16\n300,b,4,8\n")
    assert (grid.names, grid.start_s, grid.step_s, grid.ticks) == (("b", "a"), 300.0, 300.0, 2)
    assert matrix(grid).tolist() == [[4.0, 3.0], [1.0, 2.0]]
    assert grid.capacity == (8.0, 16.0)


def test_an_empty_value_a_missing_row_and_a_late_start_are_gaps():
    assert rows_of("series,time_s,value\na,0,1\na,10,\na,20,3\na,40,5\nb,20,7\nb,30,8\n") == [
        [1.0, None, 3.0, None, 5.0],
        [None, None, 7.0, 8.0, None],
    ]


def test_uneven_times_go_to_the_nearest_tick_and_those_on_the_same_are_averaged():
    assert rows_of("time_s,series,value\n0,a,1\n10,a,2\n19,a,4\n21,a,6\n30,a,7\n40,a,8\n") == [[1, 2, 5, 7, 8]]


def test_the_capacity_is_the_one_that_the_latest_row_tells():
    text = "time_s,series,value,capacity\n20,a,1,\n10,a,1,32\n0,a,1,16\n0,b,1,\n10,b,1,\n"
    assert grid_of(text).capacity == (32.0, None)
    assert grid_of(text.replace(",32", ",").replace(",16", ",")).capacity == ()


def test_empty_lines_spaces_quotes_and_a_time_before_1970_are_read():
    assert rows_of('\n time_s , series,value\n"-300", "a", 1\n\n0,a,0\n') == [[1, 0]]


HEAD = "time_s,series,value,capacity\n0,a,1,8\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "demand.csv: is empty"),
        ("time_s,series\n", "no column value"),
        ("time_s,series,vaule\n", "no column value"),
        ("time_s,series,value,capcity\n0,a,1,2\n", 'a column "capcity"'),
        ("time_s,series,value,value\n0,a,1,2\n", "the column value stands there twice"),
        ("time_s,series,value\n", "has a header and no rows"),
        (HEAD, "no series has a second time"),
        (HEAD + "300,a,nan,8\n", 'line 3: value is "nan", not a number from 0'),
        (HEAD + "300,a,inf,8\n", 'line 3: value is "inf", not a number from 0'),
        (HEAD + "300,a,-1,8\n", 'line 3: value is "-1", not a number from 0'),
        (HEAD + "300,a,1e999,8\n", "line 3: value is"),
        (HEAD + "300,a,two,8\n", 'line 3: value is "two", not a number from 0'),
        (HEAD + "300,a,1,0\n", 'line 3: capacity is "0", not a number above 0'),
        (HEAD + "300,a,1,inf\n", "line 3: capacity is"),
        (HEAD + "300,a,1,nan\n", "line 3: capacity is"),
        (HEAD + ",a,1,8\n", 'line 3: time_s is "", not seconds'),
        (HEAD + "nan,a,1,8\n", 'line 3: time_s is "nan", not seconds'),
        (HEAD + "inf,a,1,8\n", "line 3: time_s is"),
        (HEAD + "2020-05-01,a,1,8\n", "line 3: time_s is"),
        (HEAD + "300,,1,8\n", 'line 3: series is ""'),
        (HEAD + "300,a\x1b[2J,1,8\n", "line 3: series is"),
        (HEAD + "300,a,1\n", "line 3: 3 cells, and the header names 4 columns"),
        (HEAD + '300,"a,1,8\n', "not CSV"),
        (HEAD + "0,a,2,8\n", 'line 3: "a" has a value for that time already, on line 2'),
        (HEAD + "1,a,2,8\n999999999999,a,2,8\n2,a,1,8\n3,a,1,8\n", "are too much"),
    ],
)
def test_what_is_wrong_is_named(text, said):
    with pytest.raises(BrokenInputError) as refused:
        grid_of(text)
    assert said in refused.value.message
    assert refused.value.message.startswith("demand.csv")
    assert "\x1b" not in refused.value.message


ROWS = st.dictionaries(
    st.tuples(st.integers(0, 40), st.sampled_from("abc")), st.none() | st.floats(0, 1e6), min_size=3, max_size=60
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_unit_of_time_do_not_matter(rows, shuffled):
    lines = [f"{60 * tick},{name},{'' if value is None else repr(value)}\n" for (tick, name), value in rows.items()]
    assume(any(len({tick for tick, name in rows if name == one}) > 1 for one in "abc"))
    grid = read(["time_s,series,value\n", *lines], "x")
    shuffled.shuffle(lines)
    other = read(["time_s,series,value\n", *lines], "x")
    assert (grid.step_s, grid.ticks, grid.start_s) == (other.step_s, other.ticks, other.start_s)
    for name in grid.names:
        one, two = (matrix(each)[each.names.index(name)] for each in (grid, other))
        np.testing.assert_allclose(one, two, rtol=1e-12)
