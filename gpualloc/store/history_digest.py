"""Samples of a series gathered by ticks of an even grid, added up by SQLite."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

from gpualloc.model.sample import Metric
from gpualloc.store.database import Database

Columns = dict[str, "array[float]"]
"""By metric, a number for each tick; NaN where nothing is known of it."""

_SELECT = "SELECT (at_s - ?) / ?, {parts} FROM sample WHERE series = ? AND at_s >= ? AND at_s < ? GROUP BY 1"


def read(
    database: Database, series_id: int, metrics: Sequence[Metric], *, start_s: int, step_s: int, ticks: int
) -> tuple[Columns, Columns] | None:
    """Mean and highest of each metric in each tick; None where the series has no row on the grid."""
    query = _SELECT.format(parts=", ".join(f"avg({metric.name}), max({metric.name})" for metric in metrics))
    rows = database.rows(query, (start_s, step_s, series_id, start_s, start_s + step_s * ticks))
    if not rows:
        return None
    mean: Columns = {metric.name: array("d", [math.nan]) * ticks for metric in metrics}
    high: Columns = {metric.name: array("d", [math.nan]) * ticks for metric in metrics}
    for place, metric in enumerate(metrics):
        means, highs, at = mean[metric.name], high[metric.name], 1 + 2 * place
        for row in rows:
            if row[at] is not None:
                means[row[0]], highs[row[0]] = row[at] / metric.scale, row[at + 1] / metric.scale
    return mean, high
