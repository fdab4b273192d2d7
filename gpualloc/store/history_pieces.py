"""What is known of a block of series over a quarter of an hour: what was packed, and the ticks that came since."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct

from gpualloc.store.history_packing import Bools, Ints, carried, pack, unpack
from gpualloc.store.history_series import PRESENT
from gpualloc.store.history_ticks import CONSTANT, layout

_Matrix = TypeVar("_Matrix", Ints, Bools)

Column = tuple[Ints, Bools]
"""Values, and where they are known: series x times."""


class Piece(Struct, frozen=True):
    """Samples of a block of series; the rows are slots."""

    times: Ints
    """Epoch seconds, ascending."""
    present: Bools
    """Series x times: which were sampled at all."""
    columns: Mapping[int, Column]
    """By metric; one of which nothing is known may be missing."""

    def column(self, metric: int) -> Column:
        """Values of a metric, and where they are known."""
        found = self.columns.get(metric)
        if found is None:
            return np.zeros(self.present.shape, np.int64), np.zeros(self.present.shape, np.bool_)
        return found

    def points(self, metric: int, slot: int, scale: int) -> tuple[tuple[float, float | None], ...]:
        """(epoch seconds, value or None) of each sample of a series."""
        if slot >= len(self.present):
            return ()
        there = np.flatnonzero(self.present[slot])
        values, known = self.column(metric)
        times = self.times[there].astype(np.float64).tolist()
        numbers, certain = (values[slot, there] / scale).tolist(), known[slot, there]
        if certain.all():
            return tuple(zip(times, numbers, strict=True))
        return tuple(
            (at_s, value if is_known else None)
            for at_s, value, is_known in zip(times, numbers, certain.tolist(), strict=True)
        )

    def between(self, since_s: float, until_s: float) -> Piece:
        """The samples of these times, both ends included."""
        first = int(np.searchsorted(self.times, since_s, "left"))
        after = int(np.searchsorted(self.times, until_s, "right"))
        if first == 0 and after == len(self.times):
            return self
        columns = {
            metric: (values[:, first:after], known[:, first:after]) for metric, (values, known) in self.columns.items()
        }
        return Piece(self.times[first:after], self.present[:, first:after], columns)


def merged(packed: Mapping[int, bytes], ticks: Sequence[tuple[int, bytes]], metrics: Iterable[int]) -> Piece:
    """What was packed, with the ticks written over it in their order.

    Args:
        packed: bytes by metric, `PRESENT` among them; empty when nothing was packed.
        ticks: epoch second and bytes; a row of a series replaces all that is known of it at that second.
        metrics: which columns are wanted.
    """
    wanted = tuple(metrics)
    before = _unpacked(packed, wanted) if PRESENT in packed else None
    if not ticks:
        return before or Piece(np.empty(0, np.int64), np.empty((0, 0), np.bool_), {})
    own = np.unique(np.array([at_s for at_s, _ in ticks], np.int64))
    times = own if before is None else np.union1d(before.times, own)
    series = max(max(data[1 : 1 + data[0]]) + 1 for _, data in ticks)
    canvas = _Canvas(times, max(series, 0 if before is None else len(before.present)), wanted)
    if before is not None:
        canvas.begin_with(before)
    places = np.searchsorted(times, [at_s for at_s, _ in ticks]).tolist()
    for place, (_, data) in zip(places, ticks, strict=True):
        canvas.draw(place, data)
    return canvas.piece()


def packed_presence(piece: Piece) -> bytes:
    """Times and who was sampled, as bytes."""
    times = pack(piece.times[None, :])
    return struct.pack("<I", len(times)) + times + pack(piece.present.astype(np.int64))


def packed_column(piece: Piece, metric: int) -> bytes | None:
    """The values of a metric as bytes; None when nothing is known."""
    values, known = piece.column(metric)
    if not known.any():
        return None
    return pack(carried(values, known), None if np.array_equal(known, piece.present) else known)


def unpacked_presence(data: bytes) -> tuple[Ints, Bools]:
    """Times, and who was sampled: series x times."""
    (length,) = struct.unpack_from("<I", data)
    times, _ = unpack(data[4 : 4 + length])
    present, _ = unpack(data[4 + length :])
    return times[0].astype(np.int64), present.astype(np.bool_)


def unpacked_times(data: bytes) -> Ints:
    """The times alone."""
    (length,) = struct.unpack_from("<I", data)
    times: Ints = unpack(data[4 : 4 + length])[0][0].astype(np.int64)
    return times


def joined(pieces: Sequence[Piece], metrics: Iterable[int]) -> Piece:
    """Pieces of a block that follow each other, as one."""
    if len(pieces) == 1:
        return pieces[0]
    series = max((len(piece.present) for piece in pieces), default=0)
    present = [_padded(piece.present, series) for piece in pieces]
    columns = {}
    for metric in metrics:
        parts = [piece.column(metric) for piece in pieces if metric in piece.columns]
        if parts:
            both = [piece.column(metric) for piece in pieces]
            columns[metric] = (
                np.concatenate([_padded(values, series) for values, _ in both], axis=1),
                np.concatenate([_padded(known, series) for _, known in both], axis=1),
            )
    empty = np.empty(0, np.int64), np.empty((0, 0), np.bool_)
    times = np.concatenate([piece.times for piece in pieces]) if pieces else empty[0]
    return Piece(times, np.concatenate(present, axis=1) if pieces else empty[1], columns)


class _Canvas:
    """Times x series, drawn tick by tick."""

    def __init__(self, times: Ints, series: int, metrics: Sequence[int]) -> None:
        shape = len(times), series
        self._times = times
        self._present = np.zeros(shape, np.bool_)
        self._values = {metric: np.zeros(shape, np.int64) for metric in metrics}
        self._known = {metric: np.zeros(shape, np.bool_) for metric in metrics}

    def begin_with(self, piece: Piece) -> None:
        places, series = np.searchsorted(self._times, piece.times), len(piece.present)
        self._present[places, :series] = piece.present.T
        for metric, (values, known) in piece.columns.items():
            self._values[metric][places, :series] = values.T
            self._known[metric][places, :series] = known.T

    def draw(self, place: int, data: bytes) -> None:
        count = data[0]
        at = 2 + count + 3 * data[1 + count]
        columns = layout(data[2 + count : at], count)
        slots: slice | Ints = slice(count)
        if data[1 : 1 + count] != _ALL[:count]:
            slots = np.frombuffer(data, np.uint8, count, 1).astype(np.int64)
        again = self._present[place, slots].any()
        self._present[place, slots] = True
        for metric, values in self._values.items():
            code, begins = columns.get(metric, ("", 0))
            if code:
                self._draw_column(place, slots, metric, _numbers(data, code, at + begins, count))
            elif again:
                self._known[metric][place, slots] = False
                values[place, slots] = 0

    def _draw_column(self, place: int, slots: slice | Ints, metric: int, numbers: tuple[Ints, Bools | bool]) -> None:
        self._values[metric][place, slots], self._known[metric][place, slots] = numbers

    def piece(self) -> Piece:
        columns = {
            metric: (np.ascontiguousarray(values.T), np.ascontiguousarray(self._known[metric].T))
            for metric, values in self._values.items()
            if self._known[metric].any()
        }
        return Piece(self._times, np.ascontiguousarray(self._present.T), columns)


_ALL = bytes(range(256))
_KINDS = {"b": "<i1", "h": "<i2", "i": "<i4", "q": "<i8"}


def _numbers(data: bytes, code: str, at: int, count: int) -> tuple[Ints, Bools | bool]:
    """The numbers of a column, and which are known."""
    if code == CONSTANT:
        return np.frombuffer(data, "<i8", 1, at), True
    numbers = np.frombuffer(data, _KINDS[code.lower()], count, at)
    if code.islower():
        return numbers, True
    known = numbers != np.iinfo(numbers.dtype).min
    return np.where(known, numbers, 0), known


def _unpacked(packed: Mapping[int, bytes], metrics: Sequence[int]) -> Piece:
    times, present = unpacked_presence(packed[PRESENT])
    columns: dict[int, Column] = {}
    for metric in metrics:
        if metric in packed:
            values, known = unpack(packed[metric])
            columns[metric] = (values.astype(np.int64, copy=False), present if known is None else known)
    return Piece(times, present, columns)


def _padded(matrix: _Matrix, series: int) -> _Matrix:
    short = series - len(matrix)
    if not short:
        return matrix
    whole: _Matrix = np.pad(matrix, ((0, short), (0, 0)))
    return whole
