"""Lists as somebody works with them: filters while they are typed, selections, columns, orders, files, clipboard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui.fleet_fixture import FrozenWorld, fleet
from tui.steering import text_of, until, until_drawn
from tui.world_fixture import list_of, type_text, until_view

from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.choice import ChoiceScreen
from gpualloc.tui.widgets.prompt_line import PromptLine


def prompt_of(pilot: Pilot[None]) -> PromptLine:
    return pilot.app.screen.query_one(PromptLine)


async def open_view(pilot: Pilot[None], key: str, name: str) -> None:
    await until_drawn(pilot)
    await pilot.press(key)
    await until_view(pilot, name)


async def test_a_list_is_filtered_while_it_is_typed_and_as_before_when_it_is_left() -> None:
    async with fleet().app().run_test(size=(120, 30)) as pilot:
        await open_view(pilot, "3", "processes")
        found = list_of(pilot)
        await until(pilot, lambda: len(found.rows) == 9)
        await pilot.press("slash")
        await type_text(pilot, "user:ann")
        await until(pilot, lambda: len(found.rows) == 4)
        await pilot.press("enter")
        await until(pilot, lambda: "4 of 9" in text_of(pilot, "#crumb"))
        assert pilot.app.focused is found
        await pilot.press("slash")
        await type_text(pilot, " mem<1M")
        await until(pilot, lambda: not found.rows)
        await pilot.press("escape")
        await until(pilot, lambda: len(found.rows) == 4)
        assert found.memory.filter == "user:ann"


async def test_a_filter_is_told_in_words_with_the_units_of_its_numbers() -> None:
    async with fleet().app().run_test(size=(80, 24)) as pilot:
        await open_view(pilot, "3", "processes")
        found = list_of(pilot)
        await until(pilot, lambda: len(found.rows) == 9)
        await pilot.press("slash")
        await type_text(pilot, "mem>60000")
        await until(pilot, lambda: text_of(pilot, "#prompt-hint") == "mem above 58.6 TiB")
        await type_text(pilot, " user:ann util>=5")
        await until(pilot, lambda: text_of(pilot, "#prompt-hint").startswith("…"))
        assert text_of(pilot, "#prompt-hint").endswith(" and util at least 5 %")
        await pilot.press("enter")
        await until(pilot, lambda: "0 of 9" in text_of(pilot, "#crumb"))
        assert "(mem above 58.6 TiB and user contains ann and util at least 5 %)" in found.absent
        await pilot.press("escape", "slash")
        await type_text(pilot, "us")
        await until(pilot, lambda: "user:" in text_of(pilot, "#prompt-hint"))


async def test_what_is_no_filter_is_told_and_keeps_the_one_before() -> None:
    async with fleet().app().run_test(size=(120, 30)) as pilot:
        await open_view(pilot, "2", "nodes")
        found = list_of(pilot)
        await until(pilot, lambda: len(found.rows) == 6)
        await pilot.press("slash")
        await type_text(pilot, "utl>5")
        await until(pilot, lambda: "no field is called utl" in text_of(pilot, "#prompt-hint"))
        await pilot.press("enter")
        await until(pilot, lambda: "no field is called utl" in text_of(pilot, "#notice"))
        assert len(found.rows) == 6
        await pilot.press("slash")
        await type_text(pilot, "@nothing")
        await pilot.press("enter")
        await until(pilot, lambda: "no filter is saved as @nothing" in text_of(pilot, "#notice"))
        assert found.memory.filter == ""


async def test_each_list_of_a_view_has_its_own_filter() -> None:
    async with fleet().app().run_test(size=(120, 40)) as pilot:
        await open_view(pilot, "8", "events")
        wrong, happened = list_of(pilot, "#conditions"), list_of(pilot, "#events")
        happened.focus()
        await pilot.press("slash")
        await type_text(pilot, "node:a100")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.focused is happened)
        assert (wrong.memory.filter, happened.memory.filter) == ("", "node:a100")
        await pilot.press("escape")
        await until(pilot, lambda: happened.memory.filter == "")
        await until_view(pilot, "events")


async def test_escape_gives_up_the_selection_then_the_filter_then_the_view() -> None:
    async with fleet().app().run_test(size=(120, 30)) as pilot:
        await open_view(pilot, "3", "processes")
        found = list_of(pilot)
        await until(pilot, lambda: found.rows)
        await pilot.press("slash")
        await type_text(pilot, "user:ann")
        await pilot.press("enter")
        await until(pilot, lambda: len(found.rows) == 4)
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 selected" in text_of(pilot, "#crumb"))
        assert len(found.chosen) == 2
        await pilot.press("escape")
        await until(pilot, lambda: "selected" not in text_of(pilot, "#crumb"))
        assert len(found.rows) == 4
        await pilot.press("escape")
        await until(pilot, lambda: len(found.rows) == 9)
        await until_view(pilot, "processes")
        await pilot.press("escape")
        await until_view(pilot, "fleet")


async def test_all_that_is_in_sight_is_selected_and_no_more() -> None:
    async with fleet().app().run_test(size=(120, 30)) as pilot:
        await open_view(pilot, "2", "nodes")
        found = list_of(pilot)
        await pilot.press("slash")
        await type_text(pilot, "gpus>0")
        await pilot.press("enter", "ctrl+a")
        await until(pilot, lambda: len(found.selected) == len(found.rows) > 0)
        assert len(found.selected) < len(found.all_rows)
        await pilot.press("ctrl+a")
        await until(pilot, lambda: not found.selected)


async def test_columns_are_chosen_and_moved() -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "2", "nodes")
        found = list_of(pilot)
        before = [column.key for column in found.columns(160)]
        await pilot.press("C")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("right", "down", "down", "space", "enter")
        await until_view(pilot, "nodes")
        expected = [before[1], before[0], before[2], *before[4:]]
        await until(pilot, lambda: [column.key for column in found.columns(160)] == expected)


async def test_a_dialog_that_is_left_changes_nothing() -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "2", "nodes")
        found = list_of(pilot)
        for key in ("C", "S"):
            await pilot.press(key)
            await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
            await pilot.press("space", "escape")
            await until_view(pilot, "nodes")
        assert (found.memory.columns, found.memory.sorts) == (None, None)


async def test_a_list_is_sorted_by_several_keys() -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "3", "processes")
        found = list_of(pilot)
        await until(pilot, lambda: found.rows)
        await pilot.press("S")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press("r", "enter")
        await until_view(pilot, "processes")
        assert [(sort.field, sort.descends) for sort in found.sorts] == [("mem", False), ("pid", False)]
        used = [row.process.gpu_memory_used_mib for row in found.rows]  # type: ignore[attr-defined]
        assert used == sorted(used)
        await pilot.press("r")
        used = [row.process.gpu_memory_used_mib for row in found.rows]  # type: ignore[attr-defined]
        assert used == sorted(used, reverse=True)


@pytest.mark.parametrize("ending", ["csv", "json", "svg"])
async def test_a_list_is_written_to_a_file(ending: str, tmp_path: Path) -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "2", "nodes")
        await until(pilot, lambda: list_of(pilot).rows)
        path = tmp_path / f"nodes.{ending}"
        await pilot.press("e")
        prompt_of(pilot)._input.value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: "written to" in text_of(pilot, "#notice"))
        text = path.read_text()
        assert "a100-01" in text
        if ending == "json":
            assert json.loads(text)["rows"][0]["node"] == "a100-01"
        await pilot.press("e")
        prompt_of(pilot)._input.value = str(path)
        await pilot.press("enter")
        await until(pilot, lambda: "exists already" in text_of(pilot, "#notice"))
        assert path.read_text() == text


async def test_a_place_that_cannot_be_written_is_told_and_the_dashboard_goes_on(tmp_path: Path) -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "2", "nodes")
        (tmp_path / "file").touch()
        for name in (str(tmp_path / "file" / "a.csv"), "~nobody-of-that-name/a.csv", str(tmp_path / "a.txt")):
            await pilot.press("e")
            prompt_of(pilot)._input.value = name
            await pilot.press("enter")
            await until(pilot, lambda: text_of(pilot, "#notice") and pilot.app.focused is list_of(pilot))
        assert isinstance(pilot.app, TopApp)
        assert pilot.app.crash is None


async def test_what_names_a_row_and_all_it_tells_are_copied() -> None:
    async with fleet().app().run_test(size=(120, 30)) as pilot:
        await open_view(pilot, "3", "processes")
        await until(pilot, lambda: list_of(pilot).rows)
        await pilot.press("home", "y")
        await until(pilot, lambda: "copied" in text_of(pilot, "#notice"))
        assert pilot.app.clipboard == "8800"
        await pilot.press("Y")
        await until(pilot, lambda: pilot.app.clipboard.startswith("{"))
        assert json.loads(pilot.app.clipboard)["pid"] == 8800


async def test_processes_are_gathered_and_opened() -> None:
    async with fleet().app().run_test(size=(160, 40)) as pilot:
        await open_view(pilot, "3", "processes")
        found = list_of(pilot)
        await until(pilot, lambda: len(found.rows) == 9)
        for by in ("parent", "node", "user", "workload", "container", "pod", "job"):
            await pilot.press("v")
            await until(pilot, lambda by=by: f"by {by}" in text_of(pilot, "#crumb"))
            assert len({found.key_of(row) for row in found.rows}) == len(found.rows) >= 9
            await pilot.press("home", "enter")
            await until(pilot, lambda: pilot.app.screen.query("#told") and text_of(pilot, "#told Lines"))
            await pilot.press("escape")
            await until_view(pilot, "processes")


async def test_nothing_is_drawn_of_a_fleet_that_tells_nothing() -> None:
    async with FrozenWorld(()).app().run_test(size=(80, 24)) as pilot:
        for key, name in (("2", "nodes"), ("3", "processes"), ("4", "workloads"), ("5", "users"), ("8", "events")):
            await pilot.press(key)
            await until_view(pilot, name)
            await pilot.press("enter", "space", "y", "Y", "s", "r", "o", "v", "end", "home")
            assert pilot.app.screen.query(PromptLine)
            await pilot.press("escape")
