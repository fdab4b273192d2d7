"""`gpualloc history`: readings over time."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.engine.history import history as read_history
from gpualloc.model.sample import METRICS
from gpualloc.model.units import parse_duration_s
from gpualloc.views.history import history_csv, history_data, history_text

app = shared.verb_app()


@app.command()
def history(
    ctx: typer.Context,
    *,
    metric: Annotated[
        str, typer.Option("--metric", metavar="METRIC", help="Which reading. [default: gpu_utilization_ratio]")
    ] = "gpu_utilization_ratio",
    since: Annotated[str, typer.Option("--since", metavar="DURATION", help="How far back. [default: 1h]")] = "1h",
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only this node.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="UUID", help="Only this device.")] = None,
    as_csv: shared.Csv = False,
) -> Answer:
    """Draw what was sampled as charts; a gap is a time of which nothing is known."""
    since_s = parse_duration_s(since)
    with shared.open_world(ctx) as world:
        series = read_history(world, metric, since_s, node=node, device=device)
        simulated = world.simulated
    chosen = METRICS[metric]
    return Answer(
        history_data(chosen, series, simulated=simulated),
        lambda look: (
            history_csv(chosen, series, simulated=simulated)
            if as_csv
            else history_text(chosen, series, look, simulated=simulated)
        ),
    )
