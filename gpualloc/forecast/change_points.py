"""Where series change together: a penalised optimal partition over the places that a moving window picks.

Each series is told in units of its own noise, which is taken from the series as the wider of two: how much neighbouring
ticks differ, and how much neighbouring blocks do, so that slow wobble is not taken for change. A part is fitted by its
mean, or by a line where that is worth its price, so that a ramp is one part and no staircase.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

LEAST_TICKS = 3
"""Shortest part that is looked for, unless told otherwise."""
_BLOCK_PARTS = 2
"""A block for the estimate of slow noise is that many shortest parts long."""
_NORMAL = 0.6745 * math.sqrt(2)
"""Median absolute difference of two readings whose noise is normal, in standard deviations."""
_PRICE = 2.0
"""What a change must be worth, for each series and factor of e in length."""
_SLOPE_PRICE = 1.0
"""What a slope must be worth beyond that."""
_SUSPECT = 2.5
"""A place is looked at closer when the means beside it differ by that many standard deviations."""
_MOST_PLACES = 700
"""Of more suspected places only the likeliest are looked at: the time grows with their square."""

Array = NDArray[np.float64]


class Partition(Struct, frozen=True):
    """Series cut into parts."""

    bounds: tuple[int, ...]
    """First tick of every part, and the number of ticks at the end."""
    effects: tuple[float, ...]
    """For each change between two parts, how far apart they are: the widest of the series, in its noise's width."""
    noise: tuple[float, ...]
    """Standard deviation of each series' noise, in its unit; NaN where the series is not known at all."""
    unexplained: float
    """Part of the spread of the series that is left within the parts, 0..1; 0 for series without any spread."""


def partition(values: Array, floors: Sequence[float], least: int = LEAST_TICKS) -> Partition:
    """Cut series where they change. Deterministic; the time grows with the ticks and the number of changes.

    Args:
        values: ticks by series; NaN is unknown.
        floors: for each series the least noise that is taken for given, in its unit: smaller changes say nothing.
        least: ticks of the shortest part.
    """
    ticks = len(values)
    smooth = _without_spikes(values)
    noise = [_noise(*one, least) for one in zip(values.T, smooth.T, floors, strict=True)]
    usable = [place for place, one in enumerate(noise) if one > 0]
    told = tuple(one if one > 0 else math.nan for one in noise)
    if not usable or ticks < 2 * least:
        return Partition((0, ticks), (), told, 0.0)
    sums = _Sums.of(smooth[:, usable] / np.array([noise[place] for place in usable]))
    places = _suspects(sums, least)
    bounds = _refined(sums, _cut(sums, places, least), least)
    effects = [_effect(sums, *bounds[at : at + 3]) for at in range(len(bounds) - 2)]
    return Partition(tuple(bounds), tuple(effects), told, _unexplained(sums, bounds))


def _without_spikes(values: Array) -> Array:
    """The median of each tick and its two neighbours, where all three are known."""
    smooth = values.copy()
    if len(values) > 2:
        middle = np.median(np.stack((values[:-2], values[1:-1], values[2:])), axis=0)
        smooth[1:-1] = np.where(np.isnan(middle), values[1:-1], middle)
    return smooth


def _noise(column: Array, smooth: Array, floor: float, least: int) -> float:
    """Standard deviation of the noise, at least the floor; 0 where nothing is known."""
    known = smooth[~np.isnan(smooth)]
    if not len(known):
        return 0.0
    size = least * _BLOCK_PARTS
    blocks = known[: len(known) // size * size].reshape(-1, size).mean(axis=1)
    return max(_spread(column[~np.isnan(column)]), _spread(blocks) * math.sqrt(size), floor)


def _spread(known: Array) -> float:
    return float(np.median(np.abs(np.diff(known)))) / _NORMAL if len(known) > 1 else 0.0


class _Sums(Struct, frozen=True):
    """Running sums of the series, from which any part's fit follows."""

    ticks: int
    all: Array
    """(ticks + 1) × 6 × series: count, value, value², time, time², time × value of what is known before each tick."""

    @staticmethod
    def of(z: Array) -> _Sums:
        known = ~np.isnan(z)
        value = np.where(known, z - np.nanmedian(z, axis=0), 0.0)
        # Around the middle, so that the squares of late ticks lose no digits.
        time = np.where(known, (np.arange(len(z)) - len(z) / 2)[:, None], 0.0)
        rows = np.stack((known.astype(float), value, value**2, time, time**2, time * value), axis=1)
        return _Sums(len(z), np.concatenate((np.zeros((1, *rows.shape[1:])), rows.cumsum(axis=0))))

    def between(self, first: NDArray[np.intp] | int, end: NDArray[np.intp] | int) -> Array:
        """The sums over ticks from `first` to before `end`."""
        return np.asarray(self.all[end] - self.all[first])

    @property
    def price(self) -> float:
        """What a change must be worth."""
        return _PRICE * (self._series + 1) * math.log(self.ticks)

    @property
    def slope_price(self) -> float:
        """What a slope must be worth."""
        return _SLOPE_PRICE * self._series * math.log(self.ticks)

    @property
    def _series(self) -> int:
        return int(self.all.shape[2])

    def cost(self, first: NDArray[np.intp] | int, end: NDArray[np.intp] | int) -> Array:
        """Squares that the better of mean and line leaves, summed over the series."""
        count, value, square, time, time2, both = np.moveaxis(self.between(first, end), -2, 0)
        size = np.maximum(count, 1.0)
        flat = np.maximum(square - value**2 / size, 0.0)
        across = np.maximum(time2 - time**2 / size, 0.0)
        slope = np.where(across > 0, (both - time * value / size) ** 2 / np.where(across > 0, across, 1.0), 0.0)
        return np.asarray(np.minimum(flat.sum(-1), np.maximum(flat - slope, 0.0).sum(-1) + self.slope_price))


def _suspects(sums: _Sums, least: int) -> NDArray[np.intp]:
    """Ticks before which a change may be: where the means of windows on both sides differ most, for several widths."""
    score = np.zeros(sums.ticks + 1)
    levels = np.ascontiguousarray(sums.all[:, :2])
    at = np.arange(least, sums.ticks - least + 1)
    width = least
    while 2 * width <= sums.ticks:
        left = levels[at] - levels[np.maximum(at - width, 0)]
        right = levels[np.minimum(at + width, sums.ticks)] - levels[at]
        here = _step(left, right)
        peak = here >= np.maximum(_shifted(here, 1), _shifted(here, -1))
        score[at] = np.maximum(score[at], np.where(peak & (here > _SUSPECT), here, 0.0))
        width *= 2
    likeliest = np.argsort(-score, kind="stable")[:_MOST_PLACES]
    return np.sort(likeliest[score[likeliest] > 0])


def _step(left: Array, right: Array) -> Array:
    """How far the means are apart, in standard deviations of their difference: all series together."""
    counts = np.minimum(left[:, 0], right[:, 0])
    apart = left[:, 1] / np.maximum(left[:, 0], 1.0) - right[:, 1] / np.maximum(right[:, 0], 1.0)
    return np.asarray(np.sqrt((apart**2 * counts / 2).max(axis=-1)))


def _shifted(values: Array, by: int) -> Array:
    out = np.roll(values, by)
    out[0 if by > 0 else -1] = -np.inf
    return out


def _cut(sums: _Sums, places: NDArray[np.intp], least: int) -> list[int]:
    """The cheapest partition whose bounds are among the places."""
    starts, ends = np.concatenate(([0], places)), np.concatenate((places, [sums.ticks]))
    best = np.full(len(ends) + 1, -sums.price)
    before = np.zeros(len(ends), dtype=np.intp)
    until = np.full(len(starts), np.inf)
    alive = np.zeros(1, dtype=np.intp)
    for number, end in enumerate(ends.tolist()):
        alive = alive[until[alive] > end]
        ready = alive[starts[alive] <= end - least]
        costs = best[ready] + sums.cost(starts[ready], end)
        best[number + 1] = np.inf
        if len(ready):
            before[number] = ready[int(np.argmin(costs))]
            best[number + 1] = costs.min() + sums.price
            # A start dearer than the best way to here by more than a slope may save never wins where a part may begin.
            dear = ready[costs > best[number + 1] + sums.slope_price]
            until[dear] = np.minimum(until[dear], end + least)
        alive = np.append(alive, number + 1)
    bounds, at = [sums.ticks], len(ends)
    while at > 0:
        at = int(before[at - 1])
        bounds.append(int(starts[at]))
    return bounds[::-1]


def _refined(sums: _Sums, bounds: list[int], least: int) -> list[int]:
    """Each change moved to where its two neighbours fit best, as far as the shortest part reaches."""
    moved = list(bounds)
    for at in range(1, len(moved) - 1):
        first, last = moved[at - 1] + least, moved[at + 1] - least
        near = np.arange(max(first, moved[at] - least), min(last, moved[at] + least) + 1)
        costs = sums.cost(moved[at - 1], near) + sums.cost(near, moved[at + 1])
        moved[at] = int(near[int(np.argmin(costs))])
    return moved


def _effect(sums: _Sums, first: int, change: int, end: int) -> float:
    left, right = sums.between(first, change), sums.between(change, end)
    known = (left[0] > 0) & (right[0] > 0)
    apart = left[1] / np.maximum(left[0], 1.0) - right[1] / np.maximum(right[0], 1.0)
    return float(np.abs(np.where(known, apart, 0.0)).max())


def _unexplained(sums: _Sums, bounds: Sequence[int]) -> float:
    whole = sums.between(0, sums.ticks)
    spread = float((whole[2] - whole[1] ** 2 / np.maximum(whole[0], 1.0)).sum())
    starts, ends = np.array(bounds[:-1]), np.array(bounds[1:])
    parts = sums.between(starts, ends)
    left = float((parts[:, 2] - parts[:, 1] ** 2 / np.maximum(parts[:, 0], 1.0)).sum())
    return min(1.0, max(0.0, left / spread)) if spread > 0 else 0.0
