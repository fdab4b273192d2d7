"""`gpualloc drift`: what is not as gpualloc made it."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import CHANGES, Answer
from gpualloc.cli.progress import nodes_seen
from gpualloc.engine.drift import drift as find_drift
from gpualloc.views.drift import drift_data, drift_text
from gpualloc.views.envelope import unreached

app = shared.verb_app()


@app.command()
def drift(
    ctx: typer.Context, names: shared.NodeNames = None, detailed_exitcode: shared.DetailedExitCode = False
) -> Answer:
    """Compare what gpualloc made with what the nodes tell, field by field; nothing is changed."""
    with shared.open_world(ctx, looks=True) as world:
        chosen = shared.chosen_nodes(world, names)
        with nodes_seen(world, chosen) as progress:
            found = find_drift(world, chosen, progress)
        simulated = world.simulated
    return Answer(
        drift_data(found.differences, found.unknown, simulated=simulated),
        lambda look: drift_text(found.differences, found.unknown, look, simulated=simulated),
        errors=unreached(found.snapshot),
        exit_code=CHANGES if detailed_exitcode and found.differences else 0,
    )
