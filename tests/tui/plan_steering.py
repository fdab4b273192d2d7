"""A simulated world with work that waits, and the plan view over it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from textual.pilot import Pilot
from tui.fleet_fixture import FrozenMeter
from tui.steering import text_of, until

from gpualloc.engine.context import Context
from gpualloc.engine.observe import seen
from gpualloc.engine.settle import catch_up
from gpualloc.engine.submit import submit
from gpualloc.model.workload import Request
from gpualloc.tui.app import TopApp
from gpualloc.tui.listings.plan import plan_rows
from gpualloc.tui.options import TopOptions
from gpualloc.tui.planner import Planner
from gpualloc.tui.screens.plan import PlanView
from gpualloc.tui.screens.plan_runs import planner_of
from gpualloc.tui.source import Source
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.wiring import Options, open_context

FOREVER = ("python", "train.py")
WAITING = (
    ("bert", Request(FOREVER, gpus=1, memory_mib=1024, nodes=("fir01",))),
    ("llama", Request(FOREVER, gpus=2, nodes=("birch01",))),
    ("huge", Request(FOREVER, gpus=8, nodes=("birch01",))),
)
"""Two that get a place and one that gets none."""


@contextmanager
def world(waiting=WAITING) -> Iterator[Context]:  # type: ignore[no-untyped-def]
    """A fresh demo cluster with this work waiting."""
    folder = Path(tempfile.mkdtemp(prefix="gpualloc-plan-"))
    try:
        with open_context(Options(sim="demo", state_dir=folder)) as ctx:
            for name, request in waiting:
                submit(ctx, name, request)
            yield ctx
    finally:
        shutil.rmtree(folder)


def app_over(ctx: Context) -> TopApp:
    source = Source(
        look=lambda: seen(ctx),
        workloads=lambda snapshot: catch_up(ctx, snapshot),
        now_s=ctx.clock.now_s,
        specs=ctx.fleet.specs(),
        simulated=True,
    )
    return TopApp(ctx, source, TopOptions(every_s=0.5), title="gpualloc top", meter=FrozenMeter())


@asynccontextmanager
async def plan_view(
    ctx: Context, size: tuple[int, int] = (100, 32), read_only: str | None = None
) -> AsyncIterator[tuple[Pilot[None], Planner]]:
    """The dashboard over the context, at its plan view, once a plan is made."""
    app = app_over(ctx)
    async with app.run_test(size=size) as pilot:
        app.shell.read_only = read_only
        await until(pilot, lambda: app.shell.state.seen.workloads is not None)
        await pilot.press("7")
        await until(pilot, lambda: isinstance(app.screen, PlanView))
        planner = planner_of(app.shell)
        await until(pilot, lambda: planner.draft is not None or planner.problem is not None)
        await until(pilot, lambda: planner.making is None)
        await until(pilot, lambda: text_of(pilot, "#plan-head") and "making a plan" not in text_of(pilot, "#plan-head"))
        shown = () if planner.draft is None else plan_rows(planner.draft, None)
        await until(pilot, lambda: len(app.screen.query_one("#plan-steps", ListTable).all_rows) == len(shown))
        yield pilot, planner


async def answered(pilot: Pilot[None], *keys: str) -> None:
    """Press the keys, each once what the one before asked for is there."""
    for key in keys:
        await pilot.press(key)
        await pilot.pause()
