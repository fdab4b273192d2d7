"""`gpualloc uncordon`: let nodes or a device take new work again."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.cordon import uncordon as uncordon_places
from gpualloc.views.cordon import place_text

app = shared.verb_app()


@app.command()
def uncordon(
    ctx: typer.Context, names: shared.SomeNodes, device: shared.OneDevice = None, wait: shared.Wait = None
) -> Answer:
    """Let nodes, or one device of a node, take new work again."""
    wait_s = shared.wait_s(wait)
    with shared.open_world(ctx) as world:
        nodes = shared.chosen_nodes(world, names) or ()
        found = uncordon_places(world, nodes, device, wait_s=wait_s)
        simulated = world.simulated
    mark = " (simulated)" if simulated else ""
    lines = [
        f"{place_text(node, uuid)}: {'takes new work again' if was else 'was not cordoned'}{mark}"
        for (node, uuid), was in found
    ]
    places = [{"node": node, "device": uuid, "was_cordoned": was} for (node, uuid), was in found]
    return Answer({"simulated": simulated, "places": places}, lambda _look: "\n".join(lines))
