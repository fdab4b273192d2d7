"""Every key of the first view, and those of all views."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from msgspec import structs
from textual.events import Key
from textual.pilot import Pilot
from tui.fleet_fixture import TICKS_S, FrozenMeter, FrozenWorld, fleet, uuid
from tui.steering import (
    fleet_table,
    go,
    no_defect,
    row_keys,
    screen_text,
    text_of,
    until,
    until_drawn,
    views,
    whole_text,
)

from gpualloc.model.inventory import Node
from gpualloc.tui.app import TopApp
from gpualloc.tui.keys import bindings_of, key_name
from gpualloc.tui.listing import Sort
from gpualloc.tui.listings.processes import ProcessRow
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.catalog import PLACES
from gpualloc.tui.screens.choice import ChoiceScreen
from gpualloc.tui.screens.device import DeviceView
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.screens.told import ToldScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.heat import HeatGrid
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.table import Table

HUNG = f"h100-01/{uuid('h100-01', 4)}"
OF = {"node": "h100-01", "device": HUNG, "workload": "w2k7m0q4r"}
"""What a view is about, where it needs something."""


def _processes(pilot: Pilot[None]) -> ListTable[ProcessRow]:
    return pilot.app.screen.query_one("#processes", ListTable)


async def test_arrows_and_vi_keys_move_the_cursor() -> None:
    app = fleet().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        table = fleet_table(pilot)
        last, page = len(table.rows) - 1, table.size.height - 2
        places = []
        for key in ("j", "down", "k", "up", "G", "g", "pagedown", "pageup", "ctrl+f", "ctrl+b", "end", "home"):
            await pilot.press(key)
            places.append(table.rows.index(table.current))  # type: ignore[arg-type]
        assert places == [1, 2, 1, 0, last, 0, page, 0, page, 0, last, 0]


async def test_cursor_stays_in_view_at_the_end() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("H", "G")
        await pilot.pause()
        assert any(line.startswith(" login") for line in screen_text(pilot))
        assert not any(line.startswith(" a100-01") for line in screen_text(pilot))


async def test_processes_follow_the_cursor() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        assert {row.process.pid for row in _processes(pilot).rows} == {21_077, 21_950, 30_412}
        await pilot.press("j")
        await pilot.pause()
        assert [row.process.pid for row in _processes(pilot).rows] == [21_077]
        assert "Processes on a100-01 GPU 0  1" in whole_text(pilot)


async def test_s_goes_through_every_column_and_the_view_says_which() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        names = [placed.column.key for placed in fleet_table(pilot)._placed]
        seen = [_sorted_by(pilot)]
        for _ in names:
            await pilot.press("s")
            await until(pilot, lambda: _sorted_by(pilot) != seen[-1])
            seen.append(_sorted_by(pilot))
        assert seen == [*names, names[0]]


def _sorted_by(pilot: Pilot[None]) -> str:
    return text_of(pilot, "#crumb").split("sort ")[-1].split()[0].rstrip("▲▼")


async def test_r_reverses_and_keeps_unknown_last() -> None:
    async with fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        table = fleet_table(pilot)
        while table.sorts[0].field != "util":
            await pilot.press("s")
        down = [row.device.gpu_utilization_ratio for row in table.rows if row.device is not None]
        await pilot.press("r")
        up = [row.device.gpu_utilization_ratio for row in table.rows if row.device is not None]
        known = [ratio for ratio in down if ratio is not None]
        assert known == sorted(known, reverse=True)
        assert [ratio for ratio in up if ratio is not None] == known[::-1]
        assert down[len(known) :] == up[len(known) :] == [None] * 4


async def test_cursor_stays_on_its_device_when_the_order_changes() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press(*"jjj")
        key = fleet_table(pilot).current.key  # type: ignore[union-attr]
        await pilot.press("s", "s", "s", "r")
        assert fleet_table(pilot).current.key == key  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("needle", "expected"),
    [
        ("H200", {"h200-01", f"h200-01/{uuid('h200-01', 0)}", f"h200-01/{uuid('h200-01', 1)}"}),
        ("mallory", {"a100-01", f"a100-01/{uuid('a100-01', 3)}"}),
        ("whisper", {"l40s-01", f"l40s-01/{uuid('l40s-01', 1)}"}),
        ('"needs reset"', {"l40s-01", f"l40s-01/{uuid('l40s-01', 2)}"}),
        ("unreach", {"l40s-02"}),
        ("util>90 gpu:3", {"h100-01", f"h100-01/{uuid('h100-01', 3)}"}),
        ("nosuchthing", set()),
    ],
)
async def test_filter_keeps_what_contains_the_text(needle: str, expected: set[str]) -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        everything = row_keys(pilot)
        await pilot.press("slash")
        for char in needle:
            pilot.app.post_message(Key("space" if char == " " else char, char))
        await pilot.press("enter")
        assert set(row_keys(pilot)) == expected
        await until(pilot, lambda: fleet_table(pilot).has_focus)
        await until(pilot, lambda: f"{len(expected)} of {len(everything)}" in text_of(pilot, "#crumb"))
        await pilot.press("escape")
        assert row_keys(pilot) == everything


async def test_keys_type_into_the_filter_and_do_nothing_else() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash", *"qsvpHo7?")
        assert no_defect(pilot)
        assert isinstance(pilot.app.screen, FleetView)
        assert "PAUSED" not in text_of(pilot, "#summary")
        assert not pilot.app.screen.has_class("cold")
        assert row_keys(pilot) == []


async def test_a_key_right_after_the_filter_is_not_part_of_it() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash")
        for key in (*"h100", "enter", "q"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: not pilot.app.is_running)


async def test_each_list_has_a_filter_of_its_own() -> None:
    async with fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        await go(pilot, "workloads")
        work = pilot.app.screen.query_one("#list", ListTable)
        await pilot.press("slash", *"bob", "enter")
        assert {row.workload.name for row in work.rows} == {"resnet-sweep-7", "bert-ablation"}
        await pilot.press("1")
        await pilot.pause()
        assert len(row_keys(pilot)) == 24


async def test_tab_goes_through_the_parts_of_the_view_and_back() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        parts = [fleet_table(pilot), _processes(pilot), pilot.app.screen.query_one(HeatGrid)]
        seen = [pilot.app.focused]
        for key in ("tab", "tab", "tab", "shift+tab", "shift+tab"):
            await pilot.press(key)
            seen.append(pilot.app.focused)
        assert seen == [parts[0], parts[1], parts[2], parts[0], parts[2], parts[1]]


async def test_p_stops_looking_and_goes_on() -> None:
    world = fleet()
    allowed = threading.Semaphore(1)
    begun = 0

    def look() -> Iterator[Node]:
        nonlocal begun
        begun += 1
        allowed.acquire()
        yield from world.nodes

    source = structs.replace(world.source(), look=look)
    app = TopApp(world.context(), source, TopOptions(every_s=0.05), title="top", meter=FrozenMeter())
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await until(pilot, lambda: begun == 2)
        await pilot.press("p")
        assert "PAUSED" in text_of(pilot, "#summary")
        allowed.release(1000)
        # The look under way ends; no other begins.
        await pilot.pause(0.3)
        assert begun == 2
        await pilot.press("p")
        await until(pilot, lambda: begun > 2)
        assert "PAUSED" not in text_of(pilot, "#summary")


async def test_the_mouse_selects_opens_and_sorts() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        table = fleet_table(pilot)
        await pilot.click("#fleet", offset=(5, 3))
        assert table.current is table.rows[2]
        util = next(placed for placed in table._placed if placed.column.key == "util")
        await pilot.click("#fleet", offset=(util.x + 1, 0))
        assert table.sorts == (Sort("util", descends=True),)
        await pilot.click("#fleet", offset=(5, 3), times=2)
        await until(pilot, lambda: isinstance(pilot.app.screen, DeviceView))


async def test_a_click_on_a_key_of_the_last_line_presses_it() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        at = text_of(pilot, "#keys").index("q quit")
        await pilot.click("#keys", offset=(at + 1, 0))
        await until(pilot, lambda: not pilot.app.is_running)


@pytest.mark.parametrize("width", [100, 160])
async def test_enter_tells_why_a_reading_is_missing(width: int) -> None:
    async with fleet().app().run_test(size=(width, 50)) as pilot:
        await until_drawn(pilot)
        fleet_table(pilot).move_to(HUNG)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DeviceView))
        if width < 120:
            await until(
                pilot, lambda: "driver not answering" in whole_text(pilot) or "driver hung" in whole_text(pilot)
            )
            await pilot.press("i")
        await until(pilot, lambda: "n/a: hung" in whole_text(pilot))
        assert "driver not answering" in whole_text(pilot)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, FleetView)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("node", "550.54.15"),
        ("processes", "python sweep.py --config configs/resnet50.yaml"),
        ("workload", "1 set, values hidden"),
    ],
)
async def test_enter_shows_everything_without_secrets(name: str, words: str) -> None:
    async with fleet().app().run_test(size=(160, 60)) as pilot:
        await until_drawn(pilot)
        await go(pilot, name, OF.get(name, ""))
        if name == "processes":
            pid = next(row for row in pilot.app.screen.query_one(ListTable).rows if row.process.pid == 21_077)
            pilot.app.screen.query_one(ListTable).move_to(pilot.app.screen.query_one(ListTable).key_of(pid))
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, ToldScreen))
        await until(pilot, lambda: words in whole_text(pilot))
        assert "hunter2" not in whole_text(pilot)


async def test_help_lists_every_binding_view_and_command() -> None:
    async with fleet().app().run_test(size=(120, 200)) as pilot:
        await until_drawn(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, View) and pilot.app.screen.NAME == "help")
        await until(pilot, lambda: text_of(pilot, "#help-lines"))
        shown = f"\n{text_of(pilot, '#help-lines')}"
        kinds = (FleetView, View, ListTable, Table, HeatGrid, type(pilot.app))
        for binding in [one for kind in kinds for one in bindings_of(kind)]:
            keys = " ".join(key_name(key.strip()) for key in binding.key.split(","))
            assert f"\n  {keys} " in shown, binding
        for place in PLACES:
            assert f"\n  :{place.name} " in shown


async def test_rows_dim_and_tell_their_age_after_three_periods() -> None:
    world = fleet()
    async with world.app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        await pilot.press("p")
        world.ticks_s = TICKS_S + 6.5
        await until(pilot, lambda: "no answer for 6s" in whole_text(pilot))
        await until(pilot, lambda: "0/6 nodes ok" in text_of(pilot, "#summary"))


async def test_simulated_is_said_in_every_view() -> None:
    world = structs.replace(fleet(), simulated=True)
    async with world.app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for name in views():
            if name != "fleet":
                await go(pilot, name, OF.get(name, ""))
            assert "SIMULATED" in text_of(pilot, "#summary"), name


@pytest.mark.parametrize("name", views())
async def test_q_quits_from_every_view(name: str) -> None:
    app = fleet().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        if name != "fleet":
            await go(pilot, name, OF.get(name, ""))
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)


@pytest.mark.parametrize("keys", [("tab",), ("shift+tab",), ("S",), ("C",), ("3", "enter"), ("slash", "escape")])
async def test_q_quits_from_every_part_and_window(keys: tuple[str, ...]) -> None:
    app = fleet().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        assert ("S" in keys or "C" in keys) == isinstance(app.screen, ChoiceScreen)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running)


@pytest.mark.parametrize("name", views())
async def test_every_size_draws_in_every_view(name: str) -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        view = await go(pilot, name, OF.get(name, ""))
        for size in [(20, 5), (40, 10), (120, 30), (200, 60), (300, 100), (1, 1), (80, 24)]:
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: len(pilot.app.screen._compositor.render_strips()) == size[1])
            view.redraw()
            await pilot.pause()
            assert len(screen_text(pilot)) == size[1]
        heading = view.HEADING
        assert heading in text_of(pilot, "#crumb")
        assert no_defect(pilot)


@pytest.mark.parametrize("name", views())
async def test_an_empty_fleet_draws_in_every_view(name: str) -> None:
    async with FrozenWorld(()).app().run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
        await until(pilot, lambda: "running" in text_of(pilot, "#summary"))
        if name != "fleet":
            await go(pilot, name, OF.get(name, ""))
        await pilot.press("j", "G", "tab", "s", "r", "k", "enter")
        await pilot.pause()
        assert no_defect(pilot)
        assert "0/0 nodes ok" in text_of(pilot, "#summary") or isinstance(pilot.app.screen, ToldScreen)


async def test_unknown_is_n_a_and_never_nought() -> None:
    async with fleet().app().run_test(size=(160, 60)) as pilot:
        await until_drawn(pilot)
        hung = next(line for line in screen_text(pilot) if "driver not answering" in line or "driver hung" in line)
        assert hung.split()[:2] == ["h100-01", "4"]
        assert "0%" not in hung
        assert hung.count("n/a") >= 4
