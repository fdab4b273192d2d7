"""`gpualloc show`: everything known of one workload."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.wait import refresh
from gpualloc.views.workloads import workload_in_full, workload_text

app = shared.verb_app()


@app.command()
def show(ctx: typer.Context, reference: shared.OneWorkload) -> Answer:
    """Show one workload: what it asked for, what it got, what holds each limit, how it ended."""
    with shared.open_world(ctx) as world:
        workload = refresh(world, world.journal.find(reference))
        simulated, now_s = world.simulated, world.clock.now_s()
    return Answer(
        workload_in_full(workload, simulated=simulated),
        lambda _look: workload_text(workload, now_s, simulated=simulated),
    )
