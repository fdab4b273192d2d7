"""Everything that was remembered, as one table: a row for each series and time, a column for each reading."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.history import metric_named
from gpualloc.engine.observe import check_names
from gpualloc.model.sample import METRICS, Level, Metric, Rollup, Series, SeriesKey, SeriesKind

FIGURES = ("min", "mean", "max", "p95", "known", "unknown")
"""What a step of a rollup has of each metric; it ends the name of its column."""
_SLICES_S = {Level.RAW: 3600, Level.MINUTE: 86_400, Level.HOUR: 30 * 86_400}
"""How much of the time is read at once: memory does not grow with the window."""

Row = tuple[int, SeriesKey, list[float | None]]
"""Epoch second, series, and the value of each column; None is unknown, or not a reading of this kind of series."""


class Table(Struct, frozen=True):
    """What is exported, and how."""

    metrics: tuple[Metric, ...]
    level: Level
    since_s: int
    until_s: int
    """Epoch second after the last that is wanted."""
    node: str | None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the readings, with units as in docs/metrics.md."""
        if self.level is Level.RAW:
            return tuple(metric.name for metric in self.metrics)
        return tuple(f"{metric.name}_{figure}" for metric in self.metrics for figure in FIGURES)


def table(ctx: Context, metrics: Sequence[str], level: Level, since_s: float | None, node: str | None) -> Table:
    """What is to be exported of the last `since_s` seconds, or of all that is kept.

    Raises:
        NotFoundError: there is no such metric, or nothing was ever sampled of a node that is not in the fleet.
    """
    chosen = tuple(metric_named(name) for name in metrics) or tuple(METRICS.values())
    until_s, span = int(ctx.clock.now_s()) + 1, ctx.history.span()
    oldest_s = until_s if span is None else span[0]
    first_s = oldest_s if since_s is None else max(oldest_s, int(until_s - since_s))
    first_s -= first_s % max(level.step_s, 1)
    if node is not None and node not in ctx.events.devices_seen(node):
        check_names(ctx, [node])
    return Table(chosen, level, first_s, until_s, node)


def rows(ctx: Context, wanted: Table) -> Iterator[Row]:
    """The rows: slice of time after slice, in each the series by kind, node and key, each of them oldest first."""
    slice_s = _SLICES_S[wanted.level]
    begin_s = wanted.since_s
    while begin_s < wanted.until_s:
        end_s = min((begin_s // slice_s + 1) * slice_s, wanted.until_s)
        for kind in SeriesKind:
            yield from _of_kind(ctx, wanted, kind, begin_s, end_s)
        begin_s = end_s


def _of_kind(ctx: Context, wanted: Table, kind: SeriesKind, begin_s: int, end_s: int) -> Iterator[Row]:
    places = {metric.name: place for place, metric in enumerate(wanted.metrics) if kind in metric.kinds}
    read = [_read(ctx, wanted, METRICS[name], kind, (begin_s, end_s)) for name in places]
    # The same series in the same order, unless some of it came while it was read.
    merged = heapq.merge(*read, key=lambda one: (one.key.node, one.key.key))
    width = 1 if wanted.level is Level.RAW else len(FIGURES)
    for key, parts in groupby(merged, key=lambda one: one.key):
        found: dict[int, list[float | None]] = {}
        for part in parts:
            first = places[part.metric.name] * width
            for at_s, values in _cells(part):
                row = found.setdefault(at_s, [None] * len(wanted.columns))
                row[first : first + width] = values
        for at_s in sorted(found):
            yield at_s, key, found[at_s]


def _read(
    ctx: Context, wanted: Table, metric: Metric, kind: SeriesKind, window: tuple[int, int]
) -> Iterator[Series | Rollup]:
    begin_s, end_s = window
    if wanted.level is Level.RAW:
        return iter(ctx.history.read(metric, begin_s, end_s - 1, kind=kind, node=wanted.node))
    return iter(ctx.history.rollups(metric, wanted.level, begin_s, end_s, kind=kind, node=wanted.node))


def _cells(part: Series | Rollup) -> Iterator[tuple[int, Sequence[float | None]]]:
    if isinstance(part, Series):
        for at_s, value in part.points:
            yield int(at_s), (value,)
        return
    figures = part.low, part.mean, part.high, part.p95, part.known, part.unknown
    for step in range(len(part.mean)):
        if part.known[step] or part.unknown[step]:
            values: list[float] = [figure[step] for figure in figures]
            yield part.start_s + step * part.step_s, [None if math.isnan(value) else value for value in values]
