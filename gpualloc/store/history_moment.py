"""What is kept of one moment, and which moments there are: what somebody who goes back in time reads."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gpualloc.model.foresight import Steps
from gpualloc.model.sample import METRICS, Level, Metric, Sample
from gpualloc.store.history_packing import Bools, Floats, Ints, unpack
from gpualloc.store.history_pieces import unpacked_times
from gpualloc.store.history_reading import read_level, read_piece
from gpualloc.store.history_rolling import means
from gpualloc.store.history_series import NOT_KEPT, PRESENT, Block, metric_ids
from gpualloc.store.history_times import CHUNK_S, SPANS_S, horizon

_FOREVER_S = 1 << 62
_FINEST_FIRST = (Level.RAW, Level.MINUTE, Level.HOUR)
_COLUMN = {Level.RAW: "data", Level.MINUTE: "known", Level.HOUR: "known"}
"""Where a chunk says when anything was sampled."""
_Metrics = Sequence[tuple[Metric, int]]
"""With their numbers."""
_Window = tuple[float, float]
"""Epoch seconds, both ends included."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some time of a block of series; the rows are slots."""

    times: Ints
    """Epoch seconds, ascending."""
    present: Bools
    """Series x times: which were sampled at all."""
    columns: Sequence[tuple[str, Floats, Bools]]
    """Names of metrics, series x times, and where they are known; of the others nothing is."""

    def newest(self, slots: Collection[int]) -> list[tuple[int, int, Mapping[str, float | None]]]:
        """Of those of these slots that were sampled, when that was last, and the values."""
        if not self.present.size:
            return []
        sampled: Bools = np.any(self.present, axis=1)
        chosen = np.array([slot for slot in slots if slot < len(sampled) and sampled[slot]], np.int64)
        # Of equal ones argmax names the first: seen from behind that is the newest.
        places = len(self.times) - 1 - np.argmax(self.present[chosen, ::-1], axis=1)
        names = [name for name, _, _ in self.columns]
        lists = [_column(values[chosen, places], known[chosen, places]) for _, values, known in self.columns]
        rows = zip(*lists, strict=True) if lists else ((),) * len(chosen)
        times = self.times[places].tolist()
        return [
            (slot, at_s, dict(zip(names, row, strict=True)))
            for slot, at_s, row in zip(chosen.tolist(), times, rows, strict=True)
        ]


def _column(values: Floats, known: Bools) -> list[float | None]:
    numbers: list[float | None] = values.tolist()
    if known.all():
        return numbers
    return [number if certain else None for number, certain in zip(numbers, known.tolist(), strict=True)]


def level_of(connection: sqlite3.Connection, at_s: float) -> Level:
    """The finest level that still holds that moment."""
    kept = (level for level in _FINEST_FIRST if at_s >= horizon(connection, level))
    return next(kept, Level.HOUR)


def newest_samples(
    connection: sqlite3.Connection, block: Block, level: Level, at_s: float, reach_s: float
) -> Iterator[Sample]:
    """The newest sample or step of each series of a block at that moment, none that began more than `reach_s` before.

    Args:
        connection: in a snapshot.
        block: which, with a series at least; all of a block are of one kind.
        level: where to read; of a step the values are its means.
        at_s: the moment, epoch seconds; the step that it is in counts.
        reach_s: seconds, 0 or more.
    """
    numbers, left = metric_ids(connection), dict(block.series)
    kind = block.series[0][1].kind
    metrics = [(metric, numbers.get(metric.name, NOT_KEPT)) for metric in METRICS.values() if kind in metric.kinds]
    for read in _read(connection, block.id, metrics, level, (at_s - reach_s, at_s)):
        for slot, taken_s, values in read.newest(left):
            yield Sample(left.pop(slot), taken_s, values)
        if not left:
            return


def _read(
    connection: sqlite3.Connection, block: int, metrics: _Metrics, level: Level, window: _Window
) -> Iterator[_Piece]:
    """All that is kept of the window, piece by piece, the newest first."""
    if level is Level.RAW:
        for since_s, until_s in _chunks(*window):
            yield _samples(connection, block, metrics, since_s, until_s)
    else:
        yield _steps(connection, block, metrics, level, window)


def _chunks(since_s: float, until_s: float) -> Iterator[tuple[float, float]]:
    """The window by chunks, the newest first: most series have what is asked for in that one, and the rest is dear."""
    begins_s = until_s // CHUNK_S * CHUNK_S
    while begins_s > since_s:
        yield begins_s, until_s
        begins_s, until_s = begins_s - CHUNK_S, begins_s - 1
    yield since_s, until_s


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


def _samples(connection: sqlite3.Connection, block: int, metrics: _Metrics, since_s: float, until_s: float) -> _Piece:
    piece = read_piece(connection, block, [number for _, number in metrics], since_s, until_s)
    columns = []
    for metric, number in metrics:
        if number in piece.columns:
            values, known = piece.columns[number]
            columns.append((metric.name, values / metric.scale, known))
    return _Piece(piece.times, piece.present, columns)


def _steps(connection: sqlite3.Connection, block: int, metrics: _Metrics, level: Level, window: _Window) -> _Piece:
    first, last = (int(at_s // level.step_s) for at_s in window)
    steps = Steps(first * level.step_s, level.step_s, last - first + 1)
    found = read_level(connection, block, [number for _, number in metrics], level, steps, extremes=False)
    present = next(iter(found.values())).present > 0
    columns = []
    for metric, number in metrics:
        its = found[number].rolled
        if its.known.any():
            short = ((0, max(0, len(present) - len(its.known))), (0, 0))
            values = means(its.known, its.total, metric.scale)
            columns.append((metric.name, np.pad(values, short), np.pad(its.known > 0, short)))
    times = steps.since_s + level.step_s * np.arange(steps.count, dtype=np.int64)
    return _Piece(times, present, columns)
