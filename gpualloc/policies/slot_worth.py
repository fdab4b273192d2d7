"""What the free slots of a device are worth to the demand to come, and so what each placement gives away.

A device is looked at by itself, as a loss system: work of each profile arrives at random at its share of the demand and
stays for a time without memory of its age; what fits is taken at the best start, the rest is lost. The worth h of a
state x is how much more will be gained from there than from an empty device, in the long run:

    g = sum over profiles p that fit in x: rate_p * (gain_p + h(best state after p) - h(x))
      + sum over instances i in x: h(x without i) - h(x)

with one unknown gain per time g for all states, solved by value iteration (R. Bellman, 1957). A placement that takes
the device from x to y gives away h(x) - h(y). To take the device and start that give away least is one step of policy
improvement over a random choice of devices (K. R. Krishnan and T. J. Ott, 1986, for routing calls): large places are
kept whole, as far as the demand asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.model.mig import Layout, MigProfile, Place
from gpualloc.policies.slots import Slot, SlotAxis, axis_of

Demand = tuple[tuple[str, float], ...]
"""Profiles that work will ask for, each with its part of the requests; parts need not add up to 1."""

LOAD = 8.0
"""Demand on the device by itself, in devices. Above 1, since a device that has room is offered what others refuse."""
GAIN_POWER = 1.25
"""An instance of a part s of the axis counts s to this power: losing large work is worse than losing as many units of
small work, which finds another place more easily. Both are tuned (docs/bench-mig-packing.md)."""
_STEPS = 20
"""Parts of the demand are counted in twentieths, so that one request more seldom changes anything."""
_DIGITS = 6
_CLOSE = 1e-7
_MOST_STEPS = 10_000

_Arrivals = tuple[tuple[tuple[int, ...], float, float], ...]
"""Per kind of work: its slots, its rate, what one is counted as."""


class SlotWorth(Struct, frozen=True, eq=False):
    """What the states of one kind of device are worth under one demand."""

    axis: SlotAxis
    worth: NDArray[np.float64]
    """Per state, less than an empty device as negative; 1 is about one instance of the whole axis. Rounded."""
    slots: Mapping[Place, Slot]
    """The slot of every place of the device."""

    def of(self, layout: Layout) -> float | None:
        """Worth of a device with these instances in use, each place once; None when it cannot have them."""
        if not all(place in self.slots for place in layout):
            return None
        return self._at(frozenset(self.slots[place] for place in layout))

    def given_away(self, taken: frozenset[Slot], more: Slot) -> float | None:
        """What taking one more slot gives away; None when it is not free, or no such device has these slots."""
        before, after = self._at(taken), self._at(taken | {more})
        if before is None or after is None or more in taken:
            return None
        return round(before - after, _DIGITS)

    def _at(self, taken: frozenset[Slot]) -> float | None:
        state = self.axis.state_of(taken)
        return None if state is None else float(self.worth[state])


def demand_of(profiles: Sequence[MigProfile], seen: Iterable[str] = ()) -> Demand:
    """The demand on devices with these profiles, from what runs and waits.

    Every profile counts as seen once before, but those with a media extension, of which a device has one and which are
    asked for on purpose. Parts are whole numbers of twentieths, at least one.

    Args:
        profiles: what the driver tells of the device.
        seen: a profile's name for each instance in use and each request that waits; others are passed over.
    """
    counts = Counter(seen)
    parts = {profile.name: counts[profile.name] + (not profile.media_extension) for profile in profiles}
    total = sum(parts.values())
    return tuple(sorted((name, max(1.0, round(_STEPS * part / total))) for name, part in parts.items() if part))


def worth_of(profiles: Sequence[MigProfile], demand: Demand) -> SlotWorth | None:
    """What the states of a device with these profiles are worth; None when its axis has too many of them.

    Equal input gives an equal answer; the last ones are remembered.
    """
    known = tuple(profiles)
    axis = axis_of(known)
    if axis is None or axis.units == 0:
        return None
    slots = {Place(one.name, start): Slot(start, one.size) for one in known for start in one.starts}
    return SlotWorth(axis, _solved(axis, _arrivals(axis, known, demand)), slots)


def _arrivals(axis: SlotAxis, profiles: Sequence[MigProfile], demand: Demand) -> _Arrivals:
    """The kinds of work; profiles that have the same slots are one."""
    sizes = {axis.slots_of(profile): profile.size for profile in profiles}
    parts = dict.fromkeys(sizes, 0.0)
    for profile in profiles:
        parts[axis.slots_of(profile)] += dict(demand).get(profile.name, 0.0)
    asked = sum(part * sizes[slots] for slots, part in parts.items())
    return tuple(
        (slots, part * LOAD * axis.units / asked, float((sizes[slots] / axis.units) ** GAIN_POWER))
        for slots, part in sorted(parts.items())
        if part > 0
    )


@lru_cache(maxsize=256)
def _solved(axis: SlotAxis, arrivals: _Arrivals) -> NDArray[np.float64]:
    """The worth of each state, by steps of one event: some arrival, some end of an instance, or nothing."""
    count = len(axis.states)
    # One more state that is worth nothing stands for what does not fit, and fills the rows of `ends`.
    options = [np.where(after >= 0, after, count) for slots, _, _ in arrivals for after in [axis.after[:, list(slots)]]]
    fits = [(option < count).any(axis=1) for option in options]
    ends, held = _ends(axis)
    pace = sum(rate for _, rate, _ in arrivals) + held.max(initial=0)
    worth = np.zeros(count + 1)
    for _ in range(_MOST_STEPS):
        worth[count] = -np.inf
        change = np.zeros(count)
        for (_, rate, gain), option, fit in zip(arrivals, options, fits, strict=True):
            change += np.where(fit, rate * (gain + worth[option].max(axis=1) - worth[:count]), 0.0)
        worth[count] = 0.0
        change += worth[ends].sum(axis=1) - held * worth[:count]
        worth[:count] += (change - change[0]) / pace
        if change.max() - change.min() < _CLOSE:
            break
    rounded = np.round(worth[:count], _DIGITS)
    rounded.flags.writeable = False
    return rounded


def _ends(axis: SlotAxis) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Per state those it becomes when one of its instances ends, filled up with the number of states; and how many."""
    count = len(axis.states)
    held = np.array([len(taken) for taken in axis.states])
    ends = np.full((count, held.max(initial=0)), count, dtype=np.int32)
    filled = np.zeros(count, dtype=np.int64)
    for smaller, slot in np.argwhere(axis.after >= 0):
        larger = axis.after[smaller, slot]
        ends[larger, filled[larger]] = smaller
        filled[larger] += 1
    return ends, held
