"""`gpualloc history`: readings over time."""

from __future__ import annotations

from typing import Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.outcome import Answer
from gpualloc.cli.values import level_named
from gpualloc.engine.history import history as read_history
from gpualloc.engine.history import rollups as read_rollups
from gpualloc.model.sample import METRICS, Level
from gpualloc.model.units import parse_duration_s
from gpualloc.views.history import history_csv, history_data, history_text
from gpualloc.views.history_levels import rollups_csv, rollups_data, rollups_text

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
    level: Annotated[
        str, typer.Option("--level", metavar="LEVEL", help="raw, minute or hour. [default: raw]")
    ] = Level.RAW.value,
    as_csv: shared.Csv = False,
) -> Answer:
    """Draw what was sampled as charts; a gap is a time of which nothing is known."""
    since_s = parse_duration_s(since)
    if level_named(level) is not Level.RAW:
        return _by_level(ctx, metric, level_named(level), (since_s, node, device), as_csv=as_csv)
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


def _by_level(
    ctx: typer.Context,
    metric: str,
    level: Level,
    window: tuple[float, str | None, str | None],
    *,
    as_csv: bool,
) -> Answer:
    since_s, node, device = window
    with shared.open_world(ctx) as world:
        found = read_rollups(world, metric, level, since_s, node=node, device=device)
        simulated = world.simulated
    chosen = METRICS[metric]
    return Answer(
        rollups_data(chosen, level, found, simulated=simulated),
        lambda look: (
            rollups_csv(chosen, found, simulated=simulated)
            if as_csv
            else rollups_text(chosen, level, found, look, simulated=simulated)
        ),
    )
