"""The dashboard over a simulated world with all its ports: work can be submitted there and runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from textual.pilot import Pilot
from tui.fleet_fixture import FrozenMeter
from tui.steering import until

from gpualloc.engine.apply import apply
from gpualloc.engine.context import Context
from gpualloc.engine.judging import Judge
from gpualloc.engine.observe import seen
from gpualloc.engine.plan import make_plan
from gpualloc.engine.settle import catch_up
from gpualloc.engine.submit import submit
from gpualloc.model.workload import Request, Workload
from gpualloc.tui.app import TopApp
from gpualloc.tui.options import TopOptions
from gpualloc.tui.screens.catalog import PLACES
from gpualloc.tui.source import Source
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.wiring import Options, open_context

BUILT = tuple(place for place in PLACES if find_spec(f"gpualloc.tui.screens.{place.module}") is not None)
WHOLE_FLEET = tuple(place for place in BUILT if not place.needs)


@dataclass
class World:
    """A simulated world and what somebody does there."""

    ctx: Context

    def app(self, options: TopOptions | None = None) -> TopApp:
        source = Source(
            look=lambda: seen(self.ctx),
            workloads=lambda snapshot: catch_up(self.ctx, snapshot),
            judge=Judge(self.ctx).judge,
            now_s=self.ctx.clock.now_s,
            specs=self.ctx.fleet.specs(),
            simulated=True,
        )
        options = options or TopOptions(every_s=0.5)
        return TopApp(self.ctx, source, options, title="gpualloc top", meter=FrozenMeter())

    def submit(self, name: str, gpus: int = 1, **more: object) -> Workload:
        return submit(self.ctx, name, Request(("python", "train.py"), gpus=gpus, **more)).workload  # type: ignore[arg-type]

    def start_waiting(self) -> None:
        apply(self.ctx, make_plan(self.ctx))


@contextmanager
def simulated(folder: Path, sim: str = "demo") -> Iterator[World]:
    with open_context(Options(sim=sim, state_dir=folder)) as ctx:
        yield World(ctx)


async def until_looked(pilot: Pilot[None]) -> None:
    """Wait until a whole look is in what the views draw from."""
    app = pilot.app
    assert isinstance(app, TopApp)
    await until(pilot, lambda: app.view is not None and app.shell.state.seen.looks > 0)
    await pilot.pause()


async def until_view(pilot: Pilot[None], name: str) -> None:
    """Wait until a view is on top and was drawn."""
    app = pilot.app
    assert isinstance(app, TopApp)
    await until(pilot, lambda: app.view is not None and name == app.view.NAME and app.screen is app.view)
    await pilot.pause()


def list_of(pilot: Pilot[None], selector: str = "#list") -> ListTable[object]:
    """A list of the view on top."""
    app = pilot.app
    assert isinstance(app, TopApp)
    assert app.view is not None
    return app.view.query_one(selector, ListTable)


async def type_text(pilot: Pilot[None], text: str) -> None:
    await pilot.press(*({" ": "space"}.get(char, char) for char in text))
