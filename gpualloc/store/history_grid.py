"""Means of a metric over steps, straight into one flat buffer: what forecasters read of history.db."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gpualloc.errors import LockedError, StateError
from gpualloc.model.forecast import Grid
from gpualloc.model.foresight import Steps
from gpualloc.model.sample import Metric, SeriesKey, SeriesKind
from gpualloc.store import history_means
from gpualloc.store.database import Database
from gpualloc.store.history_means import CHUNK_S, CHUNK_STEPS, STEP_S, Target

_ANY = "SELECT EXISTS (SELECT 1 FROM sample WHERE series = ? AND at_s >= ? AND at_s < ?)"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series are read."""

    metric: Metric
    kind: SeriesKind
    series: Sequence[tuple[int, SeriesKey]]
    """Ids with their keys, in the order of the answer."""
    all: bool
    """Whether these are all of the kind, so that their means are worth keeping."""


def read_grid(database: Database, wanted: Wanted, steps: Steps, newest_s: int) -> Grid:
    """The means of the series, in their order; those without any sample in the window are left out.

    Args:
        database: history.db.
        wanted: which series of which metric.
        steps: of which times.
        newest_s: epoch second of the newest sample of anything: chunks that end before it are whole.
    """
    values = array("d", [math.nan]) * (steps.count * len(wanted.series))
    first = steps.since_s // steps.step_s
    places = {series_id: row * steps.count - first for row, (series_id, _) in enumerate(wanted.series)}
    ranges = [(steps.since_s, steps.until_s)]
    if steps.step_s == STEP_S and places and steps.count:
        target = Target(values, places, first, first + steps.count)
        ranges = list(_fill_from_chunks(database, wanted, target, newest_s // CHUNK_S))
    query = history_means.means_query(wanted.metric)
    for since_s, until_s in ranges:
        for series_id, place in places.items():
            for step, mean in database.rows(query, (steps.step_s, series_id, since_s, until_s)):
                values[place + step] = mean / wanted.metric.scale
    return _sampled(database, wanted, steps, values)


def series_name(key: SeriesKey) -> str:
    """What a series is called in a grid: its node, and what it is of there."""
    return f"{key.node}/{key.key}" if key.key else key.node


def _fill_from_chunks(database: Database, wanted: Wanted, target: Target, newest: int) -> Iterator[tuple[int, int]]:
    """Copy what is rolled; yields the times that are left to be read sample by sample, joined where they touch.

    Chunks before `newest` are whole.
    """
    first, after = target.first // CHUNK_STEPS, -(-target.after // CHUNK_STEPS)
    known = history_means.rolled(database, wanted.metric, wanted.kind, first, after)
    left_s: int | None = None
    for chunk in range(first, after):
        if chunk in known or (chunk < newest and wanted.all and _rolled_now(database, wanted, chunk)):
            history_means.fill(database, wanted.metric, chunk, target)
            if left_s is not None:
                yield left_s, chunk * CHUNK_S
            left_s = None
        elif left_s is None:
            left_s = max(target.first * STEP_S, chunk * CHUNK_S)
    if left_s is not None:
        yield left_s, target.after * STEP_S


def _rolled_now(database: Database, wanted: Wanted, chunk: int) -> bool:
    """Take the means of a chunk and keep them; False where nothing can be written, or another writes just now."""
    with suppress(StateError, LockedError), database.transaction() as connection:
        history_means.roll(connection, wanted.metric, wanted.kind, chunk)
        return True
    return False


def _sampled(database: Database, wanted: Wanted, steps: Steps, values: array[float]) -> Grid:
    """The grid without the series that have no sample in the window."""
    kept: list[int] = []
    for row, (series_id, _) in enumerate(wanted.series):
        known = any(map(_is_known, values[row * steps.count : (row + 1) * steps.count]))
        if known or database.rows(_ANY, (series_id, steps.since_s, steps.until_s)) == [(1,)]:
            kept.append(row)
    if len(kept) < len(wanted.series):
        whole, values = values, array("d")
        for row in kept:
            values.extend(whole[row * steps.count : (row + 1) * steps.count])
    names = tuple(series_name(wanted.series[row][1]) for row in kept)
    return Grid(names, steps.since_s + steps.step_s, steps.step_s, steps.count, values)


def _is_known(value: float) -> bool:
    return value == value  # noqa: PLR0124  NaN is not
