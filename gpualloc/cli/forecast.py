"""`gpualloc forecast`: what series are going to be, with how sure, and how good such forecasts were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared
from gpualloc.cli.forecast_live import Asked, live, recorded, scored
from gpualloc.cli.outcome import Answer
from gpualloc.cli.progress import counted
from gpualloc.cli.trace_files import opened
from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s
from gpualloc.sim.traces.lines import text_lines

if TYPE_CHECKING:
    from gpualloc.forecast.models import Model
    from gpualloc.model.forecast import Grid
    from gpualloc.ports import Forecaster

app = shared.verb_app()

_LIVE_HORIZON, _FILE_HORIZON = "6h", "2h"


@app.command()
def forecast(
    ctx: typer.Context,
    *,
    metric: Annotated[
        str | None,
        typer.Option("--metric", metavar="FORESEEN", help="A metric, demand, arrivals or run-time. [default: demand]"),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="PARTS", help="Demand by pool, tenant, profile or all. [default: pool]"),
    ] = None,
    pool: Annotated[str | None, typer.Option("--pool", metavar="POOL", help="Only this pool.")] = None,
    node: Annotated[str | None, typer.Option("--node", metavar="NODE", help="Only this node.")] = None,
    device: Annotated[str | None, typer.Option("--device", metavar="UUID", help="Only this device.")] = None,
    horizon: Annotated[
        str | None, typer.Option("--horizon", metavar="DURATION", help="How far ahead. [default: 6h; of a file 2h]")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="FORECASTER", help="Forecast with this; one more row of a back-test."),
    ] = None,
    score: Annotated[bool, typer.Option("--score", help="Compare what was forecast before with what came.")] = False,
    series: Annotated[
        str | None,
        typer.Option(
            "--series", metavar="FILE", help="CSV: time_s, series, value[, capacity] (docs/foresight-forecast.md)."
        ),
    ] = None,
    backtest: Annotated[
        bool, typer.Option("--backtest", help="Tell how good the models were on the last part of the past.")
    ] = False,
) -> Answer:
    """Draw what demand, readings or the series of a file were, with the band of what they are going to be."""
    asked = Asked(metric, by, pool, node, device, horizon or _LIVE_HORIZON, model)
    if series is not None:
        if asked != Asked(horizon=asked.horizon, model=model) or score:
            raise UsageError("--series is about a file, the other options about what was recorded here")
        return _of_file(series, parse_duration_s(horizon or _FILE_HORIZON), model, backtest=backtest)
    if score and backtest:
        raise UsageError("--score and --backtest exclude each other")
    with shared.open_world(ctx) as world:
        if score:
            return scored(world, asked)
        if not backtest:
            return live(world, asked)
        grid = recorded(world, asked)
    return _scored(grid, parse_duration_s(asked.horizon), model)


def _of_file(file: str, longest_s: float, model: str | None, *, backtest: bool) -> Answer:
    with opened(file) as stream:
        from gpualloc.forecast.series_file import read

        grid = read(text_lines(stream, file), file)
    return _scored(grid, longest_s, model) if backtest else _drawn(grid, longest_s, model)


def _drawn(grid: Grid, longest_s: float, model: str | None) -> Answer:
    from gpualloc.forecast import registry
    from gpualloc.forecast.horizons import up_to
    from gpualloc.views.forecast import forecast_data, forecast_text, panels_of

    ahead = up_to(longest_s, grid.step_s)
    found = registry.load(model or "auto").forecast(grid, [one.ticks for one in ahead])
    panels = panels_of(grid, found)
    return Answer(forecast_data(panels, [one.name for one in ahead]), lambda look: forecast_text(panels, look))


def _scored(grid: Grid, longest_s: float, model: str | None) -> Answer:
    from gpualloc.forecast.backtest import backtest
    from gpualloc.forecast.horizons import up_to
    from gpualloc.views.backtest import backtest_data, backtest_text

    ahead = up_to(longest_s, grid.step_s)
    beside = _beside(model)
    with counted(len(ahead), "horizons") as progress:
        found = backtest(grid, [one.ticks for one in ahead], beside, progress)
    names = [one.name for one in ahead]
    return Answer(backtest_data(found, names), lambda look: backtest_text(found, names, look))


def _beside(name: str | None) -> tuple[Model, ...]:
    """The model to score beside the candidates; none when it is one of them."""
    from gpualloc.forecast import registry
    from gpualloc.forecast.models import NAMES

    if name is None:
        return ()
    forecaster: Forecaster = registry.load(name)
    if name in (*NAMES, "auto"):
        return ()
    found = getattr(forecaster, "model", None)
    if found is None:
        raise UsageError(
            f"the forecaster {name!r} has no model that a back-test could fit at several moments",
            hint="leave out --backtest, or choose another --model",
        )
    return (found,)
