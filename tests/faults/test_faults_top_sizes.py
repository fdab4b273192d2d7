"""A terminal of any size, in every view and with every kind of dialog open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual.pilot import Pilot
from tui.fleet_fixture import fleet, uuid
from tui.steering import go, no_defect, until, until_drawn, views, whole_text

from gpualloc.tui.actions.action import Ask
from gpualloc.tui.actions.catalog import ACTIONS
from gpualloc.tui.actions.offers import Offer
from gpualloc.tui.cells import cell
from gpualloc.tui.screens.choice import Choice, ChoiceScreen
from gpualloc.tui.screens.confirm import ConfirmScreen, Question
from gpualloc.tui.screens.doing import Doing, DoingScreen
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import MenuScreen
from gpualloc.tui.screens.told import ToldScreen
from gpualloc.tui.section import Section

SIZE = (120, 40)
SIZES = ((20, 5), (1, 1), (300, 100), SIZE)
OF = {"node": "a100-01", "device": f"a100-01/{uuid('a100-01', 0)}", "workload": "w5x1c8d2n"}
COMES_LAST = {"workload": "epoch 2", "node": "30412", "device": "70,804"}
"""What views draw that they ask others for."""


async def _resize(pilot: Pilot[None], width: int, height: int) -> None:
    await asyncio.wait_for(pilot.resize_terminal(width, height), 30)
    await until(pilot, lambda: tuple(pilot.app.size) == (width, height))
    await pilot.pause()
    assert no_defect(pilot)


@pytest.mark.parametrize("name", views())
async def test_every_view_survives_a_terminal_of_any_size_and_comes_back_whole(name: str) -> None:
    async with fleet().app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        if name != "fleet":
            await go(pilot, name, OF.get(name, ""))
        await until(pilot, lambda: COMES_LAST.get(name, "") in whole_text(pilot))
        before = _drawn(pilot)
        for width, height in SIZES:
            await _resize(pilot, width, height)
            await pilot.press("j", "k")
            assert no_defect(pilot)
        await until(pilot, lambda: _drawn(pilot) == before)


@pytest.mark.parametrize("name", views())
async def test_every_view_comes_up_in_the_smallest_terminal(name: str) -> None:
    async with fleet().app().run_test(size=(1, 1)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
        await go(pilot, name, OF.get(name, ""))
        await _resize(pilot, *SIZE)
        heading = pilot.app.screen.HEADING  # type: ignore[attr-defined]
        await until(pilot, lambda: heading in whole_text(pilot) and "nodes ok" in whole_text(pilot))


def _sorts(pilot: Pilot[None]) -> None:
    pilot.app.push_screen(ChoiceScreen("Sort by", [Choice("age", "Age", "time")], [], directions=True))


def _form(pilot: Pilot[None]) -> None:
    asks = (Ask("watts", "limit in watts"), Ask("why", "told in the audit"))
    pilot.app.push_screen(FormScreen("power", asks, {}, lambda _: None))


def _menu(pilot: Pilot[None]) -> None:
    pilot.app.push_screen(MenuScreen("a100-01", [Offer(one, (), is_first=True) for one in ACTIONS], None))


def _confirm(pilot: Pilot[None]) -> None:
    lines = tuple(cell(f"touches {place}") for place in range(30))
    pilot.app.push_screen(ConfirmScreen(Question("Drain", lines, "drain", (("gpualloc", "drain", "a100-01"),))))


def _doing(pilot: Pilot[None]) -> None:
    pilot.app.push_screen(DoingScreen(Doing("release", 0.0), lambda: 3.0))


def _told(pilot: Pilot[None]) -> None:
    pilot.app.push_screen(
        ToldScreen("All", lambda: (Section("Things", tuple((f"{n}", cell("x")) for n in range(60))),))
    )


DIALOGS = {
    _sorts: "Esc leaves",
    _form: "told in the audit",
    _menu: "Esc leaves",
    _confirm: "touches 9",
    _doing: "going on for 3s",
    _told: "Things",
}
"""What is drawn last of each."""


@pytest.mark.parametrize("opened", DIALOGS)
async def test_every_dialog_survives_a_terminal_of_any_size(opened: Callable[[Pilot[None]], None]) -> None:
    async with fleet().app().run_test(size=SIZE) as pilot:
        await until_drawn(pilot)
        opened(pilot)
        await pilot.pause()
        await until(pilot, lambda: DIALOGS[opened] in whole_text(pilot))
        await pilot.pause()
        before = _drawn(pilot)
        for width, height in SIZES:
            await _resize(pilot, width, height)
        await until(pilot, lambda: _drawn(pilot) == before)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))


def _drawn(pilot: Pilot[None]) -> str:
    """The screen without the keys, which a dialog takes from the view behind it, and without bars.

    That of a list that was scrolled may stand half a cell beside where it stood.
    """
    return whole_text(pilot).rpartition("\n")[0].translate(dict.fromkeys(map(ord, "▁▂▃▄▅▆▇█▖"), " "))
