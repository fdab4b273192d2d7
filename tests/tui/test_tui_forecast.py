"""The view of what is to be expected: series with bands and past errors, and what is missing where nothing is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec import structs
from textual.pilot import Pilot
from textual.widgets import Input
from tui.charted_world import device_key, graphs, slow, store
from tui.fleet_fixture import NOW_S, TICKS_S, fleet
from tui.steering import screen_text, text_of, until, until_drawn

from gpualloc.forecast.registry import load
from gpualloc.forecast.run_times import ClassRunTime, RunTime
from gpualloc.model.forecast import Band
from gpualloc.model.foresight import By, KeptForecast, Subject
from gpualloc.tui.app import TopApp
from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.tui.foresight import USUAL, Wish
from gpualloc.tui.listings.foreseen import FORESEEN, RUN_TIMES, ForeseenRow, band_text, too_little
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import Moment
from gpualloc.tui.screens.forecast import ForecastView
from gpualloc.tui.widgets.graph import Graphs
from gpualloc.tui.widgets.list_table import ListTable

USE = "gpu_utilization_ratio"
BUSY, OTHER = "a100-01/GPU-a100-01-0", "a100-01/GPU-a100-01-2"
MOMENT = Moment(TICKS_S, NOW_S, 2.0)


def app_with_past() -> TopApp:
    """Two devices with five hours of samples, a third with some minutes."""
    app = fleet().app()
    app.shell.ctx = structs.replace(app.shell.ctx, forecaster=load("auto"))
    for name, ratio in ((BUSY, 0.8), (OTHER, 0.3)):
        store(app.shell.ctx, device_key(name), range(5 * 3600, 0, -150), lambda _, ratio=ratio: {USE: ratio})  # type: ignore[misc]
    store(app.shell.ctx, device_key("h100-01/GPU-h100-01-0"), range(900, 0, -150), lambda _: {USE: 0.9})
    return app


async def forecast(pilot: Pilot[None], what: str | None = None) -> ForecastView:
    """Go there, and to that metric."""
    await until_drawn(pilot)
    await pilot.press("6")
    view = pilot.app.screen
    assert isinstance(view, ForecastView)
    if what is not None:
        for _ in range(USUAL.index(what)):
            await pilot.press("m")
        await until(pilot, lambda: view._found is not None and view._found.wish.what == what)
    await until(pilot, lambda: view._found is not None and view._found.wish == view._wish)
    await pilot.pause()
    return view


def said(pilot: Pilot[None]) -> str:
    """Sentences below the chart, in one line."""
    return " ".join(text_of(pilot, "#explained").split())


async def test_series_stand_by_node_and_gpu_with_what_is_expected_at_each_horizon() -> None:
    async with app_with_past().run_test(size=(160, 40)) as pilot:
        view = await forecast(pilot, USE)
        rows = view.table.rows
        assert [row.shown for row in rows] == ["a100-01 GPU 0", "a100-01 GPU 2", "h100-01 GPU 0"]
        band = rows[0].bands[3600]
        assert band is not None
        assert band.low <= band.median <= band.high
        assert band.median == pytest.approx(0.8, abs=0.05)
        assert rows[2].bands[3600] is None
        head = next(line for line in screen_text(pilot) if "SERIES" in line)
        assert all(title in head for title in ("NOW", "IN 1h", "IN 3h", "IN 6h", "PAST ERROR"))
        line = next(line for line in screen_text(pilot) if line.startswith(" a100-01 GPU 0"))
        assert "80 %" in line


async def test_the_chart_is_that_of_the_row_under_the_cursor() -> None:
    async with app_with_past().run_test(size=(120, 40)) as pilot:
        await forecast(pilot, USE)
        await until(pilot, lambda: graphs(pilot) and graphs(pilot)[0].title == "a100-01 GPU 0")
        assert [curve.role for curve in graphs(pilot)[0].curves] == [Role.CURVE, Role.FORECAST]
        await pilot.press("down")
        await until(pilot, lambda: graphs(pilot)[0].title == "a100-01 GPU 2")
        await pilot.press("left")
        assert pilot.app.screen.query_one(Graphs).pointed_s is not None
        await pilot.press("escape")
        assert pilot.app.screen.query_one(Graphs).pointed_s is None
        assert isinstance(pilot.app.screen, ForecastView)


async def test_too_little_history_is_told_with_what_is_missing() -> None:
    async with app_with_past().run_test(size=(160, 40)) as pilot:
        await forecast(pilot, USE)
        await pilot.press("end")
        await until(pilot, lambda: "h100-01 GPU 0" in said(pilot))
        row = pilot.app.screen.query_one("#series", ListTable).current
        assert f"{row.ticks} of {row.least} steps are known" in said(pilot)
        assert "gpualloc sample --every 10s" in said(pilot)
        assert "GPU-h100" not in said(pilot)


async def test_where_nothing_was_ever_sampled_there_are_words_and_no_chart() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await forecast(pilot, USE)
        await until(pilot, lambda: "nothing is known yet" in said(pilot))
        assert "gpualloc sample" in said(pilot)
        assert not pilot.app.screen.query_one(Graphs).display
        assert not pilot.app.screen.query_one("#series").display


async def test_past_errors_are_those_of_the_series() -> None:
    app = app_with_past()
    subject, made_at_s = Subject(USE, By.SERIES), int(NOW_S) // 300 * 300 - 7200
    kept = KeptForecast(subject, BUSY, made_at_s, 300, 3600, "linear", Band(0.6, 0.7, 0.9), 0.8)
    app.shell.ctx.history.keep([kept])
    async with app.run_test(size=(160, 40)) as pilot:
        view = await forecast(pilot, USE)
        assert view.table.rows[0].score.error == pytest.approx(0.1)
        assert view.table.rows[1].score is None
        assert "past error 1h ahead: off by 10 %" in said(pilot)
        await pilot.press("down")
        await until(pilot, lambda: "none of its forecasts was compared yet" in said(pilot))


async def test_keys_change_what_by_and_how_far() -> None:
    async with app_with_past().run_test(size=(160, 40)) as pilot:
        view = await forecast(pilot)
        assert text_of(pilot, "#asked").startswith(" demand by pool   6h ahead")
        await pilot.press("b")
        assert text_of(pilot, "#asked").startswith(" demand by tenant")
        await pilot.press("b", "b")
        assert text_of(pilot, "#asked").startswith(" demand of everything")
        await pilot.press("m")
        assert text_of(pilot, "#asked").startswith(" arrivals of everything")
        await pilot.press("m", "m", "b")
        assert "only demand and arrivals" in text_of(pilot, "#notice")
        await pilot.press("plus", "plus")
        assert "24h ahead" in text_of(pilot, "#asked")
        await until(pilot, lambda: view._found is not None and view._found.wish == Wish(USE, By.ALL, 2))
        await until(pilot, lambda: any("IN 24h" in line for line in screen_text(pilot)))
        assert not any("IN 1h" in line for line in screen_text(pilot))
        await pilot.press("minus", "minus", "minus")
        assert "1h ahead" in text_of(pilot, "#asked")
        await until(pilot, lambda: any("IN 30m" in line for line in screen_text(pilot)))


async def test_any_metric_and_any_forecaster_can_be_typed() -> None:
    async with app_with_past().run_test(size=(160, 40)) as pilot:
        view = await forecast(pilot)
        await pilot.press("M")
        pilot.app.screen.query_one(Input).value = USE
        await pilot.press("enter")
        await until(pilot, lambda: view._found is not None and view._found.wish.what == USE)
        await pilot.press("f")
        pilot.app.screen.query_one(Input).value = "last"
        await pilot.press("enter")
        await until(pilot, lambda: view._found is not None and view._found.wish.forecaster == "last")
        await until(pilot, lambda: "forecaster last" in text_of(pilot, "#asked"))
        for key, word in (("M", "metric"), ("f", "forecaster")):
            await pilot.press(key)
            pilot.app.screen.query_one(Input).value = "nonsense"
            await pilot.press("enter")
            await until(pilot, lambda word=word: f"there is no {word} nonsense" in text_of(pilot, "#notice"))


async def test_a_history_that_does_not_answer_holds_up_no_key() -> None:
    app = app_with_past()
    history = slow(app)
    async with app.run_test(size=(120, 40)) as pilot:
        await until_drawn(pilot)
        await pilot.press("6")
        await until(pilot, lambda: isinstance(app.screen, ForecastView))
        await until(pilot, lambda: history.asked.is_set() and "looking ahead" in text_of(pilot, "#asked"))
        await pilot.press("m", "m", "m", "plus", "left", "slash", "escape")
        await until(pilot, lambda: USE in text_of(pilot, "#asked"))
        history.released.set()
        await until(pilot, lambda: app.screen.query_one("#series", ListTable).rows)
        await until(pilot, lambda: "looking ahead" not in text_of(pilot, "#asked"))


async def test_the_list_is_filtered_exported_and_opened(tmp_path: Path) -> None:
    app = app_with_past()
    async with app.run_test(size=(160, 40)) as pilot:
        view = await forecast(pilot, USE)
        await until(pilot, lambda: view.table.rows)
        view.table.focus()
        await pilot.press("slash")
        pilot.app.screen.query_one(Input).value = "in1h>0.5"
        await pilot.press("enter")
        await until(pilot, lambda: [row.shown for row in view.table.rows] == ["a100-01 GPU 0"])
        await pilot.press("e")
        written = tmp_path / "expected.json"
        pilot.app.screen.query_one(Input).value = str(written)
        await pilot.press("enter")
        await until(pilot, written.exists)
        assert "a100-01 GPU 0" in json.dumps(json.loads(written.read_text()))
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not view)
        assert app.screen.of == BUSY  # type: ignore[attr-defined]


async def test_run_times_are_a_list_of_their_own() -> None:
    async with app_with_past().run_test(size=(100, 30)) as pilot:
        await forecast(pilot, "run-time")
        await until(pilot, lambda: any("no work came to its end yet" in line for line in screen_text(pilot)))
        assert not pilot.app.screen.query_one(Graphs).display
        assert not pilot.app.screen.query_one("#series").display


async def test_a_past_that_is_shown_is_not_what_is_looked_ahead_from() -> None:
    app = app_with_past()
    async with app.run_test(size=(120, 40)) as pilot:
        view = await forecast(pilot)
        assert "not from the past" not in text_of(pilot, "#asked")
        app.watcher.pause(True)
        app.shell.state = structs.replace(app.shell.state, live=False)
        view.redraw()
        assert "not from the past that is shown" in text_of(pilot, "#asked")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (40, 12), (20, 6)], ids=str)
async def test_every_size_is_drawn(size: tuple[int, int]) -> None:
    app = app_with_past()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.shell.state.seen.looks)
        app.post_message(Go("forecast"))
        await until(pilot, lambda: isinstance(app.screen, ForecastView))
        await pilot.press("m", "m", "m", "down", "left", "plus")
        assert len(screen_text(pilot)) == size[1]


def row(**changes: object) -> ForeseenRow:
    whole = ForeseenRow(0, "n", "n", Unit.MIB, 1.0, {900: Band(8_300.0, 12_600.0, 20_480.0)}, ("m",), 30, 24, ())
    return structs.replace(whole, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("band", "unit", "text"),
    [
        (Band(0.71, 0.75, 0.8), Unit.RATIO, "71-80"),
        (Band(8_300.0, 12_600.0, 20_480.0), Unit.MIB, "8.11-20"),
        (Band(500.0, 12_600.0, 20_480.0), Unit.MIB, "500 MiB-20"),
        (Band(1.0, 2.0, 3.0), Unit.COUNT, "1-3"),
    ],
)
def test_edges_have_a_unit_where_it_is_not_that_of_the_median(band: Band, unit: Unit, text: str) -> None:
    assert band_text(band, unit) == text


def test_a_cell_is_never_wider_than_its_column() -> None:
    field = FORESEEN.field("in15m")
    assert field.draw is not None
    for width in range(9, 40):
        drawn = "".join(span.text for span in field.draw(row(), MOMENT, width))
        assert len(drawn) == width
        assert "12.3 GiB" in drawn
    assert "8.11-20" in "".join(span.text for span in field.draw(row(), MOMENT, 20))


@pytest.mark.parametrize(
    ("ticks", "least", "words"),
    [(0, 24, "nothing is known of it"), (7, 24, "7 of 24 steps are known"), (24, 24, None), (7, None, None)],
)
def test_what_is_missing(ticks: int, least: int | None, words: str | None) -> None:
    assert too_little(row(ticks=ticks, least=least)) == words


def test_a_run_time_that_cannot_be_told_is_longer_than_the_longest() -> None:
    work = ClassRunTime("ann", "train", 2, RunTime(60.0, None, None, 7200.0, 1, 3, 9))
    cells = {
        name: "".join(span.text for span in draw(work, MOMENT, 8)).strip()
        for name in ("low", "median", "high")
        if (draw := RUN_TIMES.field(name).draw) is not None
    }
    assert cells == {"low": "60s", "median": "> 2h", "high": "> 2h"}
    assert RUN_TIMES.field("median").value(work, MOMENT) is None
