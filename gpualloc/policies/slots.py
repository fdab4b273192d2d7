"""The slot axis of one device as a graph: every set of slots that instances can have at once, and what follows on it.

Which profile an instance is of does not matter here, only its slot: two profiles of one size and start leave the same
room. Counts, engines and the media extension are for `model.mig.Room` to watch over when a place is really taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.model.mig import MigProfile

MOST_STATES = 2000
"""An axis with more states than this has no graph: no known GPU has 500, and a driver could tell anything."""


class Slot(NamedTuple):
    """Units of the placement axis that one instance takes."""

    start: int
    size: int


class SlotAxis(Struct, frozen=True, eq=False):
    """The states of a device. State 0 is the empty one; a state has a higher number than those it grows out of."""

    units: int
    """Length of the axis."""
    slots: tuple[Slot, ...]
    """Every slot an instance can have, by start, then size."""
    states: tuple[frozenset[Slot], ...]
    """What is taken in each state."""
    numbers: Mapping[frozenset[Slot], int]
    """The number of each state."""
    after: NDArray[np.int32]
    """`after[state, slot]`: the state once that slot (its place in `slots`) is taken too; -1 where it is not free."""
    free: NDArray[np.int32]
    """Units that nobody takes, per state."""

    def slots_of(self, profile: MigProfile) -> tuple[int, ...]:
        """The slots of the profile by their place in `slots`, by ascending start."""
        return tuple(self.slots.index(Slot(start, profile.size)) for start in sorted(profile.starts))

    def state_of(self, taken: Iterable[Slot]) -> int | None:
        """The number of the state with these slots taken; None when a device cannot have them together."""
        return self.numbers.get(frozenset(taken))


def axis_of(profiles: Sequence[MigProfile]) -> SlotAxis | None:
    """The axis of a device with these profiles; None when it has more than `MOST_STATES` states."""
    return _axis(tuple(sorted({Slot(start, profile.size) for profile in profiles for start in profile.starts})))


@lru_cache(maxsize=32)
def _axis(slots: tuple[Slot, ...]) -> SlotAxis | None:
    numbers: dict[frozenset[Slot], int] = {frozenset(): 0}
    taken = [0]
    states: list[frozenset[Slot]] = [frozenset()]
    after: list[list[int]] = []
    while len(after) < len(states):
        here, units = states[len(after)], taken[len(after)]
        row = []
        for slot in slots:
            if units & _units(slot):
                row.append(-1)
                continue
            grown = here | {slot}
            if grown not in numbers:
                numbers[grown] = len(states)
                states.append(grown)
                taken.append(units | _units(slot))
            row.append(numbers[grown])
        after.append(row)
        if len(states) > MOST_STATES:
            return None
    units = max((slot.start + slot.size for slot in slots), default=0)
    free = [units - mask.bit_count() for mask in taken]
    return SlotAxis(
        units=units,
        slots=slots,
        states=tuple(states),
        numbers=numbers,
        after=np.array(after, dtype=np.int32).reshape(len(states), len(slots)),
        free=np.array(free, dtype=np.int32),
    )


def _units(slot: Slot) -> int:
    """The units of the slot as bits."""
    return ((1 << slot.size) - 1) << slot.start
