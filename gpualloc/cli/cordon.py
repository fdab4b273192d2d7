"""`gpualloc cordon`: keep new work away from nodes or a device."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.cordon import cordon as cordon_places
from gpualloc.views.cordon import cordon_data, cordons_text

app = shared.verb_app()


@app.command()
def cordon(
    ctx: typer.Context,
    names: shared.SomeNodes,
    device: shared.OneDevice = None,
    reason: shared.Reason = None,
    wait: shared.Wait = None,
) -> Answer:
    """Let nodes, or one device of a node, take no new work; what runs there runs on."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        nodes = shared.chosen_nodes(world, names) or ()
        standing = cordon_places(world, nodes, device, reason, wait_s=wait_s)
        simulated = world.simulated
    return Answer(
        {"simulated": simulated, "cordons": [cordon_data(*each) for each in standing]},
        lambda look: cordons_text(standing, look, simulated=simulated),
    )
