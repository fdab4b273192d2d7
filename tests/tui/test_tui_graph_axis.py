"""Round ticks on both axes, and values in words."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.tui.fields import Unit
from gpualloc.tui.graph_axis import Scale, amount, column_at, moment_text, time_ticks, value_ticks

MIDNIGHT = 1_789_948_800.0
"""2026-09-21 00:00 UTC."""


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, Unit.RATIO, "0 %"),
        (0.004, Unit.RATIO, "0.4 %"),
        (0.43, Unit.RATIO, "43 %"),
        (1.0, Unit.RATIO, "100 %"),
        (512, Unit.MIB, "512 MiB"),
        (12_595, Unit.MIB, "12.3 GiB"),
        (81_920, Unit.MIB, "80 GiB"),
        (1_572_864, Unit.MIB, "1.5 TiB"),
        (312.4, Unit.WATT, "312 W"),
        (12_500, Unit.WATT, "12.5 kW"),
        (51, Unit.CELSIUS, "51 °C"),
        (1980, Unit.MHZ, "1,980 MHz"),
        (999, Unit.BYTES_PER_S, "999 B/s"),
        (1_230_000, Unit.BYTES_PER_S, "1.23 MB/s"),
        (90, Unit.SECONDS, "90 s"),
        (5400, Unit.SECONDS, "90 min"),
        (7, Unit.COUNT, "7"),
        (12_345, Unit.COUNT, "12.3 k"),
        (-0.001, Unit.COUNT, "0"),
        (-40, Unit.CELSIUS, "-40 °C"),
    ],
)
def test_a_value_in_words(value: float, unit: Unit, text: str) -> None:
    assert amount(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "lines", "unit", "texts"),
    [
        (0, 1, 3, Unit.RATIO, ["0 %", "50 %", "100 %"]),
        (0, 1, 9, Unit.RATIO, ["0 %", "25 %", "50 %", "75 %", "100 %"]),
        (0, 1, 2, Unit.RATIO, ["0 %", "100 %"]),
        (0, 81_920, 9, Unit.MIB, ["0 GiB", "20 GiB", "40 GiB", "60 GiB", "80 GiB"]),
        (0, 700, 8, Unit.WATT, ["0 W", "200 W", "400 W", "600 W"]),
        (0, 0.7, 8, Unit.COUNT, ["0", "0.2", "0.4", "0.6"]),
        (-20, 20, 6, Unit.CELSIUS, ["-20 °C", "0 °C", "20 °C"]),
    ],
)
def test_values_on_the_axis_are_round(low: float, high: float, lines: int, unit: Unit, texts: list[str]) -> None:
    assert [text for _, text in value_ticks(Scale(low, high, lines * 4), lines, unit)] == texts


@given(st.floats(-1e15, 1e15), st.floats(1e-3, 1e15), st.integers(1, 100), st.sampled_from(Unit))
def test_values_on_the_axis_stand_apart_and_rise(low: float, span: float, lines: int, unit: Unit) -> None:
    high = low + max(span, 1e-8 * abs(low))
    ticks = value_ticks(Scale(low, high, lines * 4), lines, unit)
    rows = [row for row, _ in ticks]
    assert rows == sorted(rows, reverse=True)
    assert all(0 <= row < lines for row in rows)
    assert all(below - above >= (2 if lines > 3 else 1) for below, above in pairwise(rows))


@given(st.floats(0, 4e9), st.floats(1, 1e9), st.integers(1, 300), st.floats(-0.5, 1.5))
def test_times_on_the_axis_stand_apart_and_inside(start_s: float, span_s: float, columns: int, part: float) -> None:
    ticks = time_ticks(start_s, start_s + span_s, columns, start_s + part * span_s)
    assert all(tick.first >= 0 and tick.first + len(tick.text) <= columns for tick in ticks)
    assert all(0 <= tick.column < columns for tick in ticks)
    assert all(left.first + len(left.text) < right.first for left, right in pairwise(ticks))


@pytest.mark.parametrize(
    ("start_s", "span_s", "columns", "texts"),
    [
        (
            MIDNIGHT + 36_000,
            120,
            60,
            ["10:00:30", "10:01:00", "10:01:30"],
        ),
        (MIDNIGHT + 36_000, 3600, 40, ["10:15", "10:30", "10:45"]),
        (MIDNIGHT - 7200, 14_400, 40, ["23:00", "21 Sep", "01:00"]),
        (MIDNIGHT - 86_400, 7 * 86_400, 80, ["21 Sep", "22 Sep", "23 Sep", "24 Sep", "25 Sep", "26 Sep"]),
        (MIDNIGHT, 3600, 20, ["-1h", "now"]),
    ],
)
def test_times_on_the_axis_are_round(start_s: float, span_s: float, columns: int, texts: list[str]) -> None:
    assert [tick.text for tick in time_ticks(start_s, start_s + span_s, columns, None)] == texts


def test_narrow_axes_say_how_far_they_reach_ahead() -> None:
    assert [tick.text for tick in time_ticks(MIDNIGHT, MIDNIGHT + 10_800, 20, MIDNIGHT + 7200)] == [
        "-2h",
        "now",
        "+1h",
    ]


def test_days_begin_at_midnight_also_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    start_s = time.mktime((2026, 10, 23, 12, 0, 0, 0, 0, -1))
    ticks = time_ticks(start_s, start_s + 4 * 86_400, 60, None)
    assert [tick.text for tick in ticks] == ["24 Oct", "25 Oct", "26 Oct", "27 Oct"]
    hours = time_ticks(start_s + 1.2 * 86_400, start_s + 2 * 86_400, 60, None)
    assert {"25 Oct", "03:00", "09:00"} <= {tick.text for tick in hours}


def test_moments_have_their_day_where_the_chart_is_long() -> None:
    assert moment_text(MIDNIGHT + 61, 3600) == "00:01:01"
    assert moment_text(MIDNIGHT + 61, 200_000) == "21 Sep 00:01"


def test_the_end_belongs_to_the_last_column() -> None:
    assert [column_at(at_s, 0, 10, 5) for at_s in (0, 1.9, 2, 9.9, 10)] == [0, 0, 1, 4, 4]
