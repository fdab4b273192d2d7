"""How tests wait for and read the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from textual.pilot import Pilot

from gpualloc.tui.app import TopApp
from gpualloc.tui.cells import Cell
from gpualloc.tui.messages import Go
from gpualloc.tui.rows import FleetRow
from gpualloc.tui.screens.catalog import PLACES
from gpualloc.tui.screens.fleet import FleetView
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable


async def until(pilot: Pilot[None], holds: Callable[[], object], tries: int = 1500) -> None:
    """Wait until it holds, 30 s at most."""
    for _ in range(tries):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to hold")


async def until_drawn(pilot: Pilot[None]) -> None:
    """Wait until the first whole look is on the screen."""
    await until(pilot, lambda: isinstance(pilot.app.screen, FleetView))
    # The workloads are known only after a whole look.
    await until(pilot, lambda: fleet_table(pilot).rows and "running" in text_of(pilot, "#summary"))
    await pilot.pause()


def fleet_table(pilot: Pilot[None]) -> ListTable[FleetRow]:
    return pilot.app.screen_stack[1].query_one("#fleet", ListTable)


def plain_text(lines: tuple[Cell, ...]) -> str:
    return "\n".join("".join(span.text for span in line) for line in lines)


def text_of(pilot: Pilot[None], selector: str) -> str:
    """What a block of lines on the top screen shows."""
    return plain_text(pilot.app.screen.query_one(selector, Lines).lines)


def screen_text(pilot: Pilot[None]) -> list[str]:
    """Every line of the terminal as it is drawn."""
    width, height = pilot.app.size
    lines = pilot.app.screen._compositor.render_strips()
    assert len(lines) == height
    return [line.text.ljust(width) for line in lines]


def row_keys(pilot: Pilot[None]) -> list[str]:
    return [row.key for row in fleet_table(pilot).rows]


def views() -> list[str]:
    """Names of all views that there are."""
    return [one.name for one in PLACES if find_spec(f"gpualloc.tui.screens.{one.module}") is not None]


async def go(pilot: Pilot[None], name: str, of: str = "") -> View:
    """Go to a view, and wait until it is drawn."""
    pilot.app.post_message(Go(name, of))
    await until(pilot, lambda: isinstance(pilot.app.screen, View) and name == pilot.app.screen.NAME)
    await pilot.pause()
    view = pilot.app.screen
    assert isinstance(view, View)
    view.redraw()
    await pilot.pause()
    assert no_defect(pilot)
    return view


def no_defect(pilot: Pilot[None]) -> bool:
    """Whether no thread has met a defect, which would have ended the dashboard."""
    app = pilot.app
    assert isinstance(app, TopApp)
    return app.crash is None and app.is_running


def whole_text(pilot: Pilot[None]) -> str:
    """The terminal as one text."""
    return "\n".join(screen_text(pilot))
