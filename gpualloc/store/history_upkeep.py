"""What keeps history.db small: packing, rolling and pruning, each in steps that take milliseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress

from gpualloc.errors import LockedError, StateError
from gpualloc.model.sample import Level
from gpualloc.store import past_alerts, past_events, past_forecasts
from gpualloc.store.database import DamagedError, Database
from gpualloc.store.history_series import PRESENT, metric_ids, newest_ticks
from gpualloc.store.history_times import CHUNK_S, HOUR_S, SPANS_S, move_horizon

GRACE_S = 60
"""How long after its end a chunk is left to ticks that come late; later ones cost a chunk packed again."""
STEPS_SHARE = 32
"""One part in so many of what waits is done after each tick, and one step at least."""
_OLD = "WHERE block = ?1 AND metric = ?2 AND chunk < ?3"
_OLD_RAW = f"{_OLD} AND chunk * {CHUNK_S} / {HOUR_S} NOT IN (SELECT chunk FROM due WHERE block = ?1)"  # noqa: S608 (constants)
_OLD_SAMPLES = f"SELECT coalesce(sum(samples), 0) FROM raw {_OLD_RAW}"  # noqa: S608 (constants)
_FORGET = {
    Level.RAW: f"DELETE FROM raw {_OLD_RAW}",  # noqa: S608 (constants)
    Level.MINUTE: f"DELETE FROM minute {_OLD}",  # noqa: S608 (constants)
    Level.HOUR: f"DELETE FROM hour {_OLD}",  # noqa: S608 (constants)
}

Work = tuple[Callable[[sqlite3.Connection, int, int], None], int, int]
"""What to do with a block and a chunk, or an hour."""


def waiting_chunks(database: Database, before_s: float) -> list[tuple[int, int]]:
    """Blocks and chunks that ended before then and have ticks, oldest first."""
    query = "SELECT block, at_s / ?1 FROM tick GROUP BY 1, 2 HAVING (at_s / ?1 + 1) * ?1 <= ?2 ORDER BY 2, 1"
    return [(block, chunk) for block, chunk in database.rows(query, (CHUNK_S, before_s))]


def due_hours(database: Database, before_s: float) -> list[tuple[int, int]]:
    """Blocks and hours that ended before then and are to be rolled, oldest first."""
    query = "SELECT block, chunk FROM due WHERE (chunk + 1) * ?1 <= ?2 ORDER BY 2, 1"
    return [(block, hour) for block, hour in database.rows(query, (HOUR_S, before_s))]


def keep_up(database: Database, now_s: int) -> None:
    """Do a share of what waits; where that is not possible now, the next tick will. What is damaged is passed over."""
    with suppress(LockedError, StateError):
        work = waiting_work(database, now_s - GRACE_S)
        left = -(-len(work) // STEPS_SHARE)
        for step in work:
            if left == 0:
                break
            with suppress(DamagedError):
                do(database, step)
                left -= 1


def finish(database: Database, before_s: float, tell: Callable[[int, int], None] | None = None) -> int:
    """Do all that waits of the time before then; returns how many steps that were.

    Raises:
        StateError: it cannot be written, or is damaged.
        LockedError: another process kept writing.
    """
    done = 0
    while work := waiting_work(database, before_s):
        for place, step in enumerate(work):
            do(database, step)
            if tell is not None:
                tell(done + place + 1, done + len(work))
        done += len(work)
    return done


def waiting_work(database: Database, before_s: float) -> list[Work]:
    """What can be packed, and then rolled, of the time before then."""
    chunks, hours = waiting_chunks(database, before_s), due_hours(database, before_s)
    if not chunks and not hours:
        return []
    # It brings numpy, which most commands that store a tick do not need.
    from gpualloc.store.history_compaction import compact, roll

    return [*((compact, *one) for one in chunks), *((roll, *one) for one in hours)]


def do(database: Database, work: Work) -> None:
    """One step, in a transaction of its own."""
    action, block, chunk = work
    with database.transaction() as connection:
        action(connection, block, chunk)


def _everything(database: Database, before_s: float) -> Iterator[Work]:
    """Each step once, also those that only came about by others."""
    seen: set[Work] = set()
    while new := [step for step in waiting_work(database, before_s) if step not in seen]:
        seen.update(new)
        yield from new


def prune(database: Database, bounds: dict[Level, int], forecasts_before_s: float) -> int:
    """Forget samples, rollups and forecasts from before their bounds; a transaction for each block. Returns samples."""
    for step in _everything(database, bounds[Level.RAW]):
        with suppress(DamagedError):
            do(database, step)
    with database.transaction() as connection:
        for level, before_s in bounds.items():
            move_horizon(connection, level, before_s)
        for past in (past_forecasts, past_events, past_alerts):
            past.prune(connection, forecasts_before_s)
    deleted = 0
    for (block,) in database.rows("SELECT id FROM block"):
        with database.transaction() as connection:
            deleted += _prune_ticks(connection, block, bounds[Level.RAW])
            deleted += _prune_chunks(connection, block, bounds)
            _prune_series(connection, block, bounds[Level.HOUR])
    return deleted


def _prune_ticks(connection: sqlite3.Connection, block: int, before_s: int) -> int:
    query = "SELECT id, substr(data, 1, 1) FROM tick WHERE block = ? AND at_s < ?"
    rows = connection.execute(query, (block, before_s)).fetchall()
    connection.executemany("DELETE FROM tick WHERE id = ?", [(number,) for number, _ in rows])
    return sum(head[0] for _, head in rows)


def _prune_chunks(connection: sqlite3.Connection, block: int, bounds: dict[Level, int]) -> int:
    """Delete whole chunks, but for those of an hour that is not over; returns how many samples were in them."""
    # An hour that could not be rolled by now is damaged.
    connection.execute("DELETE FROM due WHERE block = ? AND chunk < ?", (block, bounds[Level.RAW] // HOUR_S))
    (samples,) = connection.execute(_OLD_SAMPLES, (block, PRESENT, bounds[Level.RAW] // CHUNK_S)).fetchone()
    metrics = (PRESENT, *metric_ids(connection).values())
    for level, before_s in bounds.items():
        its = [(block, metric, before_s // SPANS_S[level]) for metric in metrics]
        connection.executemany(_FORGET[level], its)
    return int(samples)


def _prune_series(connection: sqlite3.Connection, block: int, before_s: int) -> None:
    """Delete the series of which nothing is left, and the block when it has none."""
    recent = newest_ticks(connection, block)
    query = "SELECT id, slot FROM series WHERE block = ? AND (newest_s IS NULL OR newest_s < ?)"
    gone = [(number,) for number, slot in connection.execute(query, (block, before_s)) if slot not in recent]
    connection.executemany("DELETE FROM series WHERE id = ?", gone)
    connection.execute("UPDATE series SET oldest_s = ?1 WHERE block = ?2 AND oldest_s < ?1", (before_s, block))
    if not connection.execute("SELECT 1 FROM series WHERE block = ? LIMIT 1", (block,)).fetchone():
        for table in ("tick", "raw", "minute", "hour", "due"):
            connection.execute(f"DELETE FROM {table} WHERE block = ?", (block,))  # noqa: S608 (constants)
        connection.execute("DELETE FROM block WHERE id = ?", (block,))
