"""A simulated world under the dashboard's hands, and how tests steer them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input
from tui.fleet_fixture import FrozenMeter
from tui.steering import plain_text, until

from gpualloc.engine.context import Context
from gpualloc.engine.observe import seen
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.settle import catch_up
from gpualloc.engine.submit import submit
from gpualloc.model.workload import Request, Workload
from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.doing import DoingScreen
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.source import Source
from gpualloc.tui.widgets.lines import Lines
from gpualloc.wiring import Options, open_context

CONFIG = """
[alerts.hot]
metric = "temperature_c"
above = 200
"""


@contextmanager
def demo(folder: Path) -> Iterator[Context]:
    """The demo cluster with its state in that folder, and one alert rule."""
    config = folder / "config.toml"
    config.write_text(CONFIG)
    with open_context(Options(config=config, sim="demo", state_dir=folder / "state")) as ctx:
        yield ctx


def program(folder: Path) -> tuple[str, ...]:
    """The words with which a command line works on the same world."""
    return ("gpualloc", "--config", str(folder / "config.toml"), "--sim", "demo", "--state-dir", str(folder / "state"))


def top(ctx: Context, folder: Path) -> TopApp:
    source = Source(
        look=lambda: seen(ctx),
        workloads=lambda snapshot: catch_up(ctx, snapshot),
        now_s=ctx.clock.now_s,
        specs=ctx.fleet.specs(),
        simulated=True,
    )
    options = TopOptions(every_s=0.2, program=program(folder))
    return TopApp(ctx, source, options, title="gpualloc top", meter=FrozenMeter())


def running(ctx: Context, name: str = "train", node: str = "birch01") -> Workload:
    """A workload that was submitted and placed before the dashboard was opened."""
    taken = submit(ctx, name, Request(("sleep", "1000"), nodes=(node,)))
    rebalance(ctx)
    return ctx.journal.find(taken.workload.id)


async def seen_once(pilot: Pilot[None]) -> None:
    """Wait until the dashboard knows nodes and workloads."""
    app = pilot.app
    assert isinstance(app, TopApp)
    await until(pilot, lambda: isinstance(app.screen, View) and app.shell.state.seen.workloads is not None)
    await pilot.pause()


async def typed(pilot: Pilot[None], command: str) -> None:
    """Type a command behind `:` and accept it."""
    await pilot.press("colon")
    pilot.app.screen.query_one("#prompt Input", Input).value = command
    await pilot.press("enter")


async def on_top(pilot: Pilot[None], kind: type[Screen[Any]]) -> None:
    """Wait until a dialog of that kind is on top and drawn."""
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


async def fill(pilot: Pilot[None], **answers: str) -> None:
    """Answer a form, and go on."""
    await on_top(pilot, FormScreen)
    screen = pilot.app.screen
    assert isinstance(screen, FormScreen)
    for field in screen._fields:
        if field.ask.name in answers:
            field._entry.value = answers[field.ask.name]
    await pilot.press("enter")


async def asked(pilot: Pilot[None]) -> ConfirmScreen:
    """Wait for the question; what it says is in `dialog_text`."""
    await on_top(pilot, ConfirmScreen)
    screen = pilot.app.screen
    assert isinstance(screen, ConfirmScreen)
    return screen


async def failed(pilot: Pilot[None]) -> str:
    """Wait for the dialog with an error, and read it."""
    await until(pilot, lambda: isinstance(pilot.app.screen, DoingScreen) and pilot.app.screen.doing.error is not None)
    await pilot.pause()
    return dialog_text(pilot)


async def comes(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    """Wait until it holds and no dialog is left."""
    await until(pilot, lambda: isinstance(pilot.app.screen, View) and holds())


def dialog_text(pilot: Pilot[None]) -> str:
    """What the dialog on top says; empty where there is none, or not yet."""
    found = pilot.app.screen.query(".dialog-text")
    return plain_text(found.first(Lines).lines) if found else ""


def notice(pilot: Pilot[None]) -> str:
    """The notice of the view on top of the others."""
    view = next(screen for screen in reversed(pilot.app.screen_stack) if isinstance(screen, View))
    line = view.query_one("#notice", Lines)
    return plain_text(line.lines) if line.display else ""
