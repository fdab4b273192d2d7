"""`gpualloc nodes`: nodes and devices with their readings."""

from __future__ import annotations

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, reached_code

app = shared.verb_app()


@app.command()
def nodes(ctx: typer.Context, names: shared.NodeNames = None, as_csv: shared.Csv = False) -> Answer:
    """Look at the nodes now: how they stand, what each device reads, and who holds it."""
    with shared.open_world(ctx, looks=True) as world:
        # This machine gets ready while these are imported.
        from gpualloc.cli.progress import nodes_seen
        from gpualloc.engine.observe import look
        from gpualloc.engine.settle import catch_up
        from gpualloc.views.envelope import unreached
        from gpualloc.views.nodes import nodes_text
        from gpualloc.views.nodes_csv import nodes_csv
        from gpualloc.views.nodes_data import nodes_data

        chosen = shared.chosen_nodes(world, names)
        with nodes_seen(world, chosen) as progress:
            snapshot = look(world, chosen, progress)
        workloads = catch_up(world, snapshot)
    return Answer(
        nodes_data(snapshot),
        lambda screen: nodes_csv(snapshot) if as_csv else nodes_text(snapshot, workloads, screen),
        errors=unreached(snapshot),
        exit_code=reached_code(snapshot),
    )
