"""A frozen fleet with a past that tests write, and how they read its charts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec import structs
from textual.pilot import Pilot
from tui.fleet_fixture import NOW_S
from tui.steering import until, until_drawn

from gpualloc.engine.context import Context
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.tui.app import TopApp
from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.tui.graph import Curve, Graph
from gpualloc.tui.messages import Go
from gpualloc.tui.screens.view import View
from gpualloc.tui.widgets.graph import Graphs

Values = dict[str, float | None]


def device_key(name: str) -> SeriesKey:
    """Of a device named as in `a100-01/GPU-a100-01-0`."""
    node, _, uuid = name.partition("/")
    return SeriesKey(SeriesKind.DEVICE, node, uuid)


def store(ctx: Context, key: SeriesKey, times: Iterable[float], values: Callable[[float], Values]) -> None:
    """Write samples at these seconds before now."""
    for ago_s in times:
        ctx.history.append([Sample(key, int(NOW_S - ago_s), values(ago_s))])


class SlowHistory:
    """A history of which every question waits until it is released."""

    def __init__(self, history: object) -> None:
        self._history = history
        self.released = threading.Event()
        self.asked = threading.Event()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._history, name)
        if not callable(found) or name == "close":
            return found

        def later(*words: object, **named: object) -> object:
            self.asked.set()
            assert self.released.wait(60)
            return found(*words, **named)

        return later


def slow(app: TopApp) -> SlowHistory:
    """Make the history of a dashboard slow."""
    history = SlowHistory(app.shell.ctx.history)
    app.shell.ctx = structs.replace(app.shell.ctx, history=history)  # type: ignore[arg-type]
    return history


async def go(pilot: Pilot[None], name: str, of: str) -> View:
    """Go to a view from a fleet that is drawn."""
    await until_drawn(pilot)
    app = pilot.app
    assert isinstance(app, TopApp)
    app.post_message(Go(name, of))
    await until(pilot, lambda: isinstance(app.screen, View) and (app.screen.NAME, app.screen.of) == (name, of))
    assert isinstance(app.screen, View)
    return app.screen


def graphs(pilot: Pilot[None]) -> Sequence[Graph]:
    """The charts that are shown."""
    return pilot.app.screen.query_one(Graphs)._graphs


def titles(pilot: Pilot[None]) -> list[str]:
    return [graph.title for graph in graphs(pilot)]


def graph(pilot: Pilot[None], title: str) -> Graph:
    """The chart of that title; one of nothing while it is not shown."""
    absent = Graph("", Unit.COUNT, (Curve((), Role.CURVE),), 0.0, 1.0)
    return next((graph for graph in graphs(pilot) if graph.title == title), absent)
