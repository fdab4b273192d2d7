"""Every view as a picture, at the three sizes that are promised, in every theme, and without colours or Unicode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot
from tui.fleet_fixture import TICKS_S, bare_machine
from tui.hands_world import on_top
from tui.pictured_world import PicturedWorld, pictured, settled
from tui.steering import go, until_drawn

from gpualloc.engine.plan import make_plan
from gpualloc.errors import StepError
from gpualloc.model.plan import StepState
from gpualloc.tui import glyphs
from gpualloc.tui.app import TopApp
from gpualloc.tui.screens.catalog import PLACES
from gpualloc.tui.screens.choice import ChoiceScreen
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.doing import Doing, DoingScreen
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import MenuScreen
from gpualloc.tui.screens.plan_comparison import ComparisonScreen
from gpualloc.tui.screens.plan_policy import PolicyScreen
from gpualloc.tui.themes import Colours

Steer = Callable[[Pilot[None]], Awaitable[None]]
SMALL, MIDDLE, LARGE = (80, 24), (120, 40), (200, 60)
sizes = pytest.mark.parametrize("size", [SMALL, MIDDLE, LARGE], ids=["80x24", "120x40", "200x60"])
BUSY, MIG, HUNG = "a100-01/GPU-a100-01-2", "h200-01/GPU-h200-01-0", "h100-01/GPU-h100-01-4"
ABOUT = {
    "node": {"node": "h100-01"},
    "device": {"device": BUSY, "device-mig": MIG, "device-hung": HUNG},
    "workload": {"workload": "w2k7m0q4r", "workload-waits": "w3b9n4k6y"},
}
"""Whose pictures are drawn of the views that are about one thing, by name of the picture."""
VIEWS = {
    picture: (place.name, of) for place in PLACES for picture, of in ABOUT.get(place.name, {place.name: ""}).items()
}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[PicturedWorld]:
    with pictured(tmp_path) as made:
        yield made


@pytest.fixture
def only_ascii() -> Iterator[None]:
    before = glyphs.current()
    glyphs.use(glyphs.ASCII)
    yield
    glyphs.use(before)


def at(name: str, of: str = "", *keys: str) -> Steer:
    """Goes to a view and presses keys, each when all is drawn that the one before asked for."""

    async def steer(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await go(pilot, name, of)
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)

    return steer


@sizes
@pytest.mark.parametrize("picture", VIEWS)
def test_view(snap_compare: Callable[..., bool], world: PicturedWorld, picture: str, size: tuple[int, int]) -> None:
    assert snap_compare(world.app(), terminal_size=size, run_before=at(*VIEWS[picture]))


THEMED = {"fleet": "", "device": BUSY, "plan": ""}


@pytest.mark.parametrize("view", THEMED)
@pytest.mark.parametrize("theme", ["light", "high-contrast", "colour-blind", "mono"])
def test_theme(snap_compare: Callable[..., bool], world: PicturedWorld, theme: str, view: str) -> None:
    colours = Colours.NONE if theme == "mono" else Colours.MANY
    assert snap_compare(world.app(colours, theme), terminal_size=MIDDLE, run_before=at(view, THEMED[view]))


@pytest.mark.usefixtures("only_ascii")
@pytest.mark.parametrize("view", THEMED)
def test_ascii(snap_compare: Callable[..., bool], world: PicturedWorld, view: str) -> None:
    assert snap_compare(world.app(Colours.NONE, "mono"), terminal_size=MIDDLE, run_before=at(view, THEMED[view]))


DIALOGS = {
    "menu": (at("device", BUSY, "a"), MenuScreen),
    "columns": (at("fleet", "", "C"), ChoiceScreen),
    "sort": (at("fleet", "", "S"), ChoiceScreen),
    "submit": (at("fleet", "", "plus"), FormScreen),
    "release": (at("workload", "w5x1c8d2n", "ctrl+d"), ConfirmScreen),
    "apply": (at("plan", "", "A"), ConfirmScreen),
    "policy": (at("plan", "", "o"), PolicyScreen),
    "compare": (at("plan", "", "d"), ComparisonScreen),
}


@pytest.mark.parametrize("dialog", DIALOGS)
def test_dialog(snap_compare: Callable[..., bool], world: PicturedWorld, dialog: str) -> None:
    steer, kind = DIALOGS[dialog]

    async def open_it(pilot: Pilot[None]) -> None:
        await steer(pilot)
        await on_top(pilot, kind)
        await settled(pilot)

    assert snap_compare(world.app(), terminal_size=SMALL, run_before=open_it)


@pytest.mark.parametrize("failed", [False, True], ids=["going-on", "failed"])
def test_doing(snap_compare: Callable[..., bool], world: PicturedWorld, failed: bool) -> None:
    async def steer(pilot: Pilot[None]) -> None:
        await at("plan")(pilot)
        app = pilot.app
        assert isinstance(app, TopApp)
        steps = make_plan(world.ctx).steps
        doing = Doing("Apply plan", TICKS_S - 7)
        doing.moved(steps[0], StepState.DONE, None, len(steps))
        doing.moved(
            steps[1], StepState.FAILED if failed else StepState.INTENT, "no answer" if failed else None, len(steps)
        )
        if failed:
            doing.error = StepError(
                "start failed on h100-01: no answer", reason="failed", hint="`gpualloc plan` makes a new plan"
            )
        await app.push_screen(DoingScreen(doing, lambda: TICKS_S))
        await settled(pilot)

    assert snap_compare(world.app(), terminal_size=SMALL, run_before=steer)


@sizes
def test_no_device_anywhere(snap_compare: Callable[..., bool], size: tuple[int, int]) -> None:
    assert snap_compare(bare_machine().app(), terminal_size=size, run_before=until_drawn)


def test_a_moment_of_the_past(snap_compare: Callable[..., bool], world: PicturedWorld) -> None:
    assert snap_compare(world.app(), terminal_size=SMALL, run_before=at("fleet", "", "left_curly_bracket"))
