"""`gpualloc show`: everything known of one workload."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.wait import look_at
from gpualloc.views.workloads import workload_in_full, workload_text

app = shared.verb_app()


@app.command()
def show(ctx: typer.Context, reference: shared.OneWorkload) -> Answer:
    """Show one workload: what it asked for, what it got, what holds each limit, how far it is, how it ended."""
    with shared.open_world(ctx) as world:
        workload, progress = look_at(world, world.journal.find(reference))
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workload_in_full(workload, progress=progress, simulated=simulated),
        lambda _look: workload_text(workload, now_s, progress=progress, simulated=simulated),
    )
