"""`gpualloc free`: what could be had now."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.observe import observe
from gpualloc.engine.settle import catch_up
from gpualloc.planning.suspension import still_held
from gpualloc.policies.free import free_room
from gpualloc.views.envelope import unreached
from gpualloc.views.free import free_data, free_text

app = shared.verb_app()


@app.command()
def free(ctx: typer.Context) -> Answer:
    """Say in one line what a request could get at once, on nodes that gpualloc manages."""
    with shared.open_world(ctx, looks=True) as world:
        with nodes_seen(world) as progress:
            snapshot = observe(world, None, progress)
        workloads = catch_up(world, snapshot)
        simulated = world.simulated
    room = free_room(snapshot, [part for work in workloads if not work.state.ended for part in still_held(work)])
    return Answer(
        free_data(room, simulated=simulated),
        lambda _look: free_text(room, simulated=simulated),
        errors=unreached(snapshot),
    )
