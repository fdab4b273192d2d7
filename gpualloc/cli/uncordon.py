"""`gpualloc uncordon`: let nodes or a device take new work again."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.cordon import uncordon as uncordon_places
from gpualloc.engine.doubt import doubtful_nodes
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
        doubts = doubtful_nodes(world)
        simulated = world.simulated
    mark = " (simulated)" if simulated else ""
    lines = [
        f"{place_text(node, uuid)}: {'takes new work again' if was else 'was not cordoned'}{mark}"
        for (node, uuid), was in found
    ]
    places = [
        {"node": node, "device": uuid, "was_cordoned": was, "doubtful": doubts.get(node)} for (node, uuid), was in found
    ]
    closed = dict.fromkeys(node for (node, _), _ in found if node in doubts)
    return Answer(
        {"simulated": simulated, "places": places},
        lambda _look: "\n".join(lines),
        messages=tuple(f"{node} stays closed until gpualloc reconcile has looked: {doubts[node]}" for node in closed),
    )
