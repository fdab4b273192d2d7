"""The newest sample of each series at a moment: of what is packed, only that one time is made whole again."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gpualloc.model.foresight import Steps
from gpualloc.model.sample import METRICS, Level, Metric, Sample
from gpualloc.store.history_packing import Bools, Floats, Ints, unpack_time
from gpualloc.store.history_pieces import unpacked_presence
from gpualloc.store.history_reading import read_level, read_piece, read_stored
from gpualloc.store.history_rolling import means
from gpualloc.store.history_series import NOT_KEPT, PRESENT, Block, metric_ids
from gpualloc.store.history_times import CHUNK_S, horizon

_Metrics = Sequence[tuple[Metric, int]]
"""With their numbers."""
_Window = tuple[float, float]
"""Epoch seconds, both ends included."""
_Columns = Sequence[tuple[str, Floats, Bools]]
"""Names of metrics, with a value for each series at one time, and where it is known; of other metrics nothing is."""
_Found = tuple[int, int, Mapping[str, float | None]]
"""Slot, epoch second, and values by metric."""


@dataclass(frozen=True, slots=True)
class _Piece:
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
        yield _steps(connection, block, metrics, level, window)
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
    return _Piece(piece.times, piece.present, _of_matrices(its))


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
    return _Piece(times, present, _of_matrices(columns))


def _of_matrices(columns: _Columns) -> Callable[[int], _Columns]:
    """What is known at one time, of series x times."""
    return lambda place: [(name, values[:, place], known[:, place]) for name, values, known in columns]
