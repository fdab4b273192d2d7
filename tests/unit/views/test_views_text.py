"""Numbers with units, foreign text made harmless, columns counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.views.text import ago, bar, cells, duration, escape, memory, percent, plural, quantity, shorten, stamp


@pytest.mark.parametrize(
    ("mib", "text"), [(None, "n/a"), (0, "0 MiB"), (512, "512 MiB"), (81559, "79.6 GiB"), (2 * 1024**2, "2.0 TiB")]
)
def test_memory_has_a_unit_and_unknown_is_no_number(mib, text):
    assert memory(mib) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "n/a"), (-5, "0s"), (3.9, "3s"), (125, "2m05s"), (7500, "2h05m"), (273600, "3d04h")],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


def test_unknown_is_never_a_number():
    assert [percent(None), quantity(None, "W"), stamp(None), ago(None)] == ["n/a", "n/a", "n/a", "never"]
    assert bar(None, 100, 4) == "····"
    assert bar(50, None, 4) == "····"


@pytest.mark.parametrize(("part", "drawn"), [(0, "░░░░"), (1, "▏░░░"), (50, "██░░"), (100, "████"), (150, "████")])
def test_any_use_shows_in_a_bar(part, drawn):
    assert bar(part, 100, 4) == drawn


def test_plural():
    assert [plural(0, "step"), plural(1, "step"), plural(2, "step")] == ["0 steps", "1 step", "2 steps"]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202egnp", "\\u202egnp"),
        ("a\\nb", "a\\\\nb"),
        ("\x9b31m", "\\x9b31m"),
        ("\udc80", "\\udc80"),
        ("\U000e0001", "\\U000e0001"),
        ("naïve 日本", "naïve 日本"),
    ],
)
def test_escape_shows_what_could_do_harm(hostile, shown):
    assert escape(hostile) == shown


@given(st.text())
def test_escaped_text_is_printable_and_tells_texts_apart(text):
    shown = escape(text)
    assert shown == "" or shown.isprintable()
    assert escape(text + "\n") != escape(text + "\\n")


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])), st.integers(1, 40))
def test_shortened_text_fits(text, width):
    cut = shorten(text, width)
    assert cells(cut) <= max(width, 1)
    assert cut == text or cut.endswith("…")


def test_wide_characters_take_two_columns():
    assert (cells("日本"), cells("é"), cells("e\u0301")) == (4, 1, 1)
