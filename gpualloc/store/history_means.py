"""Means over steps that were taken once and kept, in chunks: what lies behind is not read sample by sample again.

A chunk that is marked as rolled has the means of every series of its metric and kind, one blob of doubles for each
series of which anything is known. Samples that come late take the mark away.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gpualloc.model.sample import Metric, Sample, SeriesKind
from gpualloc.store.database import Database, Row

STEP_S = 300
CHUNK_STEPS = 24
CHUNK_S = STEP_S * CHUNK_STEPS
_BYTES = 8
"""Of one double."""
_MEANS = (
    "SELECT at_s / ?, avg({column}) FROM sample "
    "WHERE series = ? AND at_s >= ? AND at_s < ? AND {column} IS NOT NULL GROUP BY 1"
)
_READ = "SELECT series, means FROM mean WHERE chunk = ? AND metric = ? AND series BETWEEN ? AND ?"


def means_query(metric: Metric) -> str:
    """The query for (step, mean) in the metric's stored unit, of (step length, series, begin, end)."""
    return _MEANS.format(column=metric.name)


def rolled(database: Database, metric: Metric, kind: SeriesKind, first: int, after: int) -> set[int]:
    """The chunks in that range that are rolled."""
    rows = database.rows(
        "SELECT chunk FROM rolled WHERE chunk >= ? AND chunk < ? AND metric = ? AND kind = ?",
        (first, after, metric.name, kind.value),
    )
    return {chunk for (chunk,) in rows}


def roll(connection: sqlite3.Connection, metric: Metric, kind: SeriesKind, chunk: int) -> None:
    """Take the means of a chunk and mark it, within the caller's transaction."""
    query = means_query(metric)
    ids = connection.execute("SELECT id FROM series WHERE kind = ? ORDER BY id", (kind.value,)).fetchall()
    rows = []
    for (series_id,) in ids:
        found = connection.execute(query, (STEP_S, series_id, chunk * CHUNK_S, (chunk + 1) * CHUNK_S)).fetchall()
        if found:
            rows.append((chunk, metric.name, series_id, _blob(found, metric, chunk)))
    connection.executemany("INSERT OR REPLACE INTO mean VALUES (?, ?, ?, ?)", rows)
    connection.execute("INSERT OR REPLACE INTO rolled VALUES (?, ?, ?)", (chunk, metric.name, kind.value))


@dataclass(frozen=True, slots=True)
class Target:
    """Where means of steps are put."""

    values: array[float]
    places: Mapping[int, int]
    """By id of the series: the place in `values` of the step that begins with epoch second 0."""
    first: int
    """Number of the first step that is wanted, counted from epoch second 0."""
    after: int
    """Number of the step after the last."""


def fill(database: Database, metric: Metric, chunk: int, target: Target) -> None:
    """Copy the means of a rolled chunk to where they belong; `target.places` is not empty."""
    begins = chunk * CHUNK_STEPS
    first, after = max(target.first, begins), min(target.after, begins + CHUNK_STEPS)
    written = memoryview(target.values).cast("B")
    query = (chunk, metric.name, min(target.places), max(target.places))
    for series_id, means in database.rows(_READ, query):
        place = target.places.get(series_id)
        if place is not None:
            written[(place + first) * _BYTES : (place + after) * _BYTES] = means[
                (first - begins) * _BYTES : (after - begins) * _BYTES
            ]


def unmark(connection: sqlite3.Connection, samples: Iterable[Sample]) -> None:
    """Take the marks of the chunks away that these samples belong to, within the transaction that stores them."""
    chunks = {sample.at_s // CHUNK_S for sample in samples}
    connection.executemany("DELETE FROM rolled WHERE chunk = ?", [(chunk,) for chunk in chunks])


def prune(connection: sqlite3.Connection, before_s: float) -> None:
    """Delete the chunks that began before then, within the caller's transaction."""
    first = math.ceil(before_s / CHUNK_S)
    connection.execute("DELETE FROM rolled WHERE chunk < ?", (first,))
    connection.execute("DELETE FROM mean WHERE chunk < ?", (first,))


def _blob(found: Sequence[Row], metric: Metric, chunk: int) -> bytes:
    means = array("d", [math.nan]) * CHUNK_STEPS
    for step, mean in found:
        means[step - chunk * CHUNK_STEPS] = mean / metric.scale
    return means.tobytes()
