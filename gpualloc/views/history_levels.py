"""Rollups over time: what minutes and hours came to, as charts, JSON and CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpualloc.model.sample import Level, Metric, Rollup
from gpualloc.views.chart import chart
from gpualloc.views.csv import csv_text
from gpualloc.views.history import HEIGHT, label, number, series_data
from gpualloc.views.look import Look, Role
from gpualloc.views.text import duration, stamp

_FIGURES = ("min", "mean", "max", "p95")


def rollups_data(metric: Metric, level: Level, found: Sequence[Rollup], *, simulated: bool) -> dict[str, object]:
    """`data` of `history --level minute --json`."""
    return {
        "metric": metric.name,
        "unit": metric.unit,
        "level": level.value,
        "step_s": level.step_s,
        "simulated": simulated,
        "series": [
            {
                **series_data(one.key, metric),
                "steps": [
                    {"at_s": at_s, **dict(zip((*_FIGURES, "known", "unknown"), figures, strict=True))}
                    for at_s, *figures in _steps(one)
                ],
            }
            for one in found
        ],
    }


def rollups_csv(metric: Metric, found: Sequence[Rollup], *, simulated: bool) -> str:
    """One row per step; an unknown value is an empty field. Ends without a newline."""
    figures = [f"{metric.name}_{name}" for name in (*_FIGURES, "known", "unknown")]
    rows = (
        (at_s, one.key.node, one.key.kind.value, one.key.key, *values, simulated)
        for one in found
        for at_s, *values in _steps(one)
    )
    return csv_text(["at_s", "node", "kind", "key", *figures, "simulated"], rows)


def rollups_text(metric: Metric, level: Level, found: Sequence[Rollup], look: Look, *, simulated: bool) -> str:
    """A chart of the means of each series, with what they lie between."""
    said = ", " + look.paint("simulated", Role.WARN) if simulated else ""
    if not found:
        return f"nothing is kept of {metric.name} in this time{said}"
    head = f"{metric.name} by {level.value}s, the mean of each{said}"
    return "\n\n".join([head, *(_chart(metric, one, look) for one in found)])


def _chart(metric: Metric, one: Rollup, look: Look) -> str:
    steps = _steps(one)
    points = [(float(at_s), mean) for at_s, _, mean, *_ in steps]
    drawn = chart(points, look.width, HEIGHT, lambda value: number(metric, value))
    start, end = points[0][0], points[-1][0] + one.step_s
    axis = f"{stamp(start)} … {stamp(end)} ({duration(end - start)})"
    return "\n".join([look.paint(label(one.key), Role.STRONG), *drawn, axis, _band(metric, one)])


def _band(metric: Metric, one: Rollup) -> str:
    known, unknown = sum(one.known), sum(one.unknown)
    told = f", {unknown} of {known + unknown} samples unknown" if unknown else ""
    if not known:
        return f"min n/a, mean n/a, max n/a{told}"
    weighed = sum(mean * count for mean, count in zip(one.mean, one.known, strict=True) if count)
    low, high = (
        pick(value for value in part if not math.isnan(value)) for pick, part in ((min, one.low), (max, one.high))
    )
    shown = [number(metric, value) for value in (low, weighed / known, high)]
    return f"min {shown[0]}, mean {shown[1]}, max {shown[2]}{told}"


def _steps(one: Rollup) -> list[tuple[int, float | None, float | None, float | None, float | None, int, int]]:
    """Epoch second, lowest, mean, highest, 95th percentile and counts of each step with any sample."""
    return [
        (
            one.start_s + step * one.step_s,
            _known(one.low[step]),
            _known(one.mean[step]),
            _known(one.high[step]),
            _known(one.p95[step]),
            one.known[step],
            one.unknown[step],
        )
        for step in range(len(one.mean))
        if one.known[step] or one.unknown[step]
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
