"""The newest sample of each series at a moment: of what is packed, only that one time is made whole again."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
from msgspec import Struct

from gpualloc.model.sample import METRICS, Level, Metric, Sample
from gpualloc.store.history_packing import Bools, Floats, Ints, unpack_time
from gpualloc.store.history_pieces import unpacked_presence
from gpualloc.store.history_reading import read_piece, read_stored
from gpualloc.store.history_rolling import means
from gpualloc.store.history_series import NOT_KEPT, PRESENT, Block, metric_ids
from gpualloc.store.history_times import CHUNK_S, SPANS_S, horizon

_Metrics = Sequence[tuple[Metric, int]]
"""With their numbers."""
_Window = tuple[float, float]
"""Epoch seconds, both ends included."""
_Columns = Sequence[tuple[str, Floats, Bools]]
"""Names of metrics, with a value for each series at one time, and where it is known; of other metrics nothing is."""
_Found = tuple[int, int, Mapping[str, float | None]]
"""Slot, epoch second, and values by metric."""


class _Piece(Struct, frozen=True):
    """Some time of a block of series; the rows are slots."""

    times: Ints
    """Epoch seconds, ascending."""
    present: Bools
    """Series x times: which were sampled at all."""
    columns: Callable[[int], _Columns]
    """What is known at one of the times, by its place."""

    def newest(self, slots: Collection[int]) -> Iterator[_Found]:
        """Of those of these slots that were sampled, the newest sample."""
        if not self.present.size:
            return
        sampled: Bools = np.any(self.present, axis=1)
        chosen = np.array([slot for slot in slots if slot < len(sampled) and sampled[slot]], np.int64)
        # Of equal ones argmax names the first: seen from behind that is the newest.
        places = len(self.times) - 1 - np.argmax(self.present[chosen, ::-1], axis=1)
        for place in np.unique(places)[::-1].tolist():
            its = chosen[places == place]
            columns = self.columns(place)
            lists = [_listed(values[its], known[its]) for _, values, known in columns]
            names, at_s = [name for name, _, _ in columns], int(self.times[place])
            rows = zip(*lists, strict=True) if lists else ((),) * len(its)
            for slot, row in zip(its.tolist(), rows, strict=True):
                yield slot, at_s, dict(zip(names, row, strict=True))


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
    for piece in _pieces(connection, block.id, metrics, level, (at_s - reach_s, at_s)):
        for slot, taken_s, values in piece.newest(left):
            yield Sample(left.pop(slot), taken_s, values)
        if not left:
            return


def _listed(values: Floats, known: Bools) -> list[float | None]:
    numbers: list[float | None] = values.tolist()
    if known.all():
        return numbers
    return [number if certain else None for number, certain in zip(numbers, known.tolist(), strict=True)]


def _pieces(
    connection: sqlite3.Connection, block: int, metrics: _Metrics, level: Level, window: _Window
) -> Iterator[_Piece]:
    """All that is kept of the window, the newest first."""
    if level is not Level.RAW:
        yield from _steps(connection, block, metrics, level, window)
        return
    since_s, until_s = max(math.ceil(window[0]), horizon(connection, Level.RAW)), math.floor(window[1])
    query = "SELECT 1 FROM tick WHERE block = ? AND at_s BETWEEN ? AND ? LIMIT 1"
    # By chunks: most series have what is asked for in the newest one, and each is dear.
    while since_s <= until_s:
        begins_s = max(since_s, until_s // CHUNK_S * CHUNK_S)
        if connection.execute(query, (block, begins_s, until_s)).fetchone():
            yield _samples(connection, block, metrics, begins_s, until_s)
        else:
            yield from _packed(connection, block, metrics, begins_s, until_s)
        until_s = begins_s - 1


def _packed(
    connection: sqlite3.Connection, block: int, metrics: _Metrics, since_s: int, until_s: int
) -> Iterator[_Piece]:
    """A part of one chunk of which nothing waits to be packed."""
    chunk = until_s // CHUNK_S
    stored = read_stored(connection, block, chunk, chunk, [number for _, number in metrics]).get(chunk, {})
    if PRESENT not in stored:
        return
    times, present = unpacked_presence(stored[PRESENT])
    first, after = int(np.searchsorted(times, since_s, "left")), int(np.searchsorted(times, until_s, "right"))

    def columns(place: int) -> _Columns:
        found = []
        for metric, number in metrics:
            if number in stored:
                values, known = unpack_time(stored[number], first + place)
                found.append(
                    (metric.name, values / metric.scale, present[:, first + place] if known is None else known)
                )
        return found

    yield _Piece(times[first:after], present[:, first:after], columns)


def _samples(connection: sqlite3.Connection, block: int, metrics: _Metrics, since_s: int, until_s: int) -> _Piece:
    """A part of one chunk of which something waits to be packed."""
    piece = read_piece(connection, block, [number for _, number in metrics], since_s, until_s)
    its = [
        (metric.name, piece.columns[number][0] / metric.scale, piece.columns[number][1])
        for metric, number in metrics
        if number in piece.columns
    ]
    return _Piece(piece.times, piece.present, partial(_at_one_time, its))


def _steps(
    connection: sqlite3.Connection, block: int, metrics: _Metrics, level: Level, window: _Window
) -> Iterator[_Piece]:
    """Each step that is in the window or reaches into it; all were rolled while there were samples of them."""
    oldest = -(-horizon(connection, level) // level.step_s)
    first, last = (int(at_s // level.step_s) for at_s in window)
    for step in range(last, max(first, oldest) - 1, -1):
        read = _Step(connection, block, level, step)
        counts = read.figures(PRESENT)
        if counts is not None:
            present: Bools = counts[0] > 0
            columns = partial(read.columns, metrics, len(present))
            yield _Piece(np.array([step * level.step_s], np.int64), present[:, None], columns)


class _Step(Struct, frozen=True):
    """One step of a rollup of a block."""

    connection: sqlite3.Connection
    block: int
    level: Level
    number: int
    """Since the epoch."""

    def figures(self, metric: int) -> tuple[Ints, Ints | Floats] | None:
        """Of each series how many samples are known, and their sum; None when nothing is known of the metric."""
        chunk, place = divmod(self.number, SPANS_S[self.level] // self.level.step_s)
        query = f"SELECT known, total FROM {self.level.value} WHERE block = ? AND metric = ? AND chunk = ?"  # noqa: S608 (constants)
        row = self.connection.execute(query, (self.block, metric, chunk)).fetchone()
        if row is None:
            return None
        known, total = (None if data is None else unpack_time(data, place)[0] for data in row)
        assert known is not None
        counts = known.astype(np.int64, copy=False)
        return counts, counts if total is None else total

    def columns(self, metrics: _Metrics, series: int, _place: int) -> _Columns:
        """The means of so many series; a step has one place."""
        columns = []
        for metric, number in metrics:
            figures = self.figures(number)
            if figures is not None and figures[0].any():
                known, total = figures
                # One that came later may have been told nothing of this metric.
                short = (0, series - len(known))
                values, sure = means(known, total, metric.scale), known > 0
                if short[1] > 0:
                    values, sure = np.pad(values, short), np.pad(sure, short)
                columns.append((metric.name, values, sure))
        return columns


def _at_one_time(columns: _Columns, place: int) -> _Columns:
    """Of series x times what is known at one of these."""
    return [(name, values[:, place], known[:, place]) for name, values, known in columns]
