"""`gpualloc forecast`: what series are going to be, with how sure, and how good such forecasts were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gpualloc.cli import shared
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

app = shared.verb_app(no_args_is_help=True)


@app.command()
def forecast(
    *,
    series: Annotated[
        str | None,
        typer.Option("--series", metavar="FILE", help="CSV: time_s, series, value[, capacity] (docs/forecast.md)."),
    ] = None,
    horizon: Annotated[
        str, typer.Option("--horizon", metavar="DURATION", help="How far ahead, 24h at most. [default: 2h]")
    ] = "2h",
    backtest: Annotated[
        bool, typer.Option("--backtest", help="Tell how good the models were on the last part of the series.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="FORECASTER", help="Forecast with this; one more row of a back-test."),
    ] = None,
) -> Answer:
    """Draw what series were and the band of what they are going to be, or score the models on the past."""
    longest_s = parse_duration_s(horizon)
    if series is None:
        raise UsageError("nothing says what to forecast", hint="give --series FILE")
    with opened(series) as stream:
        from gpualloc.forecast.series_file import read

        grid = read(text_lines(stream, series), series)
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
