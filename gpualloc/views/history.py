"""Series over time: charts, numbers as JSON and CSV."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.sample import Metric, Series, SeriesKey, SeriesKind
from gpualloc.views.chart import chart, sparkline
from gpualloc.views.csv import csv_text
from gpualloc.views.look import Look, Role
from gpualloc.views.text import cells, duration, escape, shorten, stamp

CHARTS_AT_MOST = 8
"""With more series than this each gets one line instead of a chart."""
HEIGHT = 6
"""Lines of a chart."""


def history_data(metric: Metric, series: Sequence[Series], *, simulated: bool) -> dict[str, object]:
    """`data` of `history --json`."""
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "simulated": simulated,
        "series": [
            {**series_data(one.key, metric), "points": [[at_s, value] for at_s, value in one.points]} for one in series
        ],
    }


def history_csv(metric: Metric, series: Sequence[Series], *, simulated: bool) -> str:
    """One row per point; an unknown value is an empty field. Ends without a newline."""
    columns = ("at_s", "node", "kind", "key", metric.name, "simulated")
    return csv_text(
        columns,
        (
            (at_s, one.key.node, one.key.kind.value, one.key.key, value, simulated)
            for one in series
            for at_s, value in one.points
        ),
    )


def history_text(metric: Metric, series: Sequence[Series], look: Look, *, simulated: bool) -> str:
    """A chart for each series, or a line each when there are many."""
    if not series:
        said = f"no samples of {metric.name} in this time; `gpualloc sample` takes one"
        return said + (" (simulated)" if simulated else "")
    head = metric.name + (", " + look.paint("simulated", Role.WARN) if simulated else "")
    if len(series) > CHARTS_AT_MOST:
        return "\n".join([head, *_lines(metric, series, look)])
    return "\n\n".join([head, *(_chart(metric, one, look) for one in series)])


def _chart(metric: Metric, one: Series, look: Look) -> str:
    start, end = one.points[0][0], one.points[-1][0]
    axis = f"{stamp(start)} … {stamp(end)} ({duration(end - start)})"
    drawn = chart(one.points, look.width, HEIGHT, lambda value: number(metric, value))
    return "\n".join([look.paint(label(one.key), Role.STRONG), *drawn, axis, _figures(metric, one)])


def _lines(metric: Metric, series: Sequence[Series], look: Look) -> list[str]:
    labels = [shorten(label(one.key), look.width // 2) for one in series]
    margin = max(cells(label) for label in labels)
    width = max(8, look.width - margin - 16)
    return [
        f"{label}{' ' * (margin - cells(label))} {sparkline(one.points, width)} {_latest(metric, one)}"
        for label, one in zip(labels, series, strict=True)
    ]


def label(key: SeriesKey) -> str:
    """What a series is called above its chart."""
    return escape(" ".join(part for part in (key.node, key.key) if part))


def series_data(key: SeriesKey, metric: Metric) -> dict[str, object]:
    """Which series of which metric, as JSON has it."""
    return {
        "device": key.key if key.kind in (SeriesKind.DEVICE, SeriesKind.MIG_INSTANCE) else None,
        "workload": key.key if key.kind is SeriesKind.WORKLOAD else None,
        "kind": key.kind.value,
        "node": key.node,
        "metric": metric.name,
        "unit": metric.unit,
    }


def _latest(metric: Metric, one: Series) -> str:
    value = one.points[-1][1]
    return "n/a" if value is None else number(metric, value)


def _figures(metric: Metric, one: Series) -> str:
    known = [value for _, value in one.points if value is not None]
    gaps = len(one.points) - len(known)
    told = f", {gaps} of {len(one.points)} unknown" if gaps else ""
    if not known:
        return f"min n/a, mean n/a, max n/a{told}"
    mean = sum(known) / len(known)
    shown = [number(metric, value) for value in (min(known), mean, max(known))]
    return f"min {shown[0]}, mean {shown[1]}, max {shown[2]}{told}"


def number(metric: Metric, value: float) -> str:
    """The value as a person reads it: ratios in percent."""
    return f"{100 * value:.3g} %" if metric.unit == "ratio" else f"{value:.4g} {metric.unit}"
