"""Whole numbers of many series and times in few bytes, and back.

A matrix (series x times) is shifted to begin at 0, divided by what divides all of it, and kept as it is or as steps
from time to time, whichever is smaller. Its bytes are deflated by place, low bytes apart from high ones, since the low
ones are noise and the high ones hardly change.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from gpualloc.store.database import DamagedError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_HEAD = struct.Struct("<BBHHqq")
"""What is in it (flags), bytes of a number, series, times, the least, and what all was divided by."""
_CONSTANT, _STEPS, _GAPS, _DOUBLES, _WHOLE = 1, 2, 4, 8, 16
_WIDEST = 1 << 62
"""Numbers that lie further apart are kept as they are."""
_LEVEL = 6
_TRIED = 8
"""One series in so many is packed both ways, to see which is smaller."""


def pack(values: Ints | Floats, known: Bools | None = None) -> bytes:
    """The matrix as bytes.

    Args:
        values: series x times, at least one of each. What is unknown takes the least room when it is as before.
        known: where they are known; None: everywhere, or whoever reads it knows.
    """
    flags, parts = 0, []
    if known is not None:
        flags |= _GAPS
        parts.append(_deflated(np.packbits(known).tobytes()))
    least, unit, width = 0, 1, 0
    if values.dtype == np.float64:
        flags, width = flags | _DOUBLES, 8
        parts += _planes(values)
    else:
        values = values.astype(np.int64, copy=False)
        least, greatest = int(values.min()), int(values.max())
        if least == greatest:
            flags |= _CONSTANT
        elif greatest - least >= _WIDEST:
            flags, least, width = flags | _WHOLE, 0, 8
            parts += _planes(values)
        else:
            unit, shifted = _divided(values - least)
            steps, width, planes = _smaller(shifted)
            flags |= _STEPS if steps else 0
            parts += planes
    lengths = struct.pack(f"<B{len(parts)}I", len(parts), *map(len, parts))
    return _HEAD.pack(flags, width, *values.shape, least, unit) + lengths + b"".join(parts)


def unpack(data: bytes) -> tuple[Ints | Floats, Bools | None]:
    """The matrix, and where it is known if that was given.

    Raises:
        DamagedError: the bytes are not what was packed.
    """
    try:
        return _unpack(data)
    except (zlib.error, struct.error, ValueError, IndexError, MemoryError) as error:
        raise DamagedError(f"packed samples cannot be read ({error})") from error


def unpack_time(data: bytes, place: int) -> tuple[Ints | Floats, Bools | None]:
    """One time of the matrix: of each series its value, and where they are known if that was given.

    Args:
        data: as it was packed.
        place: which time, from 0 on.

    Raises:
        DamagedError: the bytes are not what was packed.
    """
    try:
        return _unpack_time(data, place)
    except (zlib.error, struct.error, ValueError, IndexError, MemoryError) as error:
        raise DamagedError(f"packed samples cannot be read ({error})") from error


def _unpack_time(data: bytes, place: int) -> tuple[Ints | Floats, Bools | None]:
    flags, width, series, times, least, unit = _HEAD.unpack_from(data)
    parts = _inflated(data)
    known = None
    if flags & _GAPS:
        bits = np.frombuffer(parts.pop(0), np.uint8)
        known = np.unpackbits(bits, count=series * times).reshape(series, times)[:, place].astype(np.bool_)
    if flags & _CONSTANT:
        return np.full(series, least, np.int64), known
    if flags & (_DOUBLES | _WHOLE):
        kind = "<f8" if flags & _DOUBLES else "<i8"
        planes = [part[place::times] for part in parts]
        return _joined(planes, kind).astype(kind), known
    values = np.zeros(series, np.int64)
    if flags & _STEPS:
        values += np.frombuffer(parts.pop(0), "<i8")
    for number, part in enumerate(parts):
        # Only the highest byte of a step has a sign.
        signed = flags & _STEPS and number == width - 1
        plane = np.frombuffer(part, np.int8 if signed else np.uint8).reshape(series, -1)
        wanted = plane[:, :place].sum(axis=1, dtype=np.int64) if flags & _STEPS else plane[:, place].astype(np.int64)
        values += wanted << 8 * number
    return values * unit + least, known


def _unpack(data: bytes) -> tuple[Ints | Floats, Bools | None]:
    flags, width, series, times, least, unit = _HEAD.unpack_from(data)
    parts = _inflated(data)
    known = None
    if flags & _GAPS:
        bits = np.frombuffer(parts.pop(0), np.uint8)
        known = np.unpackbits(bits, count=series * times).reshape(series, times).astype(np.bool_)
    if flags & _CONSTANT:
        return np.full((series, times), least, np.int64), known
    if flags & _DOUBLES:
        return _joined(parts, "<f8").reshape(series, times).astype(np.float64), known
    if flags & _WHOLE:
        return _joined(parts, "<i8").reshape(series, times).astype(np.int64), known
    values = np.empty((series, times), np.int64)
    if flags & _STEPS:
        values[:, 0] = np.frombuffer(parts.pop(0), "<i8")
        values[:, 1:] = _joined(parts, f"<i{width}").reshape(series, times - 1)
        np.cumsum(values, axis=1, out=values)
    else:
        values[:] = _joined(parts, f"<u{width}").reshape(series, times)
    if unit != 1:
        values *= unit
    if least:
        values += least
    return values, known


def carried(values: Ints, known: Bools) -> Ints:
    """The values with each unknown one as the known one before it (else the next, else 0): it takes the least room."""
    if known.all():
        return values
    places = np.where(known, np.arange(values.shape[1]), -1)
    np.maximum.accumulate(places, axis=1, out=places)
    first = np.argmax(known, axis=1)
    places = np.where(places < 0, first[:, None], places)
    filled: Ints = np.take_along_axis(values, places, axis=1)
    filled[~known.any(axis=1)] = 0
    return filled


def _divided(values: Ints) -> tuple[int, Ints]:
    """What divides all of them, and them divided; they begin at 0 and are not all 0."""
    some = int(np.gcd.reduce(values[0])) or int(np.gcd.reduce(values, axis=None))
    if some > 1 and (values % some).any():
        some = int(np.gcd.reduce(values, axis=None))
    return some, values // some if some > 1 else values


def _smaller(values: Ints) -> tuple[bool, int, list[bytes]]:
    """Whether steps from time to time are smaller, the bytes of a number, and the deflated parts."""
    if values.shape[1] > 1 and _size(_as_steps(values[::_TRIED])) < _size(_as_they_are(values[::_TRIED])):
        return (True, *_as_steps(values))
    return (False, *_as_they_are(values))


def _as_they_are(values: Ints) -> tuple[int, list[bytes]]:
    width = _width(int(values.max()))
    return width, _planes(values.astype(f"<u{width}"))


def _as_steps(values: Ints) -> tuple[int, list[bytes]]:
    steps = np.diff(values, axis=1)
    width = _width(2 * max(int(steps.max()), -int(steps.min())) + 1)
    first = _deflated(values[:, 0].astype("<i8").tobytes())
    return width, [first, *_planes(steps.astype(f"<i{width}"))]


def _size(packed: tuple[int, list[bytes]]) -> int:
    return sum(map(len, packed[1]))


def _width(greatest: int) -> int:
    return next(width for width in (1, 2, 4, 8) if greatest < 1 << 8 * width)


def _planes(values: NDArray[np.generic]) -> list[bytes]:
    """All lowest bytes deflated, then all next ones, and so on."""
    width = values.dtype.itemsize
    by_place = np.ascontiguousarray(values).view(np.uint8).reshape(-1, width).T
    return [_deflated(np.ascontiguousarray(place).tobytes()) for place in by_place]


def _joined(planes: list[bytes], kind: str) -> NDArray[np.generic]:
    if len(planes) == 1:
        return np.frombuffer(planes[0], kind)
    by_place = np.frombuffer(b"".join(planes), np.uint8).reshape(len(planes), -1)
    return np.ascontiguousarray(by_place.T).view(kind).ravel()


def _deflated(part: bytes) -> bytes:
    return zlib.compress(part, _LEVEL, -15)


def _inflated(data: bytes) -> list[bytes]:
    count = data[_HEAD.size]
    at = _HEAD.size + 1 + 4 * count
    parts = []
    for length in struct.unpack_from(f"<{count}I", data, _HEAD.size + 1):
        parts.append(zlib.decompress(data[at : at + length], -15))
        at += length
    return parts
