"""First plans to improve on: packings on peaks, and packings of whole series within windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gpualloc.policies.temporal.case import SPREAD, Case
from gpualloc.policies.temporal.loads import Loads, largest_first, sizes_of
from gpualloc.policies.temporal.problem import NOWHERE, Places, Values

Score = Callable[[Loads, int, Places, Places], Values]
"""How well each of those devices suits the item in those intervals; the highest is taken, the first among equals."""

PADDING = 0.5
"""How much of the way from the median to the upper quantile packings leave for what may come."""


def padded(case: Case) -> Values:
    """(I, T) use of compute that packings reckon with."""
    if case.variance is None:
        return case.compute
    wide = case.compute + PADDING * SPREAD * np.sqrt(case.variance)
    demand: Values = np.minimum(wide, np.maximum(case.device_compute.max(initial=0.0), case.compute))
    return demand


def stay(case: Case) -> Loads:
    """Everything stays where it is now; what has no place gets none."""
    loads = Loads(case)
    for item in np.flatnonzero(case.place != NOWHERE).tolist():
        times = loads.times[item]
        loads.put(item, times, np.full(len(times), case.place[item]))
    return loads


def tightest(loads: Loads, item: int, times: Places, devices: Places) -> Values:
    """The fullest device."""
    del item
    case = loads.case
    used = loads.compute[np.ix_(times, devices)].sum(axis=0) / case.device_compute[devices]
    held = loads.memory[np.ix_(times, devices)].sum(axis=0) / case.device_memory[devices]
    total: Values = used + held
    return total


def place_whole(loads: Loads, item: int, times: Places, demand: Values, score: Score | None = None) -> bool:
    """Place an item on one device for these intervals, with room for this use of compute; False when none has it.

    Without a score it takes the first device with room.
    """
    devices = loads.candidates(item)
    devices = devices[loads.roomy(item, times, devices, demand)]
    if not len(devices):
        return False
    best = 0 if score is None else int(np.argmax(np.round(score(loads, item, times, devices), 9)))
    loads.put(item, times, np.full(len(times), devices[best]))
    return True


def series_fit(case: Case, score: Score | None = tightest) -> Loads:
    """No moves: every item where its whole series fits, from large to small."""
    loads, demand = stay(case), padded(case)
    everything = np.arange(case.intervals)
    waiting = np.flatnonzero((case.place == NOWHERE) & case.alive.any(axis=1))
    for item in largest_first(waiting, sizes_of(case, everything)):
        times = loads.times[item]
        place_whole(loads, item, times, demand[item, times], score)
    return loads
