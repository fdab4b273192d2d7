"""`gpualloc forecast`: what will be needed, from what was."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer

app = shared.verb_app()


@app.command()
def forecast(
    ctx: typer.Context,
    *,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="METRIC", help="A metric, demand, arrivals or run-time. [default: demand]"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="PARTS", help="Demand by pool, tenant, profile or all. [default: pool]"),
    ] = None,
    pool: Annotated[str | None, typer.Option("--pool", metavar="POOL", help="Only this pool.")] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only this node.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="UUID", help="Only this device.")] = None,
    horizon: Annotated[str, typer.Option("--horizon", metavar="DURATION", help="How far ahead. [default: 6h]")] = "6h",
    score: Annotated[bool, typer.Option("--score", help="Compare what was forecast before with what came.")] = False,
) -> Answer:
    """Draw what is expected of demand, arrivals or readings, with a band that holds 90 of 100 cases."""
    from gpualloc.cli import forecast_live as live

    with shared.open_world(ctx) as world:
        if score:
            return live.scored(world, metric)
        return live.live(world, live.Asked(metric, by, pool, node, device, horizon))
