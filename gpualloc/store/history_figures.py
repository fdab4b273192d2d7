"""How much of what lies in history.db."""

from __future__ import annotations

import sqlite3

from gpualloc.model.sample import Level, SeriesKind
from gpualloc.model.store import LevelFigures
from gpualloc.store.history_series import PRESENT
from gpualloc.store.history_times import DAY_S, SPANS_S, horizon

COUNTED = 20_000
"""As many chunks are counted byte by byte; of more, the newest stand for all."""
_BYTES = {
    Level.RAW: "length(data)",
    Level.MINUTE: "length(known) + ifnull(length(total) + length(high) + length(low) + length(p95), 0)",
    Level.HOUR: "length(known) + ifnull(length(total) + length(high) + length(low) + length(p95), 0)",
}


def level_figures(connection: sqlite3.Connection, level: Level) -> LevelFigures:
    """What is packed of a level."""
    # Names of our own tables and columns.
    newest = (
        f"SELECT block, metric, chunk, {_BYTES[level]} AS bytes FROM {level.value} ORDER BY id DESC LIMIT {COUNTED}"  # noqa: S608
    )
    (chunks,) = connection.execute(f"SELECT count(*) FROM {level.value}").fetchone()  # noqa: S608
    counted, its_bytes = connection.execute(f"SELECT count(*), total(bytes) FROM ({newest})").fetchone()  # noqa: S608
    whole = round(its_bytes / counted * chunks) if counted else 0
    ends = [_ends(connection, level, block) for (block,) in connection.execute("SELECT id FROM block").fetchall()]
    oldest = min((begin for begin, _ in ends if begin is not None), default=None)
    end = max((end for _, end in ends if end is not None), default=None)
    kept_s = horizon(connection, level)
    return LevelFigures(
        level=level,
        chunks=chunks,
        bytes=whole,
        oldest_s=None if oldest is None else max(oldest * SPANS_S[level], kept_s),
        newest_s=None if end is None else (end + 1) * SPANS_S[level],
        bytes_per_device_day=_per_device_day(connection, level, newest),
    )


def oldest_tick(connection: sqlite3.Connection) -> int | None:
    """Epoch second of the oldest tick that is not packed; None when there is none."""
    (found,) = connection.execute("SELECT min(at_s) FROM tick").fetchone()
    return None if found is None else int(found)


def _ends(connection: sqlite3.Connection, level: Level, block: int) -> tuple[int | None, int | None]:
    query = f"SELECT min(chunk), max(chunk) FROM {level.value} WHERE block = ? AND metric = ?"  # noqa: S608
    begin, end = connection.execute(query, (block, PRESENT)).fetchone()
    return begin, end


def _per_device_day(connection: sqlite3.Connection, level: Level, newest: str) -> float | None:
    """Bytes of the newest chunks of devices, by the days of devices that they tell of."""
    row = connection.execute(
        f"SELECT total(bytes), total((metric = {PRESENT}) * used) FROM ({newest}) "  # noqa: S608
        "JOIN block ON block.id = block WHERE kind = ?",
        (SeriesKind.DEVICE.value,),
    ).fetchone()
    its_bytes, device_chunks = row
    return its_bytes / (device_chunks * SPANS_S[level] / DAY_S) if device_chunks else None
