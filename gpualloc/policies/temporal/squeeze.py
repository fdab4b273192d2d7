"""Fewer devices at the worst time: whole windows are packed anew, the longest first, single intervals last."""

from __future__ import annotations

import numpy as np

from gpualloc.policies.temporal.bound import interval_bounds
from gpualloc.policies.temporal.case import Case
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.problem import NOWHERE, Places, Values
from gpualloc.policies.temporal.ruin import Window, distinct, fit_into
from gpualloc.policies.temporal.starts import padded

STEPS = 1500
"""Times that devices of one window are taken apart, for a small one."""
_STEPS_PER_ITEM = 25
_PROBES = 2
_CELLS = 10_000_000
"""Numbers that may be looked at for one window: fewer steps for larger ones."""


def squeeze(loads: Loads, most: int, least: Places, effort: Effort, seed: int) -> Loads | None:
    """The same with so many devices at the worst time, whatever moves that takes; None when it was not found.

    Only for devices that are all alike; `least` is what `lower_bounds` tells of them.
    """
    case = loads.case
    if most < 1 or int(least.max()) > most:
        return None
    found = Loads(case, loads.place)
    if not all(_pack(found, hard, most, effort, seed) for hard in _hardest(case, least)):
        return None
    found = Loads(case, loads.place)
    waiting = [(0, case.intervals)]
    while waiting:
        first, end = waiting.pop()
        crowded = np.flatnonzero(found.on()[first:end] > most)
        if not len(crowded):
            continue
        if effort.spent():
            return None
        if _pack(found, np.arange(first, end), most, effort, seed):
            continue
        if end - first == 1:
            return None
        waiting += reversed(_halves(first, end, crowded))
    return found


def lower_bounds(case: Case) -> Places:
    """(T,) devices that are needed at least, if they are all alike."""
    capacity, memory = float(case.device_compute.max()), float(case.device_memory.max())
    return interval_bounds(case.compute / capacity, case.memory / memory)


def _hardest(case: Case, least: Places) -> list[Places]:
    """The intervals that most likely cannot be packed on so few devices, alone: what fails there fails anywhere."""
    total = case.compute.sum(axis=0) / case.device_compute.max() + case.memory.sum(axis=0) / case.device_memory.max()
    return [np.array([interval]) for interval in np.lexsort((-total, -least))[:_PROBES]]


def _halves(first: int, end: int, crowded: Places) -> list[tuple[int, int]]:
    """The crowded part of the window when that is shorter, else its halves."""
    begin, last = first + int(crowded[0]), first + int(crowded[-1]) + 1
    if last - begin <= 3 * (end - first) // 4:
        return [(begin, last)]
    middle = (begin + last) // 2 if last - begin > 1 else (first + end) // 2
    return [(first, middle), (middle, end)]


def _pack(loads: Loads, part: Places, most: int, effort: Effort, seed: int) -> bool:
    """Pack these intervals on so many devices without moves in them; the loads are changed when that was found."""
    case = loads.case
    items = np.flatnonzero(case.alive[:, part].any(axis=1))
    used = loads.count[part].sum(axis=0)
    devices = np.sort(np.argsort(-used, kind="stable")[:most])
    sizes = np.concatenate([padded(case)[np.ix_(items, part)], case.memory[np.ix_(items, part)]], axis=1)
    rooms = np.repeat([case.device_compute[devices], case.device_memory[devices]], len(part), axis=0).T
    sizes, rooms = distinct(sizes, rooms)
    place = _begin(loads, items, part, devices)
    steps = min(STEPS, _STEPS_PER_ITEM * len(items), _CELLS // max(1, len(items) * sizes.shape[1]))
    place = _within(place, sizes, rooms)
    found = fit_into(Window(sizes, rooms, case.allowed[np.ix_(items, devices)]), place, steps, seed, effort)
    if found is None:
        return False
    for item, device in zip(items.tolist(), devices[found].tolist(), strict=True):
        times = part[case.alive[item, part]]
        loads.take(item, times)
        loads.put(item, times, np.full(len(times), device))
    return True


def _begin(loads: Loads, items: Places, part: Places, devices: Places) -> Places:
    """Where each item is for most of the window, among those devices."""
    column = np.full(loads.case.devices + 1, NOWHERE)
    column[devices] = np.arange(len(devices))
    place = np.empty(len(items), np.int64)
    for at, item in enumerate(items.tolist()):
        there = loads.place[item, part]
        places, counts = np.unique(there[there != NOWHERE], return_counts=True)
        place[at] = column[places[int(counts.argmax())]] if len(places) else NOWHERE
    return place


def _within(place: Places, sizes: Values, rooms: Values) -> Places:
    """The same with items taken off devices that would not hold them, the smallest that suffice first."""
    kept = place.copy()
    free = rooms + 1e-9
    for item in np.argsort(-sizes.sum(axis=1), kind="stable").tolist():
        device = kept[item]
        if device == NOWHERE:
            continue
        if (free[device] >= sizes[item]).all():
            free[device] -= sizes[item]
        else:
            kept[item] = NOWHERE
    return kept
