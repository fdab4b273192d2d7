"""`gpualloc exporter`: the fleet as metrics for Prometheus."""

from __future__ import annotations

import ipaddress
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc import __version__
from gpualloc.cli import service, shared, stopping
from gpualloc.cli.outcome import say
from gpualloc.errors import StateError, UsageError
from gpualloc.model.units import parse_duration_s
from gpualloc.views.text import escape, plural

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.engine.heard import Tick
    from gpualloc.views.exporter import Exposition, Kept, OwnCost

app = shared.verb_app()

_FRESH_TICKS, _FRESH_S = 3, 60.0
"""What was judged that many ticks of sampling ago, and so long, is not told as if it were so now."""


@app.command()
def exporter(
    ctx: typer.Context,
    listen: Annotated[
        str, typer.Option("--listen", metavar="HOST:PORT", help="Where to serve. [default: 127.0.0.1:9456]")
    ] = "127.0.0.1:9456",
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="Time between two pages. [default: 10s]")
    ] = "10s",
    processes: Annotated[
        bool, typer.Option("--processes", help="Series for each process too; many, and short-lived.")
    ] = False,
) -> int:
    """Watch the nodes and serve what they tell at /metrics until stopped."""
    host, port = _parsed(listen)
    every_s = parse_duration_s(every)
    with shared.open_world(ctx) as world, stopping.on_signal() as stop:
        from gpualloc.engine.heard import ticks
        from gpualloc.views.exporter import Exposition
        from gpualloc.views.prometheus import CONTENT_TYPE
        from gpualloc.wiring.doors import page_server

        pages = _Pages(world, Exposition(simulated=world.simulated, processes=processes))
        with page_server(host, port, CONTENT_TYPE) as server:
            server.put(pages.first())
            _tell(*server.address, simulated=world.simulated)
            for tick in ticks(world, every_s, stop.asked):
                server.put(pages.of(tick))
                service.tell(f"READY=1\nWATCHDOG=1\nSTATUS={plural(len(tick.nodes), 'node')} on the page")
    return stop.exit_code or 0


class _Pages:
    """One page after the other, with what they cost."""

    def __init__(self, world: Context, exposition: Exposition) -> None:
        self._world = world
        self._every_s = world.settings.sample_every_s
        self._exposition = exposition
        self._began_s = time.time()
        self._render_s: float | None = None
        self._troubles: set[str] = set()
        self._mark: int | None = None
        """Behind the event that was counted last."""

    def first(self) -> bytes:
        """Before a node told anything."""
        at_s = self._world.clock.now_s()
        self._count_events()
        return self._exposition.page((), at_s, self._cost())

    def of(self, tick: Tick) -> bytes:
        """The page of a tick."""
        began = time.perf_counter()
        self._count_events()
        page = self._exposition.page(tick.nodes, tick.at_s, self._cost(), tick.figures, self._kept(tick.at_s))
        self._render_s = time.perf_counter() - began
        return page

    def _count_events(self) -> None:
        try:
            if self._mark is None:
                self._mark = self._world.events.mark()
            events, self._mark = self._world.events.kept_after(self._mark)
            self._exposition.events.take(events)
        except StateError as error:
            self._complain("events are not counted", error)

    def _kept(self, at_s: float) -> Kept:
        from gpualloc.views.exporter import NOTHING_KEPT, Kept

        try:
            span = self._world.history.span()
            sampled_at_s = None if span is None else float(span[1])
            fresh = sampled_at_s is not None and at_s - sampled_at_s <= _FRESH_TICKS * self._every_s + _FRESH_S
            conditions = self._world.events.conditions() if fresh else ()
            return Kept(self._world.journal.cordons(), conditions, sampled_at_s)
        except StateError as error:
            self._complain("cordons and conditions are not told", error)
            return NOTHING_KEPT

    def _complain(self, what: str, error: StateError) -> None:
        """Say it once: what nodes tell is served all the same."""
        if what not in self._troubles:
            say(f"{what}: {escape(error.message)}")
        self._troubles.add(what)

    def _cost(self) -> OwnCost:
        from gpualloc.views.exporter import OwnCost

        used = resource.getrusage(resource.RUSAGE_SELF)
        return OwnCost(__version__, self._began_s, used.ru_utime + used.ru_stime, _resident_bytes(), self._render_s)


def _resident_bytes() -> int | None:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None


def _tell(host: str, port: int, *, simulated: bool) -> None:
    shown = f"[{host}]" if ":" in host else host
    say(f"metrics at http://{shown}:{port}/metrics" + (" (simulated)" if simulated else ""))
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        say("anybody who reaches this address can read them: there is no authentication and no encryption")


def _parsed(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise UsageError(
            f"--listen {listen!r} is not HOST:PORT", hint="such as 127.0.0.1:9456, [::1]:9456 or 0.0.0.0:9456"
        )
    return host, int(port)
