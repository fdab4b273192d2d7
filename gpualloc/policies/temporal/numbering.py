"""Which device of many that are alike: as few different ones as are on at once, and as few moves as that allows."""

from __future__ import annotations

import numpy as np

from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places


def renumbered(loads: Loads) -> Loads:
    """The same with devices that run without a break numbered anew, for devices that are all alike.

    What is together stays together, and what stays on a device stays on one. A device that something new begins on
    is the free one that most of its items come from, else the first free one.
    """
    on = loads.count > 0
    number = np.full(on.shape, NOWHERE)
    for interval in range(len(on)):
        begins = on[interval].copy()
        if interval:
            goes_on = begins & on[interval - 1]
            number[interval, goes_on] = number[interval - 1, goes_on]
            begins &= ~goes_on
        free = np.ones(on.shape[1], bool)
        free[number[interval, number[interval] != NOWHERE]] = False
        for device in np.flatnonzero(begins).tolist():
            chosen = _came_from(loads, number, interval, device, free)
            number[interval, device] = chosen
            free[chosen] = False
    place = loads.place.copy()
    items, intervals = np.nonzero(place != NOWHERE)
    place[items, intervals] = number[intervals, place[items, intervals]]
    return Loads(loads.case, place)


def _came_from(loads: Loads, number: Places, interval: int, device: int, free: Flags) -> int:
    """The free number that most items of the device had just before; the first free one when none had."""
    if interval:
        items = np.flatnonzero(loads.place[:, interval] == device)
        before = loads.place[items, interval - 1]
        numbers = number[interval - 1, before[before != NOWHERE]]
        counts = np.bincount(numbers, minlength=len(free)) * free
        if counts.any():
            return int(counts.argmax())
    return int(free.argmax())
