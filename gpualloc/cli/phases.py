"""`gpualloc phases`: how a workload used its GPUs over time, in phases, and what it will use next."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.phases import phases_of
from gpualloc.model.units import parse_duration_s
from gpualloc.views.phases import phases_data, phases_text

app = shared.verb_app()


@app.command()
def phases(
    ctx: typer.Context,
    reference: shared.OneWorkload,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DURATION", help="How far back. [default: to its start]")
    ] = None,
) -> Answer:
    """Draw a workload's GPU use with its phases, and tell what it is expected to use next."""
    since_s = None if since is None else parse_duration_s(since)
    with shared.open_world(ctx) as world:
        found = phases_of(world, reference, since_s)
        simulated = world.simulated
    return Answer(
        phases_data(found, simulated=simulated),
        lambda look: phases_text(found, look, simulated=simulated),
    )
