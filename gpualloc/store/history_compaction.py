"""Ticks become chunks, and chunks become rollups: a block of series at a time, each in a transaction of its own.

Whatever is killed in between leaves either the ticks or the chunk, never both and never none. An hour that got new
chunks is marked as due in the same transaction; until it was rolled, it is read from its chunks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import numpy as np

from gpualloc.model.foresight import Steps
from gpualloc.model.sample import Level
from gpualloc.store.history_packing import Bools, Floats, Ints, carried, pack
from gpualloc.store.history_pieces import Piece, joined, merged, packed_column, packed_presence
from gpualloc.store.history_reading import Stored, read_stored, unpacked_parts
from gpualloc.store.history_rolling import Rolled, counted, rolled
from gpualloc.store.history_series import PRESENT, metric_ids
from gpualloc.store.history_times import CHUNK_S, DAY_S, HOUR_S, horizon

_INSERT = "INSERT INTO raw (block, metric, chunk, samples, data) VALUES (?, ?, ?, ?, ?)"
_REPLACE = (
    "INSERT OR REPLACE INTO {level} (block, metric, chunk, known, total, high, low, p95) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SEEN = (
    "UPDATE series SET newest_s = max(coalesce(newest_s, ?1), ?1), oldest_s = min(coalesce(oldest_s, ?2), ?2) "
    "WHERE block = ?3 AND slot = ?4"
)


def compact(connection: sqlite3.Connection, block: int, chunk: int) -> None:
    """Pack the ticks of a block, with what was packed of that chunk before, within the caller's transaction."""
    window = (block, chunk * CHUNK_S, (chunk + 1) * CHUNK_S)
    ticks = connection.execute(
        "SELECT at_s, data FROM tick WHERE block = ? AND at_s >= ? AND at_s < ? ORDER BY id", window
    ).fetchall()
    if not ticks:
        # Another process was faster.
        return
    stored = read_stored(connection, block, chunk, chunk)
    metrics = sorted(metric_ids(connection).values())
    piece = merged(stored.get(chunk, {}), ticks, metrics)
    put_piece(connection, piece, block, chunk)
    connection.execute("DELETE FROM tick WHERE block = ? AND at_s >= ? AND at_s < ?", window)


def put_piece(connection: sqlite3.Connection, piece: Piece, block: int, chunk: int) -> None:
    """Put samples in place of the whole chunk, within the caller's transaction; its hour is due then."""
    metrics = sorted(metric_ids(connection).values())
    connection.executemany(
        "DELETE FROM raw WHERE block = ? AND metric = ? AND chunk = ?",
        [(block, metric, chunk) for metric in (PRESENT, *metrics)],
    )
    samples = int(np.count_nonzero(piece.present))
    rows = [(block, PRESENT, chunk, samples, packed_presence(piece))]
    for metric in metrics:
        data = packed_column(piece, metric)
        if data is not None:
            rows.append((block, metric, chunk, int(np.count_nonzero(piece.column(metric)[1])), data))
    connection.executemany(_INSERT, rows)
    connection.executemany(_SEEN, _ages(piece, block))
    connection.execute("INSERT OR IGNORE INTO due VALUES (?, ?)", (block, chunk * CHUNK_S // HOUR_S))


def roll(connection: sqlite3.Connection, block: int, hour: int) -> None:
    """Take the rollups of a block and an hour from its chunks, within the caller's transaction."""
    connection.execute("DELETE FROM due WHERE block = ? AND chunk = ?", (block, hour))
    known = "SELECT 1 FROM minute WHERE block = ? AND metric = ? AND chunk = ?"
    if hour * HOUR_S < horizon(connection, Level.RAW) and connection.execute(known, (block, PRESENT, hour)).fetchone():
        # Not all of its samples are left: what was taken when they were is better.
        return
    piece = _hour_of(connection, block, hour)
    if not len(piece.times):
        return
    _put_minutes(connection, piece, block, hour)
    _put_hour(connection, piece, block, hour)


def _hour_of(connection: sqlite3.Connection, block: int, hour: int) -> Piece:
    first = hour * HOUR_S // CHUNK_S
    stored = read_stored(connection, block, first, first + HOUR_S // CHUNK_S - 1)
    metrics = sorted(metric_ids(connection).values())
    return joined([merged(packed, [], metrics) for _, packed in sorted(stored.items())], metrics)


def _put_minutes(connection: sqlite3.Connection, piece: Piece, block: int, hour: int) -> None:
    steps = Steps(hour * HOUR_S, Level.MINUTE.step_s, HOUR_S // Level.MINUTE.step_s)
    # What was known of a metric may have been replaced by nothing.
    old = [(block, metric, hour) for metric in metric_ids(connection).values()]
    connection.executemany("DELETE FROM minute WHERE block = ? AND metric = ? AND chunk = ?", old)
    rows: list[tuple[object, ...]] = [
        (block, PRESENT, hour, pack(counted(piece.present, piece.times, steps)), None, None, None, None)
    ]
    for metric, (values, known) in piece.columns.items():
        rows.append((block, metric, hour, *_packed(rolled(values, known, piece.times, steps))))
    _replace(connection, Level.MINUTE, rows)


def _put_hour(connection: sqlite3.Connection, piece: Piece, block: int, hour: int) -> None:
    """Put the hour into the row of its day."""
    day, place = divmod(hour, DAY_S // HOUR_S)
    steps = Steps(hour * HOUR_S, HOUR_S, 1)
    before = _day_of(connection, block, day)
    count = DAY_S // HOUR_S
    present = before.pop(PRESENT, Rolled.nothing(len(piece.present), count))
    present = present.put(_only_counted(counted(piece.present, piece.times, steps)), place)
    rows: list[tuple[object, ...]] = [(block, PRESENT, day, pack(present.known), None, None, None, None)]
    for metric in sorted(piece.columns.keys() | before.keys()):
        found = rolled(*piece.column(metric), piece.times, steps)
        whole = before.get(metric, Rolled.nothing(len(piece.present), count)).put(found, place)
        rows.append((block, metric, day, *_packed(whole)))
    _replace(connection, Level.HOUR, rows)


def _day_of(connection: sqlite3.Connection, block: int, day: int) -> dict[int, Rolled]:
    """By metric, the hours of a day as far as they were rolled."""
    found = {}
    for metric in (PRESENT, *metric_ids(connection).values()):
        query = "SELECT known, total, high, low, p95 FROM hour WHERE block = ? AND metric = ? AND chunk = ?"
        row: Stored | None = connection.execute(query, (block, metric, day)).fetchone()
        if row is not None:
            found[metric] = unpacked_parts(row)
    return found


def _only_counted(counts: Ints) -> Rolled:
    return Rolled(counts, *(np.zeros(counts.shape, np.int64) for _ in range(4)))


def _packed(found: Rolled) -> tuple[bytes, ...]:
    """The extremes as how far they are from the highest: that is 0 where nothing changes."""
    some = found.known > 0
    total = found.total if found.total.dtype == np.float64 else _carried(found.total, some)
    lower = (_carried(found.high - part, some) for part in (found.low, found.p95))
    return tuple(map(pack, (found.known, total, _carried(found.high, some), *lower)))


def _carried(values: Ints | Floats, known: Bools) -> Ints:
    return carried(values.astype(np.int64, copy=False), known)


def _replace(connection: sqlite3.Connection, level: Level, rows: Iterable[tuple[object, ...]]) -> None:
    connection.executemany(_REPLACE.format(level=level.value), rows)


def _ages(piece: Piece, block: int) -> Iterable[tuple[int, int, int, int]]:
    """Newest and oldest sample of each series."""
    some = piece.present.any(axis=1)
    oldest = piece.times[np.argmax(piece.present, axis=1)]
    newest = piece.times[::-1][np.argmax(piece.present[:, ::-1], axis=1)]
    for slot in np.flatnonzero(some).tolist():
        yield int(newest[slot]), int(oldest[slot]), block, slot
