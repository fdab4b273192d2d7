"""Charts of what is expected: the past, the band beyond now, and how far forecasts were off before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.forecast import QUANTILES
from gpualloc.model.foresight import Foresight, Score
from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.tui.graph import Band, Curve, Graph
from gpualloc.tui.graph_axis import amount
from gpualloc.tui.past_graph import unit_of
from gpualloc.views.chart import Points, mean, spread
from gpualloc.views.forecast import Panel, panels_of, recent, span
from gpualloc.views.forecast_chart import Bands, course_of
from gpualloc.views.text import percent, plural

_STEPS = 200
"""Points of what is expected."""


class Foreseen(Struct, frozen=True):
    """One series as people look at it."""

    name: str
    """Of the series; untrusted text."""
    graph: Graph
    errors: tuple[str, ...]
    """How far off forecasts of this series were, by horizon, a sentence each; empty: none was compared yet."""


def foreseen_graphs(seen: Foresight, scores: Mapping[str, Sequence[Score]], columns: int = 120) -> tuple[Foreseen, ...]:
    """What was looked ahead at, series by series.

    Args:
        seen: what `engine.foresee` told.
        scores: as `engine.score.scores_by_series` tells them.
        columns: how wide the charts are, about: of a past that is finer the mean is drawn, in a band.
    """
    return tuple(
        Foreseen(panel.title, _graph(panel, columns), error_words(scores.get(panel.title, ()), unit_of(panel.unit)))
        for panel in _panels(seen)
    )


def foreseen_graph(
    seen: Foresight, series: int, scores: Mapping[str, Sequence[Score]], columns: int = 120
) -> Foreseen | None:
    """The same of the series at that place alone; None when nothing is known of any past."""
    found = foreseen_graphs(_alone(seen, series), scores, columns)
    return found[0] if found else None


def ahead_of(seen: Foresight, series: int) -> tuple[Curve, Band] | None:
    """What is expected of the series at that place, for a chart of its past; None where nothing is told."""
    panels = _panels(_alone(seen, series))
    told = [(at_s, band) for panel in panels for at_s, band in panel.bands if band is not None]
    return _expected(panels[0], told) if told else None


def _alone(seen: Foresight, series: int) -> Foresight:
    """What is told of one series."""
    grid, told = seen.grid, seen.forecasts
    width = len(told.horizons) * len(QUANTILES)
    return replace(
        seen,
        grid=replace(
            grid,
            names=grid.names[series : series + 1],
            values=grid.values[series * grid.ticks : (series + 1) * grid.ticks],
            capacity=grid.capacity[series : series + 1],
        ),
        forecasts=replace(
            told, values=told.values[series * width : (series + 1) * width], models=told.models[series : series + 1]
        ),
    )


def _panels(seen: Foresight) -> tuple[Panel, ...]:
    return panels_of(seen.grid, seen.forecasts, seen.unit) if seen.grid.ticks else ()


def error_words(scores: Sequence[Score], unit: Unit) -> tuple[str, ...]:
    """How far off forecasts were, a sentence for each horizon.

    Args:
        scores: of one series, by horizon; of one horizon, that of all models first.
        unit: of the series.
    """
    by_horizon: dict[int, Score] = {}
    for score in scores:
        by_horizon.setdefault(score.horizon_s, score)
    return tuple(_error(score, unit) for score in by_horizon.values())


def _error(score: Score, unit: Unit) -> str:
    ratio = "" if score.ratio is None else f" ({score.ratio:.2f} of what the last value is off)"
    return (
        f"past error {span(score.horizon_s)} ahead: off by {amount(score.error, unit)}{ratio}, "
        f"pinball {amount(score.pinball, unit)}, {percent(score.covered)} inside the band of 90 %, "
        f"{plural(score.count, 'forecast')}"
    )


def _graph(panel: Panel, columns: int) -> Graph:
    unit, past = unit_of(panel.unit), recent(panel)
    told = [(at_s, band) for at_s, band in panel.bands if band is not None]
    start_s, now_s = past[0][0], past[-1][0]
    end_s = told[-1][0] if told else now_s
    known = [value for _, value in past if value is not None]
    steps = max(1, round(2 * columns * (now_s - start_s) / ((end_s - start_s) or 1.0)))
    was, between = _was(past, steps, "was" if told else "")
    expected = _expected(panel, told) if told else None
    return Graph(
        panel.title if unit is not Unit.COUNT else f"{panel.title}, {panel.unit}".rstrip(", "),
        unit,
        (was,) if expected is None else (was, expected[0]),
        start_s,
        end_s,
        bands=(between,) if expected is None else (between, expected[1]),
        now_s=now_s,
        high=None if panel.capacity is None else max([panel.capacity, *known]),
    )


def _was(past: Points, steps: int, name: str) -> tuple[Curve, Band]:
    """The past in so many steps, if it has more points, and what the points of each lie between."""
    if len(past) <= steps:
        return Curve(past, Role.CURVE, name), Band([(at_s, value, value) for at_s, value in past], Role.CURVE_BAND)
    start_s, now_s = past[0][0], past[-1][0]
    slots = spread(past, steps, lambda values: (min(values), mean(values), max(values)))
    times = [start_s + (now_s - start_s) * step / steps for step in range(steps)]
    found = list(zip(times, [slot or (None, None, None) for slot in slots], strict=True))
    # The last step ends with the latest value, which is what stands in the title.
    points = [*((at_s, middle) for at_s, (_, middle, _) in found), past[-1]]
    return Curve(points, Role.CURVE, name), Band([(at_s, low, high) for at_s, (low, _, high) in found], Role.CURVE_BAND)


def _expected(panel: Panel, told: Bands) -> tuple[Curve, Band]:
    """The median, from the latest value on, and the band about it."""
    now_s, end_s = panel.history[-1][0], told[-1][0]
    moments = [now_s + (end_s - now_s) * step / _STEPS for step in range(1, _STEPS + 1)]
    course = course_of(panel.history, told, moments)
    median = [panel.history[-1], *((at_s, band.median) for at_s, band in course)]
    edges = [(at_s, band.low, band.high) for at_s, band in course]
    curve = Curve(median, Role.FORECAST, "expected, 90 % shaded", dashed=True, apart_s=math.inf)
    return curve, Band(edges, Role.FORECAST_BAND, apart_s=math.inf)
