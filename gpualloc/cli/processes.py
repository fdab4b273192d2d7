"""`gpualloc processes`: what runs on the GPUs, whoever started it."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer, reached_code

app = shared.verb_app()


@app.command()
def processes(
    ctx: typer.Context,
    names: shared.NodeNames = None,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Only processes of this account.")] = None,
    as_csv: shared.Csv = False,
) -> Answer:
    """Look at the nodes now and list the processes on their GPUs, those with the most GPU memory first."""
    with shared.open_world(ctx, looks=True) as world:
        from gpualloc.cli.progress import nodes_seen
        from gpualloc.engine.observe import look
        from gpualloc.views.envelope import unreached
        from gpualloc.views.processes import processes_csv, processes_data, processes_on, processes_text

        chosen = shared.chosen_nodes(world, names)
        with nodes_seen(world, chosen) as progress:
            snapshot = look(world, chosen, progress)
        simulated = world.simulated
    found = processes_on(snapshot, user or None)
    return Answer(
        processes_data(snapshot, found, simulated=simulated),
        lambda screen: processes_csv(found) if as_csv else processes_text(snapshot, found, screen, simulated=simulated),
        errors=unreached(snapshot),
        exit_code=reached_code(snapshot),
    )
