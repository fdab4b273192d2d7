"""The view of one device: charts of what is stored and seen, their window and pointer, who holds it, what happened."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from textual.pilot import Pilot
from tui.charted_world import device_key, go, graph, graphs, slow, store, titles
from tui.fleet_fixture import NOW_S, FrozenWorld, fleet
from tui.hands_world import demo, running, seen_once, top
from tui.steering import screen_text, text_of, until

from gpualloc.engine.sample import sample
from gpualloc.forecast.registry import load
from gpualloc.model.health import Event
from gpualloc.tui import glyphs
from gpualloc.tui.app import TopApp
from gpualloc.tui.cells import Role
from gpualloc.tui.messages import Go
from gpualloc.tui.screens import charted
from gpualloc.tui.screens.charted import SPANS, ChartedView, room_for
from gpualloc.tui.screens.device import DeviceView
from gpualloc.tui.widgets.graph import Graphs

BUSY = "a100-01/GPU-a100-01-0"
HUNG = "h100-01/GPU-h100-01-4"
MIG = "h200-01/GPU-h200-01-0"


def past_app(world: FrozenWorld, name: str = BUSY) -> TopApp:
    """A dashboard over half an hour of samples, of which five minutes are unknown and five are missing."""
    app = world.app()
    known = {"gpu_utilization_ratio": 0.25, "gpu_memory_used_mib": 40_000.0, "power_w": 200.0, "temperature_c": 50.0}
    unknown = dict.fromkeys(known)
    times = [ago_s for ago_s in range(1800, 0, -10) if not 300 < ago_s <= 600]
    store(app.shell.ctx, device_key(name), times, lambda ago_s: unknown if 600 < ago_s <= 900 else known)
    return app


async def read(pilot: Pilot[None]) -> None:
    """Wait until what is stored was read."""
    view = pilot.app.screen
    assert isinstance(view, ChartedView)
    await until(pilot, lambda: view._version and not view.shell.desk.busy(view._lane))
    await pilot.pause()


async def test_stored_and_seen_readings_are_one_curve_and_the_unknown_is_a_gap() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot) and len(graph(pilot, "GPU use").curves[0].points) > 50)
        found = graph(pilot, "GPU use")
        points = found.curves[0].points
        assert (found.start_s, found.end_s, found.now_s) == (NOW_S - 900, NOW_S, NOW_S)
        assert points[-1] == (NOW_S, pytest.approx(0.97))
        assert {value for at_s, value in points if NOW_S - 900 <= at_s < NOW_S - 600} == {None}
        between = [(at_s, value) for at_s, value in points if NOW_S - 600 <= at_s < NOW_S - 300]
        assert [value for _, value in between] == [None] * len(between)
        assert all(value == 0.25 for at_s, value in points if NOW_S - 300 <= at_s < NOW_S)
        assert graph(pilot, "memory used").high == 81_920


async def test_charts_that_do_not_fit_come_one_page_after_the_other() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot) == ["GPU use", "memory used"])
        assert "charts 1-2 of 5" in text_of(pilot, "#charts-title")
        await pilot.press("v")
        assert titles(pilot) == ["power", "temperature"]
        await pilot.press("v")
        assert titles(pilot) == ["temperature", "SM clock"]
        await pilot.press("v")
        assert titles(pilot) == ["GPU use", "memory used"]


async def test_all_charts_are_there_where_there_is_room() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(200, 60)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: len(titles(pilot)) == 5)
        assert "charts" not in text_of(pilot, "#charts-title")
        assert "not known: SMs active" in text_of(pilot, "#charts-title")


async def test_keys_make_the_window_longer_and_shorter_for_every_device() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        widths = []
        for key in ("+", "+", "minus", "minus", "minus", "minus"):
            await pilot.press("plus" if key == "+" else key)
            widths.append(graphs(pilot)[0].end_s - graphs(pilot)[0].start_s)
        assert widths == [3600, 21_600, 3600, 900, 300, 300]
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: "a100-01 GPU 1" in text_of(pilot, "#crumb"))
        assert text_of(pilot, "#charts-title").startswith(f" History  {SPANS[0][0]}")
        await go_again(pilot, "h100-01/GPU-h100-01-0")
        assert text_of(pilot, "#charts-title").startswith(f" History  {SPANS[0][0]}")


async def go_again(pilot: Pilot[None], of: str) -> None:
    pilot.app.post_message(Go("device", of))
    await until(pilot, lambda: isinstance(pilot.app.screen, DeviceView) and pilot.app.screen.of == of)
    await until(pilot, lambda: text_of(pilot, "#charts-title"))


async def test_the_longest_window_is_where_it_ends() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        for _ in range(9):
            await pilot.press("plus")
        assert text_of(pilot, "#charts-title").startswith(" History  30 d")


async def test_a_pointer_tells_values_and_escape_gives_it_up_before_the_view() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(120, 40)) as pilot:
        view = await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot) and len(graph(pilot, "GPU use").curves[0].points) > 50)
        await pilot.press("left", "left", "left")
        charts = view.query_one(Graphs)
        assert charts.pointed_s is not None
        assert NOW_S - 300 < charts.pointed_s < NOW_S
        assert "25 %" in "".join(span.text for span in charts.lines[0])
        before_s = charts.pointed_s
        await pilot.press("shift+left")
        assert charts.pointed_s < before_s
        await pilot.press("right")
        await pilot.press("escape")
        assert (charts.pointed_s, pilot.app.screen) == (None, view)
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is not view)


async def test_steps_of_long_windows_have_a_band_from_the_lowest_to_the_highest() -> None:
    app = fleet().app()
    times = range(7200, 0, -10)
    store(app.shell.ctx, device_key(BUSY), times, lambda ago_s: {"power_w": 100.0 + 200.0 * (ago_s // 10 % 2)})
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await pilot.press("plus", "plus")
        await until(pilot, lambda: "power" in titles(pilot) and graph(pilot, "power").bands)
        steps = [one for one in graph(pilot, "power").bands[0].points[1:-2] if one[1] is not None]
        assert {(low, high) for _, low, high in steps} == {(100.0, 300.0)}
        means = [value for _, value in graph(pilot, "power").curves[0].points[1:-2] if value is not None]
        assert means == [pytest.approx(200.0)] * len(means)


async def test_what_is_expected_stands_behind_now_where_enough_is_known() -> None:
    app = fleet().app()
    app.shell.ctx = structs.replace(app.shell.ctx, forecaster=load("auto"))
    store(app.shell.ctx, device_key(BUSY), range(14_400, 0, -60), lambda _: {"gpu_utilization_ratio": 0.5})
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        await pilot.press("plus")
        await until(pilot, lambda: len(graph(pilot, "GPU use").curves) > 1)
        was, expected = graph(pilot, "GPU use").curves
        assert (was.role, expected.role, expected.dashed) == (Role.CURVE, Role.FORECAST, True)
        assert expected.points[-1][0] > NOW_S
        assert expected.points[-1][1] == pytest.approx(0.5, abs=0.1)
        assert "expected" in text_of(pilot, "#charts-title")
        assert {one.end_s for one in graphs(pilot)} == {graph(pilot, "GPU use").end_s}
        # A short window looks at what was.
        await pilot.press("minus")
        assert all(len(one.curves) == 1 for one in graphs(pilot))


async def test_a_history_that_does_not_answer_holds_up_no_key() -> None:
    app = past_app(fleet())
    history = slow(app)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, history.asked.is_set)
        await until(pilot, lambda: "reading what is stored" in text_of(pilot, "#charts-title"))
        await pilot.press("plus", "left", "right", "greater_than_sign")
        await until(pilot, lambda: "a100-01 GPU 1" in text_of(pilot, "#crumb"))
        # What the dashboard sees itself is there.
        assert "GPU use" in titles(pilot)
        await pilot.press("less_than_sign", "minus")
        history.released.set()
        await until(pilot, lambda: len(graph(pilot, "GPU use").curves[0].points) > 50)
        assert "reading" not in text_of(pilot, "#charts-title")


async def test_the_dashboard_ends_while_the_history_does_not_answer() -> None:
    app = past_app(fleet())
    history = slow(app)
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, history.asked.is_set)
        await pilot.press("q")
    history.released.set()


async def test_charts_are_made_on_news_and_not_by_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = charted.graph_of
    monkeypatch.setattr(
        charted, "graph_of", lambda chart, *words, **named: made.append(chart.title) or real(chart, *words, **named)
    )
    app = past_app(fleet())
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        await read(pilot)
        made.clear()
        await pilot.press("j", "k", "space", "s", "i", "i", "left", "right", "v")
        assert made == []


async def test_a_hung_device_says_why_it_has_no_charts() -> None:
    app = fleet().app()
    async with app.run_test(size=(100, 36)) as pilot:
        await go(pilot, "device", HUNG)
        await until(pilot, lambda: "Nothing is known" in text_of(pilot, "#charts-none"))
        assert "GPU use (hung)" in text_of(pilot, "#charts-none")
        assert "gpualloc sample" in text_of(pilot, "#charts-none")
        assert titles(pilot) == []
        assert any("hung" in line for line in screen_text(pilot)[:6])


async def test_what_a_mig_device_does_not_tell_is_named_with_its_reason() -> None:
    app = fleet().app()
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", MIG)
        await until(pilot, lambda: titles(pilot))
        assert "GPU use" not in titles(pilot)
        assert "memory used" in titles(pilot)
        assert "GPU use (mig)" in text_of(pilot, "#charts-title")
        assert "MIG is on" in text_of(pilot, "#mig")


async def test_a_device_that_is_gone_is_said_to_be() -> None:
    world = fleet()
    app = world.app()
    async with app.run_test(size=(80, 24)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        first, *others = world.nodes
        world.nodes = (structs.replace(first, devices=first.devices[1:], at_s=first.at_s + 1), *others)
        await until(pilot, lambda: "not there any more" in text_of(pilot, "#figures"))
        assert not pilot.app.screen.query_one("#all").display
        await pilot.press("plus", "left", "v", "escape")


async def test_past_moments_end_the_charts_there() -> None:
    app = past_app(fleet())
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "device", BUSY)
        await until(pilot, lambda: titles(pilot))
        then = structs.replace(
            app.shell.state, moment=structs.replace(app.shell.state.moment, now_s=NOW_S - 1200), live=False
        )
        app.watcher.pause(True)
        await until(pilot, lambda: _shown_at(app, then) and titles(pilot) and graphs(pilot)[0].end_s == NOW_S - 1200)
        await until(pilot, lambda: len(graph(pilot, "GPU use").curves[0].points) > 50)
        points = graph(pilot, "GPU use").curves[0].points
        assert {value for _, value in points} == {0.25}
        assert graph(pilot, "GPU use").now_s is None


def _shown_at(app: TopApp, then: object) -> bool:
    app.shell.state = then  # type: ignore[assignment]
    if app.view is not None:
        app.view.redraw()
    return True


async def test_the_holder_is_told_with_what_holds_its_limits(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        work = running(ctx)
        assert work.allocation is not None
        app = top(ctx, tmp_path)
        async with app.run_test(size=(140, 50)) as pilot:
            await seen_once(pilot)
            app.post_message(Go("device", f"{work.allocation.node}/{work.allocation.grants[0].device}"))
            await until(pilot, lambda: isinstance(app.screen, DeviceView))
            await until(pilot, lambda: any("its limits" in line for line in screen_text(pilot)))
            line = next(line for line in screen_text(pilot) if "its limits" in line)
            assert "gpu " in line
            assert any(word in line for word in ("soft", "hard", "booked"))


async def test_what_happened_to_the_device_is_listed_and_marked(tmp_path: Path) -> None:
    with demo(tmp_path) as ctx:
        sample(ctx)
        event: Event = next(one for one in ctx.events.events(0.0, node="pine01") if one.device is not None)
        app = top(ctx, tmp_path)
        async with app.run_test(size=(140, 50)) as pilot:
            await seen_once(pilot)
            app.post_message(Go("device", f"pine01/{event.device}"))
            await until(pilot, lambda: isinstance(app.screen, DeviceView))
            await until(pilot, lambda: any("What happened here" in line for line in screen_text(pilot)))
            await until(pilot, lambda: any("critical" in line for line in screen_text(pilot)))
            assert [one.key for one in app.screen.events] == [event.key]  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60), (40, 12), (20, 6)], ids=str)
async def test_every_size_is_drawn(size: tuple[int, int]) -> None:
    app = past_app(fleet())
    async with app.run_test(size=size) as pilot:
        app.post_message(Go("device", BUSY))
        await until(pilot, lambda: isinstance(app.screen, DeviceView))
        await until(pilot, lambda: app.screen.query_one("#figures") and len(screen_text(pilot)) == size[1])
        await pilot.press("v", "plus", "left")


async def test_ascii_is_drawn_where_there_is_nothing_else() -> None:
    before = glyphs.current()
    glyphs.use(glyphs.ASCII)
    try:
        app = past_app(fleet())
        async with app.run_test(size=(120, 40)) as pilot:
            await go(pilot, "device", BUSY)
            await until(pilot, lambda: titles(pilot))
            lines = pilot.app.screen.query_one(Graphs).lines
            assert all("".join(span.text for span in line).replace("°", "").isascii() for line in lines)
    finally:
        glyphs.use(before)


def test_as_many_charts_as_can_be_read() -> None:
    assert [
        room_for(width, height) for width, height in ((80, 12), (80, 19), (73, 22), (153, 34), (300, 60), (10, 1))
    ] == [
        2,
        4,
        2,
        6,
        18,
        1,
    ]
