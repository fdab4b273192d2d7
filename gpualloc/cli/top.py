"""`gpualloc top`: the dashboard, or one text of the same where there is no terminal to draw it on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from gpualloc.cli import shared, stopping
from gpualloc.cli.outcome import Answer, look, reached_code, say, write
from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s, whole_number
from gpualloc.tui.options import THEME_NAMES, VIEW_NAMES, TopOptions, usual_every_s
from gpualloc.tui.serve import DEFAULT_PORT, is_served
from gpualloc.tui.serve import serve as run_server

if TYPE_CHECKING:
    from gpualloc.engine.context import Context
    from gpualloc.engine.health_look import Health
    from gpualloc.model.workload import Workload
    from gpualloc.views.look import Look

app = shared.verb_app()

_SLICE_S = 0.1


@app.command()
def top(
    ctx: typer.Context,
    *,
    every: Annotated[
        str | None,
        typer.Option(
            "--every",
            metavar="DURATION",
            help="Time between two looks. [default: 2s; 5s from 65 nodes on, 10s from 257]",
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Print one look as text, as happens where there is no terminal.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Print a look as text every so often.")] = False,
    ascii_only: Annotated[bool, typer.Option("--ascii", help="Draw with ASCII only.")] = False,
    theme: Annotated[
        str | None, typer.Option("--theme", metavar="THEME", help=f"Colours: {', '.join(THEME_NAMES)}.")
    ] = None,
    read_only: Annotated[bool, typer.Option("--read-only", help="Offer nothing that changes anything.")] = False,
    view: Annotated[str | None, typer.Option("--view", metavar="VIEW", help="Begin with this view.")] = None,
    serve: Annotated[bool, typer.Option("--serve", help="Show it in a browser on this machine.")] = False,
    port: Annotated[
        str | None, typer.Option("--port", metavar="PORT", help="Where --serve listens on 127.0.0.1. [default: 8470]")
    ] = None,
) -> Answer | int:
    """Watch nodes, devices, processes and workloads on the whole screen.

    Without a terminal, and with --once, one look is printed as text.
    """
    _check_one_of("--theme", theme, THEME_NAMES)
    _check_one_of("--view", view, VIEW_NAMES)
    if once and watch:
        raise UsageError("--once and --watch exclude each other", hint="--watch prints until it is interrupted")
    every_s = parse_duration_s(every) if every else None
    served = is_served(os.environ)
    if port is not None and not serve:
        raise UsageError("--port is for --serve", hint="gpualloc top --serve --port PORT")
    if serve and (once or watch):
        raise UsageError("--serve shows no text", hint="leave --once and --watch out")
    if serve and not served:
        return _serve(ctx, port)
    if watch:
        return _watch(ctx, every_s, ascii_only=ascii_only)
    # A served dashboard has no terminal of its own.
    if once or not (served or _can_draw()):
        return _once(ctx, ascii_only=ascii_only)
    why = "--read-only was given" if read_only else None
    _draw(ctx, TopOptions(theme=theme, ascii=ascii_only, read_only=why, view=view), every_s)
    return 0


def _serve(ctx: typer.Context, port: str | None) -> int:
    # What the dashboards would refuse is refused here, before there is a browser.
    with shared.open_world(ctx):
        pass
    number = DEFAULT_PORT if port is None else whole_number("--port", port)
    # Each dashboard is this very command, which finds itself served. -P: not what lies in this directory.
    command = (sys.executable, "-P", "-m", "gpualloc", *sys.argv[1:])
    return run_server(command, port=number, tell=say)


def _draw(ctx: typer.Context, options: TopOptions, every_s: float | None) -> None:
    from gpualloc.wiring import may_not_write, remembered_file

    why = options.read_only or may_not_write(shared.options(ctx))
    with shared.open_world(ctx) as opened:
        specs = opened.fleet.specs()
        period_s = usual_every_s(len(specs)) if every_s is None else every_s
        with closing(opened.fleet.watch(period_s)) as telling:
            # Nodes begin to tell while Textual is imported, which takes longer than every other verb takes in all.
            from gpualloc.engine.judging import Judge
            from gpualloc.engine.observe import Listening
            from gpualloc.engine.read_only import read_only
            from gpualloc.engine.settle import catch_up
            from gpualloc.tui.app import run_top
            from gpualloc.tui.source import Source

            world = opened if why is None else read_only(opened, why)
            source = Source(
                look=Listening(world, telling, period_s).look,
                workloads=lambda snapshot: catch_up(world, snapshot),
                judge=Judge(world).judge,
                now_s=world.clock.now_s,
                specs=specs,
                simulated=world.simulated,
                received_bytes=lambda: telling.figures().received_bytes,
            )
            remembered = remembered_file(shared.options(ctx))
            run_top(
                world,
                source,
                replace(options, every_s=period_s, read_only=why, remembered=remembered, program=_program(ctx)),
            )


def _once(ctx: typer.Context, *, ascii_only: bool) -> Answer:
    with shared.open_world(ctx, looks=True) as world:
        from gpualloc.cli.progress import nodes_seen
        from gpualloc.views.envelope import unreached

        with nodes_seen(world, None) as progress:
            found, workloads = _looked(world, progress)
        simulated = world.simulated
    return Answer(
        {},
        lambda screen: _text(found, workloads, screen, simulated=simulated, ascii_only=ascii_only),
        errors=(*unreached(found.snapshot), *([found.unkept] if found.unkept else [])),
        exit_code=reached_code(found.snapshot),
    )


def _watch(ctx: typer.Context, every_s: float | None, *, ascii_only: bool) -> int:
    with shared.open_world(ctx) as world, stopping.on_signal() as stop:
        from gpualloc.views.text import stamp

        period_s = usual_every_s(len(world.fleet.specs())) if every_s is None else every_s
        gap = ""
        while not stop.asked():
            began_s = time.monotonic()
            found, workloads = _looked(world)
            if stop.asked():
                break
            text = _text(found, workloads, look(sys.stdout), simulated=world.simulated, ascii_only=ascii_only)
            write(f"{gap}{stamp(found.snapshot.at_s)}\n{text}\n")
            gap = "\n"
            _wait(began_s + period_s, stop.asked)
    return stop.exit_code or 0


def _looked(world: Context, progress: Callable[..., None] | None = None) -> tuple[Health, tuple[Workload, ...]]:
    from gpualloc.engine.health_look import look_at_health
    from gpualloc.engine.settle import catch_up

    found = look_at_health(world, None, progress)
    return found, catch_up(world, found.snapshot)


def _text(found: Health, workloads: tuple[Workload, ...], screen: Look, *, simulated: bool, ascii_only: bool) -> str:
    from gpualloc.engine.health import UNHEALTHY
    from gpualloc.engine.progress import progress_of
    from gpualloc.tui.glyphs import in_ascii
    from gpualloc.views.top import top_text

    text = top_text(
        found.snapshot,
        workloads,
        screen,
        progress=progress_of(workloads, found.snapshot.reached),
        conditions=found.at_least(UNHEALTHY),
        indices=found.indices,
        recent=found.recent,
        simulated=simulated,
    )
    return in_ascii(text) if ascii_only else text


def _wait(until_s: float, stopped: Callable[[], bool]) -> None:
    while not stopped() and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(_SLICE_S, left_s))


def _can_draw() -> bool:
    """Whether there is a terminal on which a cursor can be moved. Textual draws on stderr."""
    on_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    return on_terminal and os.environ.get("TERM") != "dumb"


def _check_one_of(flag: str, name: str | None, names: tuple[str, ...]) -> None:
    if name is not None and name not in names:
        raise UsageError(f"{flag} {name!r} is not known", hint=f"one of: {', '.join(names)}")


def _program(ctx: typer.Context) -> tuple[str, ...]:
    """The words before a verb with which a command line works on the same world."""
    given = shared.given(ctx)
    named = [(flag, given[flag.replace("-", "_")]) for flag in ("config", "sim", "state-dir")]
    return ("gpualloc", *(word for flag, text in named if text for word in (f"--{flag}", str(text))))
