"""CSV reads back as what was written, whatever is in it, and no cell is a formula."""

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.views.csv import MAX_CELL, csv_text, harmless

IN_ANY_TIME = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
TEXTS = st.text(max_size=60) | st.sampled_from(["=1+1", "+x", "-x", "@x", "\t=1", '"', "a,b", "\r\n", "＝1", "\udc80"])
VALUES = TEXTS | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none()


def read_back(text):
    return list(csv.reader(io.StringIO(text), strict=True))


def shown(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return harmless(value) if isinstance(value, str) else str(value)


@IN_ANY_TIME
@given(st.lists(st.lists(VALUES, min_size=2, max_size=2), max_size=5))
def test_what_is_read_back_is_what_was_written(rows):
    text = csv_text(("a", "b_mib"), rows)
    assert read_back(text) == [["a", "b_mib"], *([shown(value) for value in row] for row in rows)]
    assert text.count("\n") == len(rows)


@IN_ANY_TIME
@given(TEXTS)
def test_no_text_steers_a_terminal_or_is_a_formula(text):
    (cell,) = read_back(csv_text(("a", "b"), [(text, 1)]))[1][:1]
    assert all(char.isprintable() for char in cell)
    assert cell[:1] not in set("=+-@＝＋－＠")


@pytest.mark.parametrize("text", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "＝1"])
def test_formulas_are_texts(text):
    assert harmless(text) == "'" + text


@pytest.mark.parametrize("text", ["\t=1", "\r=1"])
def test_what_stands_behind_tab_or_cr_is_no_formula(text):
    assert harmless(text).startswith("\\")


def test_numbers_are_never_guarded():
    assert read_back(csv_text(("a", "b"), [(-1, -0.5)]))[1] == ["-1", "-0.5"]


def test_a_text_has_an_end():
    assert len(harmless("x" * 1_000_000)) == MAX_CELL + 1
