"""Samples of earlier releases, a wide row for each series and second, packed as they would be written today."""

from __future__ import annotations

import sqlite3

from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.history_compaction import compact, roll
from gpualloc.store.history_series import Register
from gpualloc.store.history_ticks import tick_rows
from gpualloc.store.history_times import CHUNK_S, HOUR_S

_INSERT = "INSERT INTO tick (block, at_s, data) VALUES (?, ?, ?)"


def repack(connection: sqlite3.Connection) -> None:
    """Pack all rows of `sample`, whose series are in `wide_series`, within the caller's transaction."""
    register = Register().current(connection)
    metrics = register.metrics(connection)
    names = [row[1] for row in connection.execute("PRAGMA table_info(sample)") if row[1] in METRICS]
    keys = {
        number: SeriesKey(SeriesKind(kind), node, key)
        for number, kind, node, key in connection.execute("SELECT id, kind, node, key FROM wide_series ORDER BY id")
    }
    (oldest, newest) = connection.execute("SELECT min(at_s), max(at_s) FROM sample").fetchone()
    if oldest is None:
        return
    for hour in range(oldest // HOUR_S, newest // HOUR_S + 1):
        blocks = set()
        for chunk in range(hour * HOUR_S // CHUNK_S, (hour + 1) * HOUR_S // CHUNK_S):
            samples = [
                sample for number, key in keys.items() for sample in _samples(connection, number, key, names, chunk)
            ]
            rows = tick_rows(samples, lambda sample: register.place(connection, sample.series), metrics)
            connection.executemany(_INSERT, rows)
            for block in {block for block, _, _ in rows}:
                compact(connection, block, chunk)
                blocks.add(block)
        for block in blocks:
            roll(connection, block, hour)


def _samples(connection: sqlite3.Connection, number: int, key: SeriesKey, names: list[str], chunk: int) -> list[Sample]:
    query = f"SELECT at_s, {', '.join(names)} FROM sample WHERE series = ? AND at_s >= ? AND at_s < ?"  # noqa: S608 (names of METRICS)
    rows = connection.execute(query, (number, chunk * CHUNK_S, (chunk + 1) * CHUNK_S))
    scales = [METRICS[name].scale for name in names]
    return [
        Sample(
            key,
            at_s,
            {
                name: stored / scale
                for name, stored, scale in zip(names, values, scales, strict=True)
                if stored is not None
            },
        )
        for at_s, *values in rows
    ]
