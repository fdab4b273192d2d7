"""The rules that bench/mig_packing.py compares, as tables over the states of one device, and the demand they meet.

A rule scores each device by its state, the lowest first, then the lowest device; on the device it has one start per
profile and state. So a run needs no more than a look into two arrays.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
from mig_simplex import best_mix
from msgspec import Struct

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes import mig_tables

from gpualloc.model.mig import MigProfile
from gpualloc.policies.slot_worth import worth_of
from gpualloc.policies.slots import SlotAxis, axis_of

OPENB = {"7g": 0.457, "4g": 0.315, "3g": 0.126, "2g": 0.091, "1g": 0.010}
"""The 3,078 tasks of the openb default trace that ask for a part of one GPU, each as the smallest instance with that
part of the compute slices (of 7)."""
DEMANDS = ("uniform", "skewed small", "skewed big", "bimodal", "openb")


class Kind(Struct, frozen=True, eq=False):
    """A kind of device and what is asked of it."""

    axis: SlotAxis
    every: tuple[MigProfile, ...]
    """What the driver tells."""
    profiles: tuple[MigProfile, ...]
    """Those asked for, the largest first."""
    parts: np.ndarray
    """Their parts of the requests, which add up to 1."""

    @property
    def sizes(self) -> np.ndarray:
        return np.array([profile.size for profile in self.profiles])

    def rates(self, load: float) -> np.ndarray:
        """Requests of each profile per device and mean lifetime, at a load in units asked for per unit there is."""
        return self.parts * load * self.axis.units / (self.parts @ self.sizes)

    def options(self, number: int, state: int) -> list[int]:
        """The states that an instance of the profile can lead to, by ascending start."""
        row = self.axis.after[state]
        return [int(row[slot]) for slot in self.axis.slots_of(self.profiles[number]) if row[slot] >= 0]


class Rule(Struct, frozen=True, eq=False):
    """A rule as two tables by profile and state."""

    score: np.ndarray
    """Of a device in that state, lower is better; infinite when the profile does not fit."""
    after: np.ndarray
    """The state that the rule's start leads to."""


def kind_of(key: str, demand: str) -> Kind:
    """The kind of device with that demand; profiles for media and graphics are left out: they take the same slots."""
    every = mig_tables.profiles(key)
    plain = [profile for profile in every if "+" not in profile.name and "-" not in profile.name]
    profiles = tuple(sorted(plain, key=lambda profile: (-profile.size, -(profile.sm_count or 0), profile.name)))
    axis = axis_of(profiles)
    assert axis is not None
    count = len(profiles)
    rank = np.arange(count)
    parts = {
        "uniform": np.ones(count),
        "skewed small": rank + 1.0,
        "skewed big": count - 1.0 * rank,
        "bimodal": np.abs(rank - (count - 1) / 2) + 0.5,
        "openb": _openb(profiles),
    }[demand]
    return Kind(axis, every, profiles, parts / parts.sum())


def _openb(profiles: tuple[MigProfile, ...]) -> np.ndarray:
    smallest: dict[str, str] = {}
    for profile in reversed(profiles):
        smallest.setdefault(profile.name.partition(".")[0], profile.name)
    parts = {name: OPENB.get(slices, 0.0) for slices, name in smallest.items()}
    return np.array([parts.get(profile.name, 0.0) for profile in profiles])


def rule(
    kind: Kind, score: Callable[[int, int], float] = lambda *_: 0.0, start: Callable[[int], float] = lambda _: 0.0
) -> Rule:
    """A rule from what it likes less: `score` of a device by its state before and after, `start` by the state after.

    Of equal starts the lowest, of equal devices the first.
    """
    shape = (len(kind.profiles), len(kind.axis.states))
    scores, after = np.full(shape, np.inf), np.full(shape, -1, dtype=np.int64)
    for number, state in product(range(shape[0]), range(shape[1])):
        options = kind.options(number, state)
        if options:
            best = min(options, key=start)
            scores[number, state], after[number, state] = score(state, best), best
    return Rule(scores, after)


def rules(kind: Kind) -> dict[str, Rule]:
    """Every rule by name."""
    free, closed, blocked = kind.axis.free, -_opens(kind), _blocked(kind)
    return {
        "first-fit": rule(kind),
        "best-fit": rule(kind, lambda before, _: free[before]),
        "worst-fit": rule(kind, lambda before, _: -free[before]),
        "driver": rule(kind, start=lambda after: closed[after]),
        "best-fit, driver": rule(kind, lambda before, _: free[before], lambda after: closed[after]),
        "fragmentation": rule(
            kind, lambda before, after: blocked[after] - blocked[before], lambda after: blocked[after]
        ),
        "pattern regret": least_loss(kind, _hole(kind), 1e-8 * free),
        "worth": least_loss(kind, worth(kind, kind.parts)),
        "worth, mix unknown": least_loss(kind, worth(kind, np.ones(len(kind.parts)))),
    }


def least_loss(kind: Kind, values: np.ndarray, tie: np.ndarray | None = None) -> Rule:
    """The device and start that give away least of what states are worth; among equal devices the least of `tie`."""
    ties = np.zeros(len(values)) if tie is None else tie
    return rule(
        kind,
        lambda before, after: round(values[before] - values[after], 6) + ties[before],
        lambda after: -round(values[after], 6),
    )


def worth(kind: Kind, parts: np.ndarray) -> np.ndarray:
    """What gpualloc takes the states to be worth under a demand in these parts."""
    names = [profile.name for profile in kind.profiles]
    found = worth_of(kind.profiles, tuple(zip(names, map(float, parts), strict=True)))
    assert found is not None
    return found.worth


def _opens(kind: Kind) -> np.ndarray:
    """Per state how many (profile, start) pairs are open, of every profile the driver tells."""
    slots = [slot for profile in kind.every for slot in kind.axis.slots_of(profile)]
    return (kind.axis.after[:, slots] >= 0).sum(axis=1)


def _blocked(kind: Kind) -> np.ndarray:
    """Per state the units of the starts that are blocked for profiles which the free units would hold."""
    found = np.zeros(len(kind.axis.states))
    for profile in kind.profiles:
        shut = (kind.axis.after[:, list(kind.axis.slots_of(profile))] < 0).sum(axis=1)
        found += np.where(profile.size <= kind.axis.free, shut * profile.size, 0)
    return found


@cache
def patterns(kind: Kind) -> np.ndarray:
    """The layouts that no further instance fits beside, as counts per profile; each once."""
    found = set()
    by_slot = {
        slot: [number for number, one in enumerate(kind.profiles) if slot.size == one.size and slot.start in one.starts]
        for slot in kind.axis.slots
    }
    for state, taken in enumerate(kind.axis.states):
        if not (kind.axis.after[state] >= 0).any():
            for chosen in product(*(by_slot[slot] for slot in sorted(taken))):
                counts = Counter(chosen)
                found.add(tuple(counts[number] for number in range(len(kind.profiles))))
    return np.array(sorted(found))


def _hole(kind: Kind) -> np.ndarray:
    """The most that each state can still be filled with, in values of the pattern programme.

    Their mean over Poisson draws of the demand, since a single dual is degenerate.
    """
    rng = np.random.default_rng(0)
    draws = [rng.poisson(kind.rates(load) * 100) / 100 for load in (0.95, 1.0, 1.05, 1.1) for _ in range(5)]
    values = np.mean([best_mix(patterns(kind), draw, kind.sizes.astype(float))[1] for draw in draws], axis=0)
    hole = np.zeros(len(kind.axis.states))
    for state in reversed(range(len(hole))):
        fills = [
            values[number] + hole[after]
            for number in range(len(kind.profiles))
            for after in kind.options(number, state)
        ]
        hole[state] = max(fills, default=0.0)
    return hole
