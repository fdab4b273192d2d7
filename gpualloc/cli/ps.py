"""`gpualloc ps`: workloads that wait, run, or ended in the last day."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, reached_code
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.observe import look
from gpualloc.engine.progress import progress_of
from gpualloc.engine.settle import bound_limits, catch_up
from gpualloc.views.envelope import unreached
from gpualloc.views.workloads import workloads_data, workloads_text

app = shared.verb_app()


@app.command()
def ps(ctx: typer.Context) -> Answer:
    """List the workloads, oldest first, after looking at the nodes for those that ended."""
    with shared.open_world(ctx, looks=True) as world:
        with nodes_seen(world) as looking:
            snapshot = look(world, None, looking)
        workloads = catch_up(world, snapshot)
        simulated = world.simulated
    progress = progress_of(workloads, snapshot.reached)
    return Answer(
        workloads_data(workloads, bound_limits(snapshot), progress, simulated=simulated),
        lambda screen: workloads_text(workloads, snapshot.at_s, screen, progress, simulated=simulated),
        errors=unreached(snapshot),
        exit_code=reached_code(snapshot),
    )
