"""A tick of a block of series as it is written first: appended as it comes, and packed later.

    slots (a byte each, after their number), number of columns,
    for each column: number of the metric, code; then the columns: little-endian whole numbers, one for each slot

The codes b h i q say how wide the numbers are; in upper case, the least number of that width stands for unknown.
K is one number for all slots. A metric without a column is unknown of all of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from gpualloc.model.sample import METRICS, Metric, Sample, SeriesKind
from gpualloc.store.history_series import Place

WIDTHS = {"b": 1, "h": 2, "i": 4, "q": 8}
CONSTANT = "K"
_LARGEST = (1 << 63) - 1
_COLUMNS = {kind: tuple(metric for metric in METRICS.values() if kind in metric.kinds) for kind in SeriesKind}


def tick_rows(
    samples: Iterable[Sample], place_of: Callable[[Sample], Place], metrics: dict[str, int]
) -> list[tuple[int, int, bytes]]:
    """(block, epoch second, bytes) of each block and tick.

    Raises:
        KeyError: a sample has a value for something that is not in METRICS.
    """
    gathered: dict[tuple[int, int, SeriesKind], dict[int, Sample]] = {}
    for sample in samples:
        if not sample.values.keys() <= METRICS.keys():
            raise KeyError(next(name for name in sample.values if name not in METRICS))
        block, slot = place_of(sample)
        gathered.setdefault((block, sample.at_s, sample.series.kind), {})[slot] = sample
    return [(block, at_s, _tick(by_slot, _COLUMNS[kind], metrics)) for (block, at_s, kind), by_slot in gathered.items()]


@lru_cache(maxsize=4096)
def layout(head: bytes, slots: int) -> dict[int, tuple[str, int]]:
    """By metric, the code of its column and where it begins, counted from the end of the head."""
    columns, at = {}, 0
    for number, code in struct.iter_unpack("<Hc", head):
        columns[number] = (code.decode("ascii"), at)
        at += 8 if code == b"K" else WIDTHS[code.decode("ascii").lower()] * slots
    return columns


def _tick(by_slot: dict[int, Sample], columns: Sequence[Metric], metrics: dict[str, int]) -> bytes:
    values = [sample.values for sample in by_slot.values()]
    heads, bodies = [], []
    for metric in columns:
        name = metric.name
        encoded = _column([its.get(name) for its in values], metric.scale)
        if encoded is not None:
            heads.append(struct.pack("<Hc", metrics[name], encoded[0]))
            bodies.append(encoded[1])
    return b"".join((bytes((len(by_slot), *by_slot)), bytes((len(heads),)), *heads, *bodies))


def _column(values: list[float | None], scale: int) -> tuple[bytes, bytes] | None:
    """Code and bytes; None when nothing is known."""
    try:
        numbers = [None if value is None else round(value * scale) for value in values]
    except (ValueError, OverflowError):
        numbers = [_stored(value, scale) for value in values]
    known = [number for number in numbers if number is not None]
    if not known:
        return None
    least, greatest = min(known), max(known)
    if least < -_LARGEST or greatest > _LARGEST:
        return _column([_stored(value, scale) for value in values], 1)
    whole = len(known) == len(numbers)
    if whole and least == greatest:
        return b"K", struct.pack("<q", least)
    code, unknown = _width(least, greatest)
    if not whole:
        numbers, code = [unknown if number is None else number for number in numbers], code.upper()
    return code.encode("ascii"), struct.pack(f"<{len(numbers)}{code.lower()}", *numbers)


def _stored(value: float | None, scale: int) -> int | None:
    """A value that is not finite or beyond 64 bits is unknown."""
    try:
        number = None if value is None else round(value * scale)
    except (ValueError, OverflowError):
        return None
    return number if number is not None and -_LARGEST <= number <= _LARGEST else None


def _width(least: int, greatest: int) -> tuple[str, int]:
    """The code of the narrowest numbers that hold both, and the one that stands for unknown."""
    for code, width in WIDTHS.items():
        bound = 1 << (8 * width - 1)
        if -bound < least and greatest < bound:
            return code, -bound
    raise AssertionError("whoever calls this has seen to 64 bits")
