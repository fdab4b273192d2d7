"""What is expected of series: charts of the past with the band of what is to come, and the figures of a back-test."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.model.forecast import Band, Forecasts, Grid
from gpualloc.views.chart import Points, sparkline
from gpualloc.views.forecast_chart import band_chart
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, cells, duration, escape, shorten, stamp

CHARTS_AT_MOST = 8
"""With more panels than this each gets one line instead of a chart."""
_HEIGHT = 8
_PAST = 2.0
"""How much of the past is drawn, in times of the longest horizon."""
_FEWEST = 24
"""Points of the past that are drawn at least, if there are so many."""
_NEVER_MIND = "nothing can be told: too little is known of it"


class Panel(Struct, frozen=True):
    """One series as people look at it."""

    title: str
    """What the series is; foreign text is escaped when it is shown."""
    unit: str
    """Stands behind its numbers, such as `GPUs`; `ratio` is shown in percent; may be empty."""
    history: Points
    """(epoch seconds, value or None), oldest first; the last one is now."""
    bands: Sequence[tuple[float, Band | None]]
    """(epoch seconds, what is expected then), by horizon, ascending; None where nothing can be told."""
    models: Sequence[str]
    """Which model told each of the bands; empty where nothing can be told."""
    capacity: float | None = None
    """The most it could be; None is unknown."""


def panels_of(grid: Grid, forecasts: Forecasts, unit: str = "") -> tuple[Panel, ...]:
    """The series of a grid with what a forecaster tells of them, in their order.

    Args:
        grid: the past.
        forecasts: what is expected after its last tick.
        unit: as `Panel.unit`.
    """
    times = [grid.start_s + tick * grid.step_s for tick in range(grid.ticks)]
    return tuple(
        Panel(
            title=name,
            unit=unit,
            history=[
                (at_s, None if math.isnan(value) else value)
                for at_s, value in zip(times, grid.values[at * grid.ticks : (at + 1) * grid.ticks], strict=True)
            ],
            bands=[
                (grid.end_s + ticks * grid.step_s, forecasts.band(at, place))
                for place, ticks in enumerate(forecasts.horizons)
            ],
            models=forecasts.models[at],
            capacity=grid.capacity[at] if grid.capacity else None,
        )
        for at, name in enumerate(grid.names)
    )


def forecast_data(panels: Sequence[Panel], horizons: Sequence[str]) -> dict[str, object]:
    """`data` of `forecast --json`: by series and horizon the quantiles 0.05, 0.5 and 0.95 and the model that told them.

    Args:
        panels: the series.
        horizons: what the bands of each are called.
    """
    return {
        "series": {
            panel.title: {
                "at_s": panel.history[-1][0] if panel.history else None,
                "unit": panel.unit,
                "capacity": panel.capacity,
                "forecast": {
                    horizon: _band_data(band, model)
                    for horizon, (_, band), model in zip(horizons, panel.bands, panel.models, strict=True)
                },
            }
            for panel in panels
        }
    }


def _band_data(band: Band | None, model: str) -> dict[str, object] | None:
    if band is None:
        return None
    return {"low": band.low, "median": band.median, "high": band.high, "model": model}


def forecast_text(panels: Sequence[Panel], look: Look) -> str:
    """A chart and a table for each panel, or a line each when there are many."""
    if not panels:
        return "there are no series to forecast"
    if len(panels) > CHARTS_AT_MOST:
        return "\n".join(_lines(panels, look))
    blocks = [_panel(panel, look) for panel in panels]
    if any(band is not None for panel in panels for _, band in panel.bands):
        blocks.append(look.paint("shaded: where 90 of 100 values are expected", Role.QUIET))
    return "\n\n".join(blocks)


def _panel(panel: Panel, look: Look) -> str:
    title = look.paint(shorten(_title(panel), look.width), Role.STRONG)
    known = [(at_s, band) for at_s, band in panel.bands if band is not None]
    past = recent(panel) if panel.history else []
    if not known and all(value is None for _, value in past):
        return f"{title}\n{_NEVER_MIND}"
    drawn, now = band_chart(past, known, _HEIGHT, look, lambda value: _number(panel, value))
    told = _figures(panel, look) if known else _NEVER_MIND
    return "\n".join([title, *drawn, _axis(panel, past, now, look), told])


def _title(panel: Panel) -> str:
    most = "" if panel.capacity is None else f", capacity {_number(panel, panel.capacity)}"
    return f"{escape(panel.title)}{most}"


def recent(panel: Panel) -> Points:
    """The end of the past: twice as long as the longest horizon, and never just a few points."""
    now_s = panel.history[-1][0]
    if not panel.bands:
        return panel.history
    since_s = now_s - _PAST * (panel.bands[-1][0] - now_s)
    within = sum(at_s >= since_s for at_s, _ in panel.history)
    return panel.history[-max(within, _FEWEST) :]


def _axis(panel: Panel, past: Points, now: int, look: Look) -> str:
    """When the chart begins, where now is, and how far it reaches; the mark for now stands below its column."""
    start, mark = stamp(past[0][0]), f"now {stamp(past[-1][0])} ▲"
    told = [at_s for at_s, band in panel.bands if band is not None]
    ahead = f" +{duration(told[-1] - past[-1][0])}" if told else ""
    now = min(now, look.width - 1 - cells(ahead))
    line = f"{start}{mark:>{max(1, now + 1 - cells(start))}}"
    return look.paint(f"{line}{ahead:>{max(0, look.width - cells(line))}}".rstrip(), Role.QUIET)


def _figures(panel: Panel, look: Look) -> str:
    columns = [
        Column("in"),
        *(Column(name, right=True) for name in ("5 %", "median", "95 %")),
        Column("model", least=8),
    ]
    now_s = panel.history[-1][0]
    rows: list[list[str | Cell]] = []
    for (at_s, band), model in zip(panel.bands, panel.models, strict=True):
        told = (UNKNOWN,) * 3 if band is None else tuple(_number(panel, v) for v in (band.low, band.median, band.high))
        rows.append([span(at_s - now_s), told[0], Cell(told[1], Role.STRONG), told[2], escape(model)])
    return table(columns, rows, look, indent=2)


def _lines(panels: Sequence[Panel], look: Look) -> list[str]:
    titles = [shorten(escape(panel.title), look.width // 3) for panel in panels]
    ends = [_ending(panel) for panel in panels]
    margin = max(cells(title) for title in titles)
    width = max(8, look.width - margin - max(cells(end) for end in ends) - 2)
    drawn = [sparkline(recent(panel), width) if panel.history else "·" * width for panel in panels]
    return [
        f"{title}{' ' * (margin - cells(title))} {line} {end}"
        for title, line, end in zip(titles, drawn, ends, strict=True)
    ]


def _ending(panel: Panel) -> str:
    """What is expected at the longest horizon, in words."""
    told = [(at_s, band) for at_s, band in panel.bands if band is not None]
    if not told or not panel.history:
        return UNKNOWN
    at_s, band = told[-1]
    low, median, high = (_number(panel, value) for value in (band.low, band.median, band.high))
    return f"in {span(at_s - panel.history[-1][0])}: {median} ({low} to {high})"


def span(seconds: float) -> str:
    """A horizon in its largest whole unit: `5m`, `2h`, `90s`."""
    for unit_s, unit in ((3600, "h"), (60, "m")):
        if seconds >= unit_s and seconds % unit_s == 0:
            return f"{seconds / unit_s:.0f}{unit}"
    return f"{seconds:g}s"


def _number(panel: Panel, value: float) -> str:
    """The value as a person reads it: ratios in percent, and nothing where there is next to nothing."""
    if panel.unit == "ratio":
        return f"{100 * round(value, 6):.3g} %"
    return f"{round(value, 6):.4g} {panel.unit}".rstrip()
