"""Fewer devices for one window: take a few devices apart, pack again, keep what leaves less without a place.

Nothing moves within the window, so that an item is a vector: its compute and its memory in each interval. The search
keeps to a number of devices and holds back what does not fit (Schrimpf et al. 2000; the count of how often an item was
left out, which makes it more urgent, is that of Christiaens and Vanden Berghe 2020).
"""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Values

_MOST_DEVICES = 3
"""Devices that are taken apart at a time."""
_FIXED = 600
"""What placing an item costs beside looking at the devices, in numbers that are looked at."""
_BLINK = 0.02
"""Part of the devices that an item does not see when it looks for one."""


class Window(Struct, frozen=True, eq=False):
    """Items and devices of one window."""

    sizes: Values
    """(n, V) what each item needs, in V numbers."""
    rooms: Values
    """(D, V) what each device has."""
    allowed: Flags
    """(n, D)."""


def distinct(sizes: Values, rooms: Values) -> tuple[Values, Values]:
    """Sizes (n, V) and rooms (D, V) without the numbers that another one says already."""
    kept = np.unique(np.vstack([sizes, rooms]), axis=1, return_index=True)[1]
    return sizes[:, kept], rooms[:, kept]


def fit_into(window: Window, place: Places, steps: int, seed: int, effort: Effort) -> Places | None:
    """Place every item, or None when that was not found within so many steps, or with the effort that is left.

    Args:
        window: what to place.
        place: (n,) device of each item to begin with, within its limits; NOWHERE: none yet.
        steps: how many times some devices are taken apart.
        seed: draws them.
        effort: what may be done.
    """
    search = Packing(window, place, np.random.Generator(np.random.PCG64(seed)))
    search.insert(np.flatnonzero(place == NOWHERE))
    for _ in range(steps):
        if not search.left() or effort.spent():
            break
        effort.add(search.step() * (_FIXED + window.rooms.size // 2))
    return search.place if not search.left() else None


class Packing:
    """Items on devices, and what is left of each.

    Args:
        window: what to place.
        place: (n,) device of each item, within its limits; NOWHERE: none yet. Not changed.
        numbers: what is drawn from.
    """

    def __init__(self, window: Window, place: Places, numbers: np.random.Generator) -> None:
        self._sizes, self._rooms, self._allowed = window.sizes, window.rooms, window.allowed
        self._numbers = numbers
        self.place = place.copy()
        """(n,) device of each item."""
        self._free = window.rooms + TINY
        placed = np.flatnonzero(place != NOWHERE)
        np.subtract.at(self._free, place[placed], window.sizes[placed])
        scarce = window.sizes.sum(axis=0) / np.maximum(window.rooms.sum(axis=0), TINY)
        self._weights = scarce / max(float(scarce.max(initial=TINY)), TINY)
        self._size = (window.sizes / np.maximum(window.rooms.max(axis=0), TINY)) @ self._weights
        self._urgent = np.ones(len(place))

    def left(self) -> bool:
        """Whether an item has no place."""
        return bool((self.place == NOWHERE).any())

    def step(self) -> int:
        """Take some devices apart and pack again, unless that leaves more out; returns how many items that were."""
        before_place, before_free = self.place.copy(), self._free.copy()
        out = np.flatnonzero(self.place == NOWHERE)
        lost = float(self._urgent[out].sum())
        taken = self._ruin(int(out[self._numbers.integers(len(out))]))
        tried = np.concatenate([out, taken])
        self.insert(tried)
        out = np.flatnonzero(self.place == NOWHERE)
        if float(self._urgent[out].sum()) > lost + TINY:
            self.place, self._free = before_place, before_free
        self._urgent[out] += 1.0
        return len(tried)

    def insert(self, items: Places) -> None:
        """Place items one after the other where least is left over."""
        order = self._order(items)
        blinks = self._numbers.random((len(order), len(self._free))) < _BLINK
        for item, blink in zip(order.tolist(), blinks, strict=True):
            fits = (self._free >= self._sizes[item]).all(axis=1)
            fits &= self._allowed[item]
            devices = fits.nonzero()[0]
            if len(devices) > 1:
                seen = devices[~blink[devices]]
                devices = seen if len(seen) else devices
            elif not len(devices):
                continue
            chosen = int(devices[(self._free[devices] @ self._weights).argmin()])
            self.place[item] = chosen
            self._free[chosen] -= self._sizes[item]

    def _order(self, items: Places) -> Places:
        """The large ones first, or the urgent ones, or as it comes; now and then another."""
        drawn = self._numbers.random(len(items))
        way = self._numbers.integers(4)
        if way == 0:
            return items[np.argsort(drawn, kind="stable")]
        if way == 1:
            return items[np.argsort(-self._urgent[items] * (0.8 + 0.4 * drawn), kind="stable")]
        return items[np.argsort(-self._size[items] * (0.8 + 0.4 * drawn), kind="stable")]

    def _ruin(self, item: int) -> Places:
        """Take everything, or most, off some devices on which the item could be."""
        able = np.flatnonzero(self._allowed[item])
        count = 1 + int(self._numbers.integers(_MOST_DEVICES))
        chosen = np.zeros(len(self._free) + 1, bool)
        chosen[able[self._numbers.integers(len(able), size=count)]] = True
        taken = np.flatnonzero(chosen[self.place])
        if self._numbers.random() < 0.5:
            taken = taken[self._numbers.random(len(taken)) < 0.7]
        np.add.at(self._free, self.place[taken], self._sizes[taken])
        self.place[taken] = NOWHERE
        return taken
