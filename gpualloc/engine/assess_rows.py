"""Devices on a grid of ticks: what each did in every one of them, and who held it. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise
from statistics import median_low

from msgspec import Struct, field

from gpualloc.engine.assess_held import Holder, Stay
from gpualloc.model.assessment import IDLE_AFTER_S, IDLE_BELOW_RATIO, HolderKind
from gpualloc.policies.filters import IDLE_USE_RATIO

UNKNOWN, USED, IDLE, FREE = range(4)
"""What a device did in a tick; `IDLE` is held by somebody and at rest."""
HOUR_S = 3600.0
DAY_S = 86_400.0
APART_S = 900.0
"""Two samples further apart than this say nothing of the time between them."""
_USUAL = 1.5
"""Nor do two that are further apart than so many usual distances."""


class Ticks(Struct, frozen=True):
    """An even grid of times."""

    start_s: int
    """Epoch seconds at which the first begins."""
    step_s: int
    count: int

    @property
    def step_h(self) -> float:
        """Hours of one."""
        return self.step_s / HOUR_S

    @property
    def end_s(self) -> int:
        """When the last ends, epoch seconds."""
        return self.start_s + self.step_s * self.count

    @property
    def days(self) -> int:
        """How many days of 24 hours they are, a part of one counted as one."""
        return -int(-self.count * self.step_s // DAY_S)

    def day(self, tick: int) -> int:
        """In which of them a tick begins, 0-based."""
        return int(tick * self.step_s // DAY_S)

    def within(self, from_s: float, to_s: float) -> range:
        """The ticks whose middle lies in a time."""
        first = math.ceil((from_s - self.start_s) / self.step_s - 0.5)
        last = math.ceil((to_s - self.start_s) / self.step_s - 0.5)
        return range(max(0, first), max(0, min(self.count, last)))


class Row(Struct, frozen=True, eq=False):
    """One device. Arrays have a number for each tick, NaN where it is not known."""

    node: str
    uuid: str
    pool: str | None
    price: float | None
    """Of an hour; None where the pool has none."""
    model: str | None
    memory_total_mib: float | None
    mean: array[float]
    """Use of compute, 0..1."""
    high: array[float]
    """The highest reading of it."""
    memory: array[float]
    """The most memory in use, MiB."""
    watts: array[float]
    holders: list[tuple[Holder, ...]] = field(default_factory=list)
    """By tick."""
    states: bytearray = field(default_factory=bytearray)
    """By tick: `UNKNOWN`, `USED`, `IDLE` or `FREE`."""

    def settle(self, ticks: Ticks, stays: Iterable[Stay]) -> None:
        """Find out what it did, from its readings and from who had it."""
        self.holders[:] = _held(ticks, stays)
        self.states[:] = bytes(self._state(tick) for tick in range(ticks.count))
        unseen = (Holder(HolderKind.UNSEEN, self.uuid, "", None),)
        for tick, state in enumerate(self.states):
            if state in (USED, IDLE) and not self.holders[tick]:
                self.holders[tick] = unseen
        for state, run in runs(self.states):
            if state == IDLE and len(run) * ticks.step_s < IDLE_AFTER_S:
                self.states[run.start : run.stop] = bytes([USED]) * len(run)

    def _state(self, tick: int) -> int:
        high, memory = self.high[tick], self.memory[tick]
        if math.isnan(high):
            return UNKNOWN
        if high >= IDLE_BELOW_RATIO:
            return USED
        if self.holders[tick]:
            return IDLE
        if math.isnan(memory) or not self.memory_total_mib:
            return UNKNOWN
        return IDLE if memory > self.memory_total_mib * IDLE_USE_RATIO else FREE


def runs(states: Sequence[int]) -> Iterable[tuple[int, range]]:
    """Ticks in a row with the same state, as ranges."""
    first = 0
    for state, group in groupby(states):
        count = sum(1 for _ in group)
        yield state, range(first, first + count)
        first += count


def bridged(values: array[float], step_s: int) -> array[float]:
    """With samples that come less often than ticks, the empty ticks between two of them have the earlier one's value.

    What lies between samples that are further apart than usual, or than `APART_S`, stays unknown.
    """
    known = [tick for tick, value in enumerate(values) if not math.isnan(value)]
    distances = [later - earlier for earlier, later in pairwise(known)]
    usual = median_low(distances) if distances else 1
    if usual < 2:
        return values
    reach = min(usual * _USUAL, APART_S / step_s)
    for earlier, later in pairwise(known):
        if later - earlier <= reach:
            for tick in range(earlier + 1, later):
                values[tick] = values[earlier]
    return values


def _held(ticks: Ticks, stays: Iterable[Stay]) -> list[tuple[Holder, ...]]:
    """Who held it in each tick, each once, by id."""
    held: list[tuple[Holder, ...]] = [()] * ticks.count
    for stay in sorted(stays, key=lambda stay: (stay.holder.id, stay.from_s)):
        for tick in ticks.within(stay.from_s, stay.to_s):
            before = held[tick]
            if stay.holder not in before:
                held[tick] = (*before, stay.holder)
    return held
