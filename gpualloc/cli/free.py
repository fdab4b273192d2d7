"""`gpualloc free`: what could be had now."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.free import free as free_room
from gpualloc.engine.observe import observe
from gpualloc.engine.settle import catch_up
from gpualloc.views.envelope import unreached
from gpualloc.views.free import free_data, free_text

app = shared.verb_app()


@app.command()
def free(ctx: typer.Context) -> Answer:
    """Say in one line what a request could get at once."""
    with shared.open_world(ctx) as world:
        with nodes_seen(world) as progress:
            snapshot = observe(world, None, progress)
        catch_up(world, snapshot)
        room, simulated = free_room(snapshot), world.simulated
    return Answer(
        free_data(room.gpus, room.largest_on_one_node, room.memory_mib_largest, simulated=simulated),
        lambda _look: free_text(room.gpus, room.largest_on_one_node, room.memory_mib_largest, simulated=simulated),
        errors=unreached(snapshot),
    )
