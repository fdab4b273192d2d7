"""The charts of one node: of its host and of all its devices together."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec import structs
from tui.charted_world import device_key, go, graph, slow, store, titles
from tui.fleet_fixture import NOW_S, fleet
from tui.steering import text_of, until

from gpualloc.engine.series import Past, Reading, averaged
from gpualloc.model.sample import METRICS, Level, SeriesKey, SeriesKind
from gpualloc.tui.app import TopApp
from gpualloc.tui.widgets.graph import Graphs

NODE = "a100-01"
HOST = SeriesKey(SeriesKind.NODE, NODE, "")


def past_app() -> TopApp:
    """Ten minutes of a host, and of two of its four devices."""
    app = fleet().app()
    times = range(600, 0, -10)
    host = {"cpu_utilization_ratio": 0.5, "memory_available_mib": 31_000.0, "network_rx_bytes_per_s": 1e6}
    store(app.shell.ctx, HOST, times, lambda _: {**host, "disk_used_mib": 1000.0})
    for index, ratio in ((0, 0.2), (1, 0.6)):
        key = device_key(f"{NODE}/GPU-{NODE}-{index}")
        store(app.shell.ctx, key, times, lambda _, ratio=ratio: {"gpu_utilization_ratio": ratio})  # type: ignore[misc]
    return app


async def test_a_low_terminal_has_charts_when_they_are_asked_for() -> None:
    app = past_app()
    async with app.run_test(size=(80, 24)) as pilot:
        view = await go(pilot, "node", NODE)
        await until(pilot, lambda: not view.query_one("#charts").display)
        assert view.query_one("#on-node").display
        await pilot.press("v")
        await until(pilot, lambda: titles(pilot)[:1] == ["CPU"])
        assert not view.query_one("#on-node").display
        assert view.query_one("#devices").display
        seen = list(titles(pilot))
        for _ in range(9):
            await pilot.press("v")
            if not view.query_one("#charts").display:
                break
            seen += titles(pilot)
        assert {"CPU", "memory used", "GPU use, mean", "network", "disk used"} <= set(seen)
        assert view.query_one("#on-node").display


async def test_a_high_terminal_has_charts_and_processes() -> None:
    app = past_app()
    async with app.run_test(size=(120, 40)) as pilot:
        view = await go(pilot, "node", NODE)
        await until(pilot, lambda: titles(pilot))
        assert view.query_one("#on-node").display
        for _ in range(9):
            await pilot.press("v")
            if not view.query_one("#charts").display:
                break
        assert not view.query_one("#charts").display


async def test_memory_is_what_is_not_available() -> None:
    app = past_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await go(pilot, "node", NODE)
        await until(pilot, lambda: titles(pilot) and len(graph(pilot, "CPU").curves[0].points) > 50)
        found = graph(pilot, "memory used")
        assert {value for _, value in found.curves[0].points[:-1] if value is not None} == {1_000_000.0}
        assert found.curves[0].points[-1][1] == pytest.approx(1_031_000 - 780_000)
        assert found.high == 1_031_000
        await until(pilot, lambda: graph(pilot, "disk used").high == 3_600_000)


async def test_gpu_use_is_the_mean_between_the_lowest_and_the_highest_device() -> None:
    app = past_app()
    async with app.run_test(size=(200, 60)) as pilot:
        await go(pilot, "node", NODE)
        await until(pilot, lambda: titles(pilot) and len(graph(pilot, "GPU use, mean").curves[0].points) > 50)
        found = graph(pilot, "GPU use, mean")
        stored = [(at_s, value) for at_s, value in found.curves[0].points if NOW_S - 600 <= at_s < NOW_S]
        assert [value for _, value in stored] == [pytest.approx(0.4)] * len(stored)
        assert {(low, high) for at_s, low, high in found.bands[0].points if at_s < NOW_S and low} == {(0.2, 0.6)}
        assert found.curves[0].points[-1][1] == pytest.approx((0.97 + 0.0 + 0.41 + 0.12) / 4)


async def test_a_history_that_does_not_answer_holds_up_no_key() -> None:
    app = past_app()
    history = slow(app)
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, "node", NODE)
        await until(pilot, history.asked.is_set)
        await pilot.press("plus", "left", "j", "l", "i", "i")
        assert text_of(pilot, "#charts-title").startswith(" History  1 h")
        assert "reading what is stored" in text_of(pilot, "#charts-title")
        history.released.set()
        await until(pilot, lambda: "reading" not in text_of(pilot, "#charts-title"))
        await until(pilot, lambda: len(graph(pilot, "CPU").curves[0].points) > 5)


async def test_a_node_that_does_not_answer_says_that_nothing_is_known() -> None:
    app = fleet().app()
    async with app.run_test(size=(120, 40)) as pilot:
        view = await go(pilot, "node", "l40s-02")
        await until(pilot, lambda: "Nothing is known" in text_of(pilot, "#charts-none"))
        assert view.query_one(Graphs).lines is not None
        assert titles(pilot) == []
        await pilot.press("left", "plus", "minus", "v", "escape")


def past(*readings: tuple[float, float | None]) -> Past:
    told = tuple(Reading(at_s, value, value, value) for at_s, value in readings)
    return Past(HOST, METRICS["gpu_utilization_ratio"], Level.RAW, 10.0, told)


def test_what_is_not_known_of_some_is_left_out_of_the_mean() -> None:
    one = past((0, 0.2), (10, None), (20, 0.4))
    other = past((0, 0.6), (10, 0.6), (20, None))
    assert [reading.mean for reading in averaged([one, other]).readings] == [pytest.approx(0.4), 0.6, 0.4]


def test_a_device_that_fell_silent_no_longer_counts() -> None:
    one, other = past((0, 0.2)), past(*((10.0 * at, 0.6) for at in range(6)))
    means = [reading.mean for reading in averaged([one, other]).readings]
    assert means == [pytest.approx(0.4)] * 3 + [0.6] * 3


def test_where_nothing_is_known_of_any_there_is_a_gap() -> None:
    found = averaged([past((0, 0.2), (10, None)), past((0, None), (10, None))])
    assert [(reading.low, reading.mean, reading.high) for reading in found.readings] == [(0.2,) * 3, (None,) * 3]
    assert averaged([past(), past()]).readings == ()


def test_times_of_the_mean_ascend_and_none_is_there_twice() -> None:
    found = averaged([past((0, 0.1), (7, 0.2)), past((3, 0.3), (7, 0.4)), structs.replace(past())])
    times = [reading.at_s for reading in found.readings]
    assert times == [0, 3, 7]
    assert all(before < after for before, after in pairwise(times))
