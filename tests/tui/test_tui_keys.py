"""Every key of the main screen."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import pytest
from gpualloc.tui.arrange import SortKey
from gpualloc.tui.screens.detail import DetailScreen
from gpualloc.tui.widgets.process_table import ProcessTable
from gpualloc.tui.widgets.workload_table import WorkloadTable
from textual.events import Key
from textual.pilot import Pilot
from tui.fleet_fixture import TICKS_S, FrozenMeter, FrozenWorld, fleet, uuid
from tui.steering import fleet_table, row_keys, screen_text, text_of, until, until_drawn

from gpualloc.model.inventory import Node
from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.fleet import FleetScreen
from gpualloc.tui.screens.help import HelpScreen


def _whole(pilot: Pilot[None]) -> str:
    return "\n".join(screen_text(pilot))


async def test_arrows_and_vi_keys_move_the_cursor() -> None:
    app = fleet().app()
    async with app.run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        table = fleet_table(pilot)
        places = []
        for key in ("j", "down", "k", "up", "G", "g", "pagedown", "pageup", "end", "home"):
            await pilot.press(key)
            places.append(table.rows.index(table.current))  # type: ignore[arg-type]
        assert places == [1, 2, 1, 0, len(table.rows) - 1, 0, 12, 0, len(table.rows) - 1, 0]


async def test_cursor_stays_in_view_at_the_end() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("G")
        await pilot.pause()
        assert any(line.startswith(" login") for line in screen_text(pilot))
        assert not any(line.startswith(" a100-01") for line in screen_text(pilot))


async def test_processes_follow_the_cursor() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        processes = pilot.app.screen.query_one(ProcessTable)
        assert [row.process.pid for row in processes.rows] == [21_077, 21_950, 30_412]
        await pilot.press("j")
        await pilot.pause()
        assert [row.process.pid for row in processes.rows] == [21_077]
        assert "Processes on a100-01 GPU 0  1" in _whole(pilot)


async def test_s_goes_through_every_order_and_says_which() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        seen = [text_of(pilot, "#keys").split("sort ")[-1].split()[0]]
        for _ in SortKey:
            await pilot.press("s")
            seen.append(text_of(pilot, "#keys").split("sort ")[-1].split()[0])
        assert seen == [*SortKey, SortKey.NODE]


async def test_r_reverses_and_keeps_unknown_last() -> None:
    async with fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        await pilot.press("s", "s")
        table = fleet_table(pilot)
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
        ("needs reset", {"l40s-01", f"l40s-01/{uuid('l40s-01', 2)}"}),
        ("unreach", {"l40s-02"}),
        ("no such thing", set()),
    ],
)
async def test_filter_keeps_what_contains_the_text(needle: str, expected: set[str]) -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        everything = row_keys(pilot)
        await pilot.press("slash", *("space" if char == " " else char for char in needle), "enter")
        assert set(row_keys(pilot)) == expected
        assert fleet_table(pilot).has_focus
        assert f"{len(expected)} of {len(everything)} rows" in text_of(pilot, "#keys")
        await pilot.press("escape")
        assert row_keys(pilot) == everything


async def test_keys_type_into_the_filter_and_do_nothing_else() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash", *"qswp?")
        assert pilot.app.is_running
        assert isinstance(pilot.app.screen, FleetScreen)
        assert "PAUSED" not in text_of(pilot, "#summary")
        assert row_keys(pilot) == []


async def test_a_key_right_after_the_filter_is_not_part_of_it() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash")
        for key in (*"h100", "enter", "q"):
            pilot.app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: not pilot.app.is_running)


async def test_filter_keeps_workloads_too() -> None:
    async with fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        await pilot.press("slash", *"bob", "enter")
        assert {one.name for one in pilot.app.screen.query_one(WorkloadTable).rows} == {
            "resnet-sweep-7",
            "bert-ablation",
        }


async def test_w_changes_the_lower_list_and_tab_goes_there() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.press("w")
        await pilot.pause()
        assert "diffusion-xl" in _whole(pilot)
        await pilot.press("tab")
        workloads = pilot.app.screen.query_one(WorkloadTable)
        assert workloads.has_focus
        await pilot.press("w")
        assert pilot.app.screen.query_one(ProcessTable).has_focus
        await pilot.press("shift+tab")
        assert fleet_table(pilot).has_focus


async def test_p_stops_looking_and_goes_on() -> None:
    world = fleet()
    allowed = threading.Semaphore(1)
    begun = 0

    def look() -> Iterator[Node]:
        nonlocal begun
        begun += 1
        allowed.acquire()
        yield from world.nodes

    source = dataclasses.replace(world.source(), look=look)
    async with TopApp(source, every_s=0.05, title="top", meter=FrozenMeter()).run_test(size=(80, 24)) as pilot:
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


async def test_the_mouse_selects_and_opens() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.click("#fleet", offset=(5, 3))
        table = fleet_table(pilot)
        assert table.current is table.rows[2]
        await pilot.click("#fleet", offset=(5, 3), times=2)
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen))


async def test_enter_tells_why_a_reading_is_missing() -> None:
    async with fleet().app().run_test(size=(100, 40)) as pilot:
        await until_drawn(pilot)
        await pilot.press("s", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen) and text_of(pilot, "#detail-lines"))
        shown = text_of(pilot, "#detail-lines")
        assert "driver not answering since 14:11:02" in shown
        assert "utilization     n/a: hung" in shown
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, FleetScreen)


async def test_enter_shows_a_node_a_process_and_a_workload_without_secrets() -> None:
    async with fleet().app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        expected = {
            "#fleet": "v2 (cpu cpuset memory pids), writable",
            "#processes": "python sweep.py --config configs/resnet50.yaml",
            "#workloads": "1 set, values hidden",
        }
        for selector, words in expected.items():
            pilot.app.screen.query_one(selector).focus()
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, DetailScreen) and text_of(pilot, "#detail-lines"))
            assert words in text_of(pilot, "#detail-lines")
            assert "hunter2" not in _whole(pilot)
            await pilot.press("escape")


async def test_help_lists_every_binding() -> None:
    async with fleet().app().run_test(size=(100, 60)) as pilot:
        await until_drawn(pilot)
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, HelpScreen)
        shown = text_of(pilot, "#help-lines")
        for key in (
            "  q Ctrl+C",
            "  /",
            "  s",
            "  r",
            "  w",
            "  p",
            "  ?",
            "  ↓ j",
            "  ↑ k",
            "  Home g",
            "  End G",
            "  Enter",
        ):
            assert f"\n{key} " in f"\n{shown}"


async def test_rows_dim_and_tell_their_age_after_three_periods() -> None:
    world = fleet()
    async with world.app().run_test(size=(160, 48)) as pilot:
        await until_drawn(pilot)
        await pilot.press("p")
        world.ticks_s = TICKS_S + 6.5
        await pilot.press("r", "r")
        await pilot.pause()
        assert "no answer for 6s" in _whole(pilot)
        assert "0/6 nodes ok" in text_of(pilot, "#summary")


async def test_simulated_is_said_always() -> None:
    world = dataclasses.replace(fleet(), simulated=True)
    async with world.app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        assert "SIMULATED" in text_of(pilot, "#summary")


async def test_q_quits_from_everywhere() -> None:
    for keys in ((), ("question_mark",), ("enter",), ("tab",)):
        app = fleet().app()
        async with app.run_test(size=(80, 24)) as pilot:
            await until_drawn(pilot)
            await pilot.press(*keys, "q")
            await pilot.pause()
            assert not app.is_running


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 24), (120, 30), (300, 100)])
async def test_every_size_draws(size: tuple[int, int]) -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await until_drawn(pilot)
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert len(screen_text(pilot)) == size[1]
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert any("a100-01" in line for line in screen_text(pilot))


async def test_an_empty_fleet_draws() -> None:
    async with FrozenWorld(()).app().run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "running" in text_of(pilot, "#summary"))
        await pilot.press("j", "enter", "w", "tab", "s")
        assert "0/0 nodes ok" in text_of(pilot, "#summary")
