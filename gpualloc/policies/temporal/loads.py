"""What is on every device in every interval, kept up to date item by item."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gpualloc.policies.temporal.case import TINY, Case
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Values


class Loads:
    """Sums over the items of each device, by interval and device, and where each item is."""

    def __init__(self, case: Case, place: Places | None = None) -> None:
        """Begin with these places, (I, T); None: nothing is placed."""
        shape = (case.intervals, case.devices)
        self.case = case
        self.place: Places = np.full((case.items, case.intervals), NOWHERE, np.int64)
        """(I, T) device of each item; NOWHERE without one."""
        self.compute: Values = np.zeros(shape)
        self.memory: Values = np.zeros(shape)
        self.count: Places = np.zeros(shape, np.int64)
        """(T, D) items on each device."""
        self.variance: Values | None = None if case.variance is None else np.zeros(shape)
        self.times = [np.flatnonzero(alive) for alive in case.alive]
        """Intervals in which each item is alive."""
        self.fresh = [_fresh(times, place) for times, place in zip(self.times, case.place.tolist(), strict=True)]
        """Of each of these, whether the item comes anew: it was not alive before, or had no place before the first."""
        if place is not None:
            for item in range(case.items):
                times = self.times[item][place[item, self.times[item]] != NOWHERE]
                self.put(item, times, place[item, times])

    def put(self, item: int, times: Places, devices: Places) -> None:
        """Place an item that has none there, on a device for each of these intervals."""
        self._add(item, times, devices, 1)
        self.place[item, times] = devices

    def take(self, item: int, times: Places | None = None) -> Places:
        """Take an item off its devices in these intervals (None: all); returns the intervals in which it had one."""
        within = self.times[item] if times is None else times
        placed: Places = within[self.place[item, within] != NOWHERE]
        self._add(item, placed, self.place[item, placed], -1)
        self.place[item, placed] = NOWHERE
        return placed

    def _add(self, item: int, times: Places, devices: Places, sign: int) -> None:
        case = self.case
        self.compute[times, devices] += sign * case.compute[item, times]
        self.memory[times, devices] += sign * case.memory[item, times]
        self.count[times, devices] += sign
        if self.variance is not None and case.variance is not None:
            self.variance[times, devices] += sign * case.variance[item, times]

    def on(self) -> Places:
        """(T,) how many devices something is on."""
        on: Places = (self.count > 0).sum(axis=1)
        return on

    def candidates(self, item: int, also: Places | None = None) -> Places:
        """Devices that something is on, and the first empty one of each class, as far as the item may go there.

        Those in `also`, which may hold NOWHERE, are among them in any case.
        """
        case = self.case
        used = self.count.any(axis=0)
        open_ = case.allowed[item] & ~case.closed
        wanted = open_ & used
        empty = np.flatnonzero(open_ & ~used)
        if len(empty):
            classes = case.device_class[empty]
            one = classes[0] == classes[-1] and case.classes == 1
            wanted[empty[0] if one else empty[np.unique(classes, return_index=True)[1]]] = True
        if also is not None:
            wanted[also[also != NOWHERE]] = True
        found: Places = np.flatnonzero(wanted)
        return found

    def roomy(self, item: int, times: Places, devices: Places, demand: Values) -> Flags:
        """Of those devices, which have room for this use of compute in all of these intervals."""
        case = self.case
        within = slice(int(times[0]), int(times[-1]) + 1) if len(times) == times[-1] - times[0] + 1 else times
        compute = self.compute[within].take(devices, axis=1)
        compute += demand[:, None]
        memory = self.memory[within].take(devices, axis=1)
        memory += case.memory[item, within][:, None]
        within_both = (compute <= case.device_compute[devices] + TINY) & (memory <= case.device_memory[devices] + TINY)
        fits: Flags = np.all(within_both, axis=0)
        return fits


def _fresh(times: Places, place: int) -> Flags:
    fresh: Flags = np.diff(times, prepend=np.int64(-1)) > 1
    if len(times) and times[0] == 0:
        fresh[0] = place == NOWHERE
    return fresh


def largest_first(items: Sequence[int] | Places, sizes: Values) -> Places:
    """The items by falling size; equal ones stay in the order of their names."""
    chosen = np.sort(np.asarray(items, np.int64))
    return chosen[np.argsort(-sizes[chosen], kind="stable")]


def sizes_of(case: Case, times: Places) -> Values:
    """(I,) how much of a device each item takes within these intervals, weighed by what is scarce in all."""
    memory, compute = float(case.device_memory.max(initial=TINY)), float(case.device_compute.max(initial=TINY))
    held = np.where(np.isfinite(case.memory[:, times]), case.memory[:, times], memory) / memory
    used = case.compute[:, times] / compute
    scarce = np.array([used.sum(axis=0).max(initial=0.0), held.sum(axis=0).max(initial=0.0)])
    weights = scarce / max(float(scarce.max()), TINY)
    sizes: Values = weights[0] * used.max(axis=1, initial=0.0) + weights[1] * held.max(axis=1, initial=0.0)
    return sizes
