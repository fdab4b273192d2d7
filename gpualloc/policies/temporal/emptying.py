"""Devices are emptied as a whole, for which single items alone have no reason."""

from __future__ import annotations

import numpy as np

from gpualloc.policies.temporal.bill import costs_of
from gpualloc.policies.temporal.effort import Effort
from gpualloc.policies.temporal.improve import GAIN, Terms, respond
from gpualloc.policies.temporal.loads import Loads, largest_first, sizes_of
from gpualloc.policies.temporal.problem import NOWHERE, Places


def empty_devices(loads: Loads, most: int | None, effort: Effort) -> bool:
    """Let the items of each device in turn, the least used first, leave it where that saves; whether any did."""
    case = loads.case
    used = (loads.count > 0).T @ case.hours
    load = (case.hours @ loads.compute) / case.device_compute + (case.hours @ loads.memory) / case.device_memory
    order = np.argsort(load, kind="stable")
    sizes = sizes_of(case, np.arange(case.intervals))
    total, gained = costs_of(loads).total, False
    for device in order[used[order] > 0].tolist():
        if effort.spent():
            break
        items = np.flatnonzero((loads.place == device).any(axis=1) & ~case.pinned)
        before = loads.place[items].copy()
        if not len(items) or not _leave(loads, largest_first(items, sizes), Terms(most, device), effort):
            continue
        effort.add(loads.place.size + loads.compute.size)
        after = costs_of(loads).total
        if after < total - GAIN:
            total, gained = after, True
        else:
            put_back(loads, items, before)
    return gained


def put_back(loads: Loads, items: Places, before: Places) -> None:
    """Give these items the places (n, T) that they had."""
    for item, place in zip(items.tolist(), before, strict=True):
        times = loads.times[item]
        loads.take(item)
        placed = times[place[times] != NOWHERE]
        loads.put(item, placed, place[placed])


def _leave(loads: Loads, items: Places, terms: Terms, effort: Effort) -> bool:
    """Items pay their part of the device, and then see whether going was worth it; whether any changed."""
    changed = [respond(loads, item, terms, effort) for item in items.tolist()]
    if not any(changed):
        return False
    plain = Terms(terms.most)
    for item in items.tolist():
        respond(loads, item, plain, effort)
    return True
