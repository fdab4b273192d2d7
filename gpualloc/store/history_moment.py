"""Which moments there are of which anything is kept, and how finely: what somebody who goes back in time asks."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator

import numpy as np

from gpualloc.model.sample import Level
from gpualloc.store.history_packing import Ints, unpack
from gpualloc.store.history_pieces import unpacked_times
from gpualloc.store.history_series import PRESENT
from gpualloc.store.history_times import SPANS_S, horizon

_FOREVER_S = 1 << 62
_FINEST_FIRST = (Level.RAW, Level.MINUTE, Level.HOUR)
_COLUMN = {Level.RAW: "data", Level.MINUTE: "known", Level.HOUR: "known"}
"""Where a chunk says when anything was sampled."""


def level_of(connection: sqlite3.Connection, at_s: float) -> Level:
    """The finest level that still holds that moment."""
    kept = (level for level in _FINEST_FIRST if at_s >= horizon(connection, level))
    return next(kept, Level.HOUR)


def neighbours(connection: sqlite3.Connection, at_s: float) -> tuple[int | None, int | None]:
    """The moments nearest to that one, before and after it, of which anything is kept; a step is where it begins."""
    blocks = [number for (number,) in connection.execute("SELECT id FROM block")]
    windows = _windows(connection)
    before = after = None
    for level, first, last in windows:
        if before is None:
            before = _last(connection, blocks, level, (first, min(last, math.ceil(at_s) - 1)))
        # The coarser a level, the earlier its time: what it finds comes before what a finer one found.
        later = _first(connection, blocks, level, (max(first, math.floor(at_s) + 1), last))
        after = after if later is None else later
    return before, after


def _windows(connection: sqlite3.Connection) -> list[tuple[Level, int, int]]:
    """The time of which each level tells, because no finer one does, in whole seconds."""
    windows, until_s = [], _FOREVER_S
    for level in _FINEST_FIRST:
        since_s = horizon(connection, level)
        windows.append((level, since_s, until_s - 1))
        until_s = min(until_s, since_s)
    return windows


def _last(connection: sqlite3.Connection, blocks: Iterable[int], level: Level, window: tuple[int, int]) -> int | None:
    found = [at_s for block in blocks for at_s in _edges(connection, block, level, window, "DESC")]
    return max(found, default=None)


def _first(connection: sqlite3.Connection, blocks: Iterable[int], level: Level, window: tuple[int, int]) -> int | None:
    found = [at_s for block in blocks for at_s in _edges(connection, block, level, window, "ASC")]
    return min(found, default=None)


def _edges(
    connection: sqlite3.Connection, block: int, level: Level, window: tuple[int, int], order: str
) -> Iterator[int]:
    """The moment of a block nearest to one end of the window, once of its ticks and once of what is packed."""
    low, high = window
    if low > high:
        return
    pick = max if order == "DESC" else min
    if level is Level.RAW:
        query = f"SELECT {pick.__name__}(at_s) FROM tick WHERE block = ? AND at_s BETWEEN ? AND ?"  # noqa: S608 (constants)
        yield from (at_s for (at_s,) in connection.execute(query, (block, low, high)) if at_s is not None)
    # A chunk at the end of the window may have all its moments outside of it; the one beside it has none there.
    query = (
        f"SELECT chunk, {_COLUMN[level]} FROM {level.value} WHERE block = ? AND metric = ? AND chunk BETWEEN ? AND ? "  # noqa: S608 (constants)
        f"ORDER BY chunk {order} LIMIT 2"
    )
    span = SPANS_S[level]
    for chunk, data in connection.execute(query, (block, PRESENT, low // span, high // span)):
        moments = _moments(level, chunk, data)
        inside = moments[(moments >= low) & (moments <= high)]
        if len(inside):
            yield int(pick(inside))
            return


def _moments(level: Level, chunk: int, data: bytes) -> Ints:
    """When anything was sampled in a chunk, ascending; of rollups the beginnings of steps."""
    if level is Level.RAW:
        return unpacked_times(data)
    counts, _ = unpack(data)
    steps: Ints = np.flatnonzero(counts.any(axis=0)) * level.step_s + chunk * SPANS_S[level]
    return steps
