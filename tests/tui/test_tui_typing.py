"""What is typed stays as it was typed, however late the dashboard hears of it, without what cannot be drawn."""

from __future__ import annotations

import pytest
from textual import events
from textual.widgets import Input
from tui.fleet_fixture import fleet
from tui.steering import until, until_drawn

from gpualloc.tui.actions.action import Ask
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.widgets.prompt_line import PromptLine


@pytest.mark.parametrize("where", ["form", "prompt"])
async def test_late_news_of_a_text_change_nothing_of_what_was_typed_since(where: str) -> None:
    async with fleet().app().run_test(size=(100, 30)) as pilot:
        await until_drawn(pilot)
        if where == "form":
            await pilot.app.push_screen(FormScreen("submit", [Ask("command", "command")], {}, lambda _: None))
        else:
            await pilot.press("slash")
        entry = pilot.app.screen.query_one(Input if where == "form" else f"{PromptLine.__name__} Input", Input)
        await until(pilot, lambda: entry.has_focus)
        await pilot.press(*"sl")
        entry.post_message(Input.Changed(entry, "s"))
        await pilot.pause()
        await pilot.press(*"eep")
        assert (entry.value, entry.cursor_position) == ("sleep", 5)


@pytest.mark.parametrize("where", ["form", "prompt"])
async def test_what_is_pasted_and_cannot_be_drawn_is_left_out(where: str) -> None:
    async with fleet().app().run_test(size=(100, 30)) as pilot:
        await until_drawn(pilot)
        if where == "form":
            await pilot.app.push_screen(FormScreen("submit", [Ask("command", "command")], {}, lambda _: None))
        else:
            await pilot.press("slash")
        entry = pilot.app.screen.query_one(Input if where == "form" else f"{PromptLine.__name__} Input", Input)
        await until(pilot, lambda: entry.has_focus)
        entry.post_message(events.Paste("a\x1b[2J\u202eb"))
        await until(pilot, lambda: entry.value == "a[2Jb")
