"""What the free slots of a device are worth to the demand to come, and so what each placement gives away.

A device is looked at by itself, as a loss system: work of each profile arrives at random at its share of the demand and
stays for a time without memory of its age; what fits is taken at the best start, the rest is lost. The worth h of a
state x is how much more will be gained from there than from an empty device, in the long run:

    g = sum over profiles p that fit in x: rate_p * (gain_p + h(best state after p) - h(x))
      + sum over instances i in x: h(x without i) - h(x)

with one unknown gain per time g for all states, solved by policy iteration (R. A. Howard, 1960). A placement that takes
the device from x to y gives away h(x) - h(y). To take the device and start that give away least is one step of policy
improvement over a random choice of devices (K. R. Krishnan and T. J. Ott, 1986, for routing calls): large places are
kept whole, as far as the demand asks for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gpualloc.model.mig import Layout, MigProfile, Place
from gpualloc.policies.slots import Slot, SlotAxis, axis_of, slots_in

Demand = tuple[tuple[str, float], ...]
"""Profiles that work will ask for, each with its part of the requests; parts need not add up to 1."""

LOAD = 4.0
"""Demand on the device by itself, in devices. Above 1, since a device that has room is offered what others refuse."""
GAIN_POWER = 1.5
"""An instance of a part s of the axis counts s to this power: losing large work is worse than losing as many units of
small work, which finds another place more easily. Both are tuned (docs/bench-mig-packing.md)."""
_PRIOR = 1.0
"""Requests of every profile that count as seen before any was."""
_ROUNDS = 100
_DIGITS = 6
_SLACK = 1e-9

_Arrivals = tuple[tuple[tuple[int, ...], float, float], ...]
"""Per kind of work: its slots, its rate, what one is counted as."""


@dataclass(frozen=True, slots=True, eq=False)
class SlotWorth:
    """What the states of one kind of device are worth under one demand."""

    profiles: tuple[MigProfile, ...]
    axis: SlotAxis
    worth: NDArray[np.float64]
    """Per state, less than an empty device as negative; 1 is about one instance of the whole axis. Rounded."""

    def of(self, layout: Layout) -> float | None:
        """Worth of a device with these instances in use; None when it cannot have them."""
        return self._at(slots_in(self.profiles, layout))

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
    asked for on purpose.

    Args:
        profiles: what the driver tells of the device.
        seen: a profile's name for each instance in use and each request that waits; others are passed over.
    """
    counts = Counter(seen)
    parts = {profile.name: counts[profile.name] + _PRIOR * (not profile.media_extension) for profile in profiles}
    return tuple(sorted((name, part) for name, part in parts.items() if part > 0))


def worth_of(profiles: Sequence[MigProfile], demand: Demand) -> SlotWorth | None:
    """What the states of a device with these profiles are worth; None when its axis has too many of them.

    Equal input gives an equal answer; the last one is remembered.
    """
    known = tuple(profiles)
    axis = axis_of(known)
    if axis is None or axis.units == 0:
        return None
    return SlotWorth(known, axis, _solved(axis, _arrivals(axis, known, demand)))


def order_places(worth: SlotWorth, used: Layout, places: Iterable[Place]) -> tuple[Place, ...]:
    """The places by what an instance there gives away, the least first, then by start and profile.

    Args:
        worth: of the device.
        used: its instances in use.
        places: where an instance could be made or is free; one that cannot lie beside what is used is left out.
    """
    taken = slots_in(worth.profiles, used)
    sizes = {profile.name: profile.size for profile in worth.profiles}
    costs = [(worth.given_away(taken, Slot(place.start, sizes[place.profile])), place) for place in places]
    known = [(cost, place.start, place.profile, place) for cost, place in costs if cost is not None]
    return tuple(item[-1] for item in sorted(known, key=lambda item: item[:3]))


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


@lru_cache(maxsize=32)
def _solved(axis: SlotAxis, arrivals: _Arrivals) -> NDArray[np.float64]:
    """Policy iteration: the worth under fixed choices of starts, then better choices, until none is better."""
    count = len(axis.states)
    options = [axis.after[:, list(slots)] for slots, _, _ in arrivals]
    choices = [np.argmax(option >= 0, axis=1) for option in options]
    worth = np.zeros(count)
    for _ in range(_ROUNDS):
        worth = _evaluated(axis, arrivals, options, choices)
        better = [_improved(option, choice, worth) for option, choice in zip(options, choices, strict=True)]
        if all(np.array_equal(new, old) for new, old in zip(better, choices, strict=True)):
            break
        choices = better
    rounded = np.round(worth, _DIGITS)
    rounded.flags.writeable = False
    return rounded


def _evaluated(
    axis: SlotAxis, arrivals: _Arrivals, options: Sequence[NDArray[np.int32]], choices: Sequence[NDArray[np.intp]]
) -> NDArray[np.float64]:
    """The worth of each state when the starts are chosen so: the linear equations of the docstring above."""
    count = len(axis.states)
    every = np.arange(count)
    rates = np.zeros((count, count))
    gains = np.zeros(count)
    for (_, rate, gain), option, choice in zip(arrivals, options, choices, strict=True):
        after = option[every, choice]
        fits = after >= 0
        np.add.at(rates, (every[fits], after[fits]), rate)
        gains[fits] += rate * gain
    smaller, slot = np.nonzero(axis.after >= 0)
    np.add.at(rates, (axis.after[smaller, slot], smaller), 1.0)
    rates[every, every] -= rates.sum(axis=1)
    # The empty state is worth 0; its column carries the unknown gain per time instead.
    rates[:, 0] = -1.0
    worth = np.linalg.solve(rates, -gains)
    worth[0] = 0.0
    return worth


def _improved(option: NDArray[np.int32], choice: NDArray[np.intp], worth: NDArray[np.float64]) -> NDArray[np.intp]:
    """For each state the start that leaves the most worth; the one chosen so far, or the lowest, among equals."""
    left = np.where(option >= 0, worth[option], -np.inf)
    best = np.argmax(left > left.max(axis=1, keepdims=True) - _SLACK, axis=1)
    every = np.arange(len(choice))
    with np.errstate(invalid="ignore"):
        clearly = left[every, best] > left[every, choice] + _SLACK
    return np.where(clearly, best, choice)
