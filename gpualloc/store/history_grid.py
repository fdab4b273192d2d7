"""Means of a metric over steps, straight into flat buffers: what forecasters read of history.db."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from gpualloc.model.forecast import Grid
from gpualloc.model.sample import Metric, SeriesKey
from gpualloc.store.database import Database

_MEANS = (
    "SELECT at_s / ?, avg({column}) FROM sample "
    "WHERE series = ? AND at_s >= ? AND at_s < ? AND {column} IS NOT NULL GROUP BY 1"
)
_ANY = "SELECT EXISTS (SELECT 1 FROM sample WHERE series = ? AND at_s >= ? AND at_s < ?)"


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps that means are taken over."""

    since_s: int
    """Where the first begins, a multiple of `step_s`."""
    step_s: int
    count: int

    @property
    def until_s(self) -> int:
        """Where the last one ends."""
        return self.since_s + self.count * self.step_s


def read_grid(database: Database, metric: Metric, series: Sequence[tuple[int, SeriesKey]], steps: Steps) -> Grid:
    """The means of these series, in this order; those without any sample in the window are left out."""
    names: list[str] = []
    values: array[float] = array("d")
    unknown = array("d", [math.nan]) * steps.count
    first = steps.since_s // steps.step_s
    means = _MEANS.format(column=metric.name)
    for series_id, key in series:
        window = (series_id, steps.since_s, steps.until_s)
        rows = database.rows(means, (steps.step_s, *window))
        if not rows and database.rows(_ANY, window) == [(0,)]:
            continue
        begin = len(values)
        values.extend(unknown)
        for step, mean in rows:
            values[begin + step - first] = mean / metric.scale
        names.append(series_name(key))
    return Grid(tuple(names), steps.since_s + steps.step_s, steps.step_s, steps.count, values)


def series_name(key: SeriesKey) -> str:
    """What a series is called in a grid: its node, and what it is of there."""
    return f"{key.node}/{key.key}" if key.key else key.node
