"""Samples gathered by even steps of time: sums, extremes, the 95th percentile and counts, all in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from gpualloc.model.foresight import Steps
from gpualloc.store.history_packing import Bools, Floats, Ints

_LEAST_FOR_P95 = 20
"""With fewer samples, the one of nearest rank is the highest."""
_SAFE = 1 << 62


class Rolled(Struct, frozen=True):
    """Series x steps. Where `known` is 0, the others are 0 and mean nothing."""

    known: Ints
    """How many samples are known."""
    total: Ints | Floats
    """Their sum: doubles where whole numbers could overflow."""
    high: Ints
    low: Ints
    p95: Ints

    @classmethod
    def nothing(cls, series: int, count: int) -> Rolled:
        """Of which nothing is known."""
        return cls(*(np.zeros((series, count), np.int64) for _ in range(5)))

    def put(self, other: Rolled, at: int, *, extremes: bool = True) -> Rolled:
        """With the steps of another from that place on instead of its own, and as many series as either has."""
        wanted = 5 if extremes else 2
        parts: list[Any] = [
            placed(mine, its, at) for mine, its in zip(self.parts[:wanted], other.parts[:wanted], strict=True)
        ]
        return Rolled(*parts) if extremes else Rolled.means_only(*parts)

    @classmethod
    def means_only(cls, known: Ints, total: Ints | Floats) -> Rolled:
        """Without extremes; what stands in their place means nothing."""
        return cls(known, total, known, known, known)

    @property
    def parts(self) -> tuple[Ints | Floats, ...]:
        """In the order of the fields."""
        return self.known, self.total, self.high, self.low, self.p95


def placed(mine: Ints | Floats, its: Ints | Floats, at: int) -> Ints | Floats:
    """Series x steps with other steps from that place on; as many series as either has."""
    kind = np.result_type(mine, its)
    whole = mine.astype(kind)
    if len(its) > len(mine):
        whole = np.zeros((len(its), mine.shape[1]), kind)
        whole[: len(mine)] = mine
    whole[:, at : at + its.shape[1]] = 0
    whole[: len(its), at : at + its.shape[1]] = its
    return whole


def counted(present: Bools, times: Ints, steps: Steps) -> Ints:
    """How many samples there are: series x steps."""
    counts = np.zeros((len(present), steps.count), np.int64)
    begins, places = _runs(times, steps)
    if len(places):
        counts[:, places] = np.add.reduceat(present.astype(np.int64), begins, axis=1)
    return counts


def rolled(values: Ints, known: Bools, times: Ints, steps: Steps, *, p95: bool = True) -> Rolled:
    """What the known samples of each step come to.

    Args:
        values: series x times.
        known: where they are known.
        times: epoch seconds, ascending, all of them within the steps.
        steps: the grid.
        p95: whether the 95th percentile is wanted; it is as `high` otherwise.
    """
    begins, places = _runs(times, steps)
    found = Rolled.nothing(len(values), steps.count)
    if not len(places) or not len(values):
        return found
    count = np.add.reduceat(known.astype(np.int64), begins, axis=1)
    total = _sums(np.where(known, values, 0), begins)
    high = np.maximum.reduceat(np.where(known, values, np.iinfo(np.int64).min), begins, axis=1)
    greatest = np.where(known, values, np.iinfo(np.int64).max)
    low = np.minimum.reduceat(greatest, begins, axis=1)
    ranked = _ranked(greatest, count, begins, high) if p95 else high
    some = count > 0
    parts = [np.where(some, part, 0) for part in (total, high, low, ranked)]
    made = [np.zeros(found.known.shape, part.dtype) for part in (count, *parts)]
    for target, part in zip(made, (count, *parts), strict=True):
        target[:, places] = part
    return Rolled(*made)


def coarser(fine: Rolled, times: int, *, extremes: bool) -> Rolled:
    """The same by steps that are so many times as long; the percentile is not told, and as `high`."""
    if times == 1:
        return fine
    shape = (len(fine.known), fine.known.shape[1] // times, times)
    known = fine.known.reshape(shape)
    if not extremes:
        return Rolled.means_only(known.sum(axis=2), fine.total.reshape(shape).sum(axis=2))
    some = known > 0
    high = np.where(some, fine.high.reshape(shape), np.iinfo(np.int64).min).max(axis=2)
    low = np.where(some, fine.low.reshape(shape), np.iinfo(np.int64).max).min(axis=2)
    any_known = some.any(axis=2)
    high, low = np.where(any_known, high, 0), np.where(any_known, low, 0)
    return Rolled(known.sum(axis=2), fine.total.reshape(shape).sum(axis=2), high, low, high)


def means(known: Ints, total: Ints | Floats, scale: int) -> Floats:
    """The means of what is known, NaN where nothing is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.true_divide(total, known * scale)
    return np.where(known > 0, found, np.nan)


def _runs(times: Ints, steps: Steps) -> tuple[Ints, Ints]:
    """Where the times of each step that has any begin, and which steps these are."""
    numbers = (times - steps.since_s) // steps.step_s
    begins = np.flatnonzero(np.diff(numbers, prepend=-1)) if len(numbers) else np.empty(0, np.int64)
    return begins, numbers[begins]


def _sums(values: Ints, begins: Ints) -> Ints | Floats:
    greatest = max(int(values.max()), -int(values.min()))
    safe = values if greatest * values.shape[1] < _SAFE else values.astype(np.float64)
    sums: Ints | Floats = np.add.reduceat(safe, begins, axis=1)
    return sums


def _ranked(greatest: Ints, count: Ints, begins: Ints, high: Ints) -> Ints:
    """The value of nearest rank 95 % of each step; unknown ones stand behind all others in `greatest`."""
    found = high.copy()
    ends = np.append(begins[1:], greatest.shape[1])
    for place, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        if end - begin >= _LEAST_FOR_P95:
            inside = np.sort(greatest[:, begin:end], axis=1)
            rank = np.maximum(-(-95 * count[:, place] // 100) - 1, 0)
            found[:, place] = np.take_along_axis(inside, rank[:, None], axis=1)[:, 0]
    return found
