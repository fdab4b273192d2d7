"""Charts with bands: as wide as asked, gaps empty, foreign text harmless."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.model.forecast import Band
from gpualloc.views.forecast import CHARTS_AT_MOST, Panel, forecast_text, span
from gpualloc.views.look import Look

SHADED = set("⢕⡪")
"""Every other dot of a character."""
NOW_S = 1_600_000_000.0


TOLD = (Band(2.0, 3.0, 5.0), Band(1.0, 3.0, 9.0))


def panel(values=(3.0,) * 50, bands=TOLD, title="vc1", unit="GPUs"):
    history = [(NOW_S - 300.0 * (len(values) - 1 - at), value) for at, value in enumerate(values)]
    ahead = [(NOW_S + seconds, band) for seconds, band in zip((300.0, 7200.0), bands, strict=True)]
    return Panel(title, unit, history, ahead, ["last" if band else "" for band in bands], 64.0)


def test_a_panel_has_a_chart_a_band_and_a_table():
    text = forecast_text([panel()], Look(width=80))
    assert text.splitlines()[0] == "vc1, capacity 64 GPUs"
    assert SHADED & set(text)
    assert "now 2020-09-13 12:26:40Z ▲" in text
    assert text.splitlines()[-3].split() == ["2h", "1", "GPUs", "3", "GPUs", "9", "GPUs", "last"]


BANDS = st.none() | st.tuples(*[st.floats(0, 1e6)] * 3).map(lambda three: Band(*sorted(three)))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=200),
    st.tuples(BANDS, BANDS),
    st.integers(60, 200),
    st.booleans(),
)
def test_no_line_is_too_wide(values, bands, width, colour):
    text = forecast_text([panel(values, bands)], Look(width))
    assert max(map(len, text.splitlines())) <= width
    painted = forecast_text([panel(values, bands)], Look(width, colour))
    assert not colour or "\x1b[1m" in painted


def test_what_cannot_be_told_says_so():
    assert "nothing can be told" in forecast_text([panel(bands=(None, None))], Look())
    assert "nothing can be told" in forecast_text([Panel("x", "", [], [], [])], Look())
    one = forecast_text([panel(bands=(Band(1.0, 2.0, 3.0), None))], Look())
    assert one.splitlines()[-3].split() == ["2h", "n/a", "n/a", "n/a"]
    assert forecast_text([], Look()) == "there are no series to forecast"


def test_many_series_get_a_line_each():
    text = forecast_text([panel()] * (CHARTS_AT_MOST + 1), Look())
    assert len(text.splitlines()) == CHARTS_AT_MOST + 1
    assert text.splitlines()[0].endswith("in 2h: 3 GPUs (1 GPUs to 9 GPUs)")
    assert max(map(len, text.splitlines())) <= 80


def test_a_title_cannot_paint_the_terminal():
    assert "\x1b" not in forecast_text([panel(title="a\x1b[2Jb")], Look())


def test_ratios_are_percent():
    text = forecast_text([panel((0.5,) * 30, (Band(0.25, 0.5, 0.75), None), unit="ratio")], Look())
    assert "25 %" in text


@pytest.mark.parametrize(("seconds", "text"), [(300, "5m"), (7200, "2h"), (5400, "90m"), (90, "90s"), (86400, "24h")])
def test_a_horizon_is_told_in_its_largest_whole_unit(seconds, text):
    assert span(seconds) == text
