"""What is read of one block of series, at any level, in one snapshot of the database."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from gpualloc.model.foresight import Steps
from gpualloc.model.sample import Level
from gpualloc.store.history_packing import Floats, Ints, unpack
from gpualloc.store.history_pieces import Piece, joined, merged
from gpualloc.store.history_rolling import Rolled, coarser, counted, placed, rolled
from gpualloc.store.history_series import PRESENT, metric_ids
from gpualloc.store.history_times import CHUNK_S, HOUR_S, SPANS_S, horizon

Stored = tuple[bytes, bytes | None, bytes | None, bytes | None, bytes | None]
"""Columns of a rollup: known, total, high, low, p95."""


class Seen(Struct, frozen=True):
    """One metric of a block by steps: series x steps."""

    present: Ints
    """How many samples were taken, whether the value was learnt or not."""
    rolled: Rolled


def level_for(steps: Steps) -> Level:
    """The coarsest level that the steps can be made of exactly."""
    for level in (Level.HOUR, Level.MINUTE):
        if steps.since_s % level.step_s == 0 and steps.step_s % level.step_s == 0:
            return level
    return Level.RAW


def read_piece(
    connection: sqlite3.Connection, block: int, metrics: Sequence[int], since_s: float, until_s: float
) -> Piece:
    """Samples of a block as they were taken, both ends included."""
    since_s = max(since_s, horizon(connection, Level.RAW))
    first, last = (int(at_s // CHUNK_S) for at_s in (since_s, until_s))
    query = "SELECT at_s, data FROM tick WHERE block = ? AND at_s >= ? AND at_s <= ? ORDER BY id"
    ticks: dict[int, list[tuple[int, bytes]]] = {}
    for at_s, data in connection.execute(query, (block, since_s, until_s)):
        ticks.setdefault(at_s // CHUNK_S, []).append((at_s, data))
    stored = read_stored(connection, block, first, last, metrics)
    pieces = [
        merged(stored.get(chunk, {}), ticks.get(chunk, []), metrics) for chunk in sorted(stored.keys() | ticks.keys())
    ]
    return joined(pieces, metrics).between(since_s, until_s)


def read_stored(
    connection: sqlite3.Connection, block: int, first: int, last: int, metrics: Sequence[int] | None = None
) -> dict[int, dict[int, bytes]]:
    """Packed samples by chunk and metric; of all metrics when none are named."""
    query = "SELECT chunk, data FROM raw WHERE block = ? AND metric = ? AND chunk BETWEEN ? AND ?"
    found: dict[int, dict[int, bytes]] = {}
    for metric in (PRESENT, *(metric_ids(connection).values() if metrics is None else metrics)):
        for chunk, data in connection.execute(query, (block, metric, first, last)):
            found.setdefault(chunk, {})[metric] = data
    return found


def read_steps(
    connection: sqlite3.Connection, block: int, metrics: Sequence[int], steps: Steps, *, extremes: bool = False
) -> dict[int, Seen]:
    """Metrics of a block by even steps, from the rollups where they are whole; not the 95th percentile."""
    level = level_for(steps)
    if level is Level.RAW:
        return _from_samples(connection, block, metrics, steps)
    times = steps.step_s // level.step_s
    fine = Steps(steps.since_s, level.step_s, steps.count * times)
    found = read_level(connection, block, metrics, level, fine, extremes=extremes)
    return {
        metric: Seen(_added(seen.present, times), coarser(seen.rolled, times, extremes=extremes))
        for metric, seen in found.items()
    }


def read_level(
    connection: sqlite3.Connection, block: int, metrics: Sequence[int], level: Level, steps: Steps, *, extremes: bool
) -> dict[int, Seen]:
    """Rollups of a block, by metric.

    Args:
        connection: in a snapshot.
        block: which.
        metrics: numbers of the metrics.
        level: minute or hour; `steps` are aligned with it, and of its length.
        steps: which steps.
        extremes: whether more than the means is wanted.
    """
    live = _live_hours(connection, block, steps)
    present = _stored_level(connection, block, PRESENT, level, steps, extremes=False).known
    found = {metric: _stored_level(connection, block, metric, level, steps, extremes=extremes) for metric in metrics}
    for hour in live:
        since_s, until_s = max(hour * HOUR_S, steps.since_s), min((hour + 1) * HOUR_S, steps.until_s)
        part = Steps(since_s, level.step_s, (until_s - since_s) // level.step_s)
        at = (since_s - steps.since_s) // level.step_s
        piece = read_piece(connection, block, metrics, since_s, until_s - 1)
        present = placed(present, counted(piece.present, piece.times, part), at).astype(np.int64, copy=False)
        for metric in metrics:
            new = rolled(*piece.column(metric), piece.times, part, p95=extremes)
            found[metric] = found[metric].put(new, at, extremes=extremes)
    hidden = -(-(horizon(connection, level) - steps.since_s) // level.step_s)
    if hidden > 0:
        present[:, :hidden] = 0
        for one in found.values():
            one.known[:, :hidden] = 0
    return {metric: Seen(present, one) for metric, one in found.items()}


def unpacked_parts(row: Stored) -> Rolled:
    """A row of a level as it was packed; what it does not have is 0."""
    known, total, high, *lower = (None if part is None else unpack(part)[0] for part in row)
    assert known is not None
    counts = known.astype(np.int64, copy=False)
    nothing, some = np.zeros(counts.shape, np.int64), counts > 0
    whole = bool(some.all())

    def certain(part: Ints | Floats) -> Ints | Floats:
        # What is unknown was packed as whatever takes the least room.
        return part if whole else np.where(some, part, 0)

    top = nothing if high is None else certain(high).astype(np.int64, copy=False)
    low, p95 = (nothing if part is None else top - certain(part).astype(np.int64, copy=False) for part in lower)
    return Rolled(counts, nothing if total is None else certain(total), top, low, p95)


def _from_samples(connection: sqlite3.Connection, block: int, metrics: Sequence[int], steps: Steps) -> dict[int, Seen]:
    piece = read_piece(connection, block, metrics, steps.since_s, steps.until_s - 1)
    present = counted(piece.present, piece.times, steps)
    return {metric: Seen(present, rolled(*piece.column(metric), piece.times, steps, p95=False)) for metric in metrics}


def _live_hours(connection: sqlite3.Connection, block: int, steps: Steps) -> list[int]:
    """Hours of which the rollups are not whole: some of it came since, or it was never rolled."""
    first, last = steps.since_s // HOUR_S, (steps.until_s - 1) // HOUR_S
    rows = connection.execute(
        "SELECT chunk FROM due WHERE block = ?1 AND chunk BETWEEN ?2 AND ?3 "
        "UNION SELECT at_s / ?4 FROM tick WHERE block = ?1 AND at_s >= ?2 * ?4 AND at_s < (?3 + 1) * ?4 ORDER BY 1",
        (block, first, last, HOUR_S),
    )
    kept_s, hours = horizon(connection, Level.RAW), [hour for (hour,) in rows]
    query = "SELECT 1 FROM minute WHERE block = ? AND metric = ? AND chunk = ?"
    return [
        hour
        for hour in hours
        if hour * HOUR_S >= kept_s or not connection.execute(query, (block, PRESENT, hour)).fetchone()
    ]


def _stored_level(
    connection: sqlite3.Connection, block: int, metric: int, level: Level, steps: Steps, *, extremes: bool
) -> Rolled:
    """The steps as they are stored, whole or not."""
    span = SPANS_S[level] // level.step_s
    columns = "known, total, high, low, p95" if extremes else "known, total, NULL, NULL, NULL"
    first = steps.since_s // level.step_s
    rows = connection.execute(
        f"SELECT chunk, {columns} FROM {level.value} WHERE block = ? AND metric = ? AND chunk BETWEEN ? AND ?",  # noqa: S608 (constants)
        (block, metric, first // span, (first + steps.count - 1) // span),
    ).fetchall()
    parts = [(chunk * span - first, unpacked_parts(row)) for chunk, *row in rows]
    series, wanted = max((len(part.known) for _, part in parts), default=0), 5 if extremes else 2
    kinds = [np.result_type(*(part.parts[one] for _, part in parts), np.int64) for one in range(wanted)]
    whole = [np.zeros((series, steps.count), kind) for kind in kinds]
    for at, part in parts:
        begin, end = max(at, 0), min(at + span, steps.count)
        for target, source in zip(whole, part.parts[:wanted], strict=True):
            target[: len(source), begin:end] = source[:, begin - at : end - at]
    return Rolled(*whole) if extremes else Rolled.means_only(*whole)


def _added(counts: Ints, times: int) -> Ints:
    added: Ints = counts.reshape(len(counts), counts.shape[1] // times, times).sum(axis=2)
    return added
