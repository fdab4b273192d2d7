"""`gpualloc top`: the dashboard."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.engine.health_look import conditions_of
from gpualloc.engine.observe import Listening
from gpualloc.engine.settle import catch_up
from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s

app = shared.verb_app()


@app.command()
def top(
    ctx: typer.Context,
    every: Annotated[
        str, typer.Option("--every", metavar="DURATION", help="Time between two looks. [default: 2s]")
    ] = "2s",
) -> None:
    """Watch nodes, devices, processes and workloads on the whole screen."""
    every_s = parse_duration_s(every)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("top needs a terminal", hint="`gpualloc nodes` and `gpualloc ps` answer into pipes")
    # Textual takes longer to import than every other verb takes in all, and a usage error should not wait for it.
    from gpualloc.tui.app import run_top
    from gpualloc.tui.source import Source

    with shared.open_world(ctx) as world, closing(world.fleet.watch(every_s)) as watch:
        source = Source(
            look=Listening(world, watch, every_s).look,
            workloads=lambda snapshot: catch_up(world, snapshot),
            conditions=lambda nodes: conditions_of(world, nodes),
            now_s=world.clock.now_s,
            specs=world.fleet.specs(),
            simulated=world.simulated,
        )
        run_top(world, source, every_s=every_s, program=_program(ctx))


def _program(ctx: typer.Context) -> tuple[str, ...]:
    """The words before a verb with which a command line works on the same world."""
    given = shared.given(ctx)
    named = [(flag, given[flag.replace("-", "_")]) for flag in ("config", "sim", "state-dir")]
    return ("gpualloc", *(word for flag, text in named if text for word in (f"--{flag}", str(text))))
