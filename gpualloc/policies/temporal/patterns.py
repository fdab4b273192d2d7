"""The linear programme over all ways to fill one device, in its dual form: each item gets a worth.

The worths of no set of items that fits a device may sum to more than 1; the sum of all worths is then a bound. Sets are
added as they are found to be broken, by quick fills first and by an integer programme at last. What is returned is a
bound at every step: worths are scaled until no set is broken.
"""

from __future__ import annotations

import math

import numpy as np

from gpualloc.policies.patterns.programme import Programme
from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.problem import Flags, Places, Values

MOST_ITEMS = 100
"""Items of an interval beyond which nothing is solved."""
_EXACT_FILLS = 25
"""Integer programmes that are solved for one interval at most; what the bound has come to then counts."""
_UNCUT = 10**9
"""Nodes of a search tree that is never cut short."""
_NOISE = 1e-6
_QUICK = ((1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.8, 0.2), (0.2, 0.8))


def fractional_devices(used: Values, held: Values, least: int) -> float:
    """Devices that these items take at least, as a fraction.

    Args:
        used: compute of each item, in devices, at most 1.
        held: memory of each item, in devices, at most 1.
        least: a bound that is known: the search ends when it cannot come to more whole devices.

    Raises:
        ConfigError: HiGHS is not installed.
    """
    sets = [*np.eye(len(used), dtype=bool)]
    bound = 0.0
    exact = 0
    while exact < _EXACT_FILLS:
        worth = _worths(sets)
        reach = float(worth.sum())
        if math.ceil(reach - _NOISE) <= max(least, math.ceil(bound - _NOISE)):
            break
        found = _quick_fills(used, held, worth)
        if not found:
            exact += 1
            fill = _best_fill(used, held, worth)
            most = float(worth[fill].sum()) + _NOISE
            bound = max(bound, reach / max(1.0, most))
            if most <= 1 + 2 * _NOISE:
                break
            found = [fill]
        sets += found
    return bound


def _worths(sets: list[Flags]) -> Values:
    programme = Programme()
    columns = programme.add_columns(len(sets[0]), gain=1.0, upper=1.0)
    rows = programme.add_rows(len(sets), upper=1.0)
    row, column = np.nonzero(np.array(sets))
    programme.add_entries(rows[row], columns[column], 1.0)
    return programme.solve().values


def _best_fill(used: Values, held: Values, worth: Values) -> Flags:
    """The set that fits a device and is worth most."""
    programme = Programme()
    columns = programme.add_columns(len(worth), gain=worth, upper=1.0)
    compute, memory = programme.add_rows(2, upper=1.0 + TINY)
    programme.add_entries(compute, columns, used)
    programme.add_entries(memory, columns, held)
    chosen: Flags = programme.solve_integer(gap=0.0, nodes=_UNCUT).values > 0.5
    return chosen


def _quick_fills(used: Values, held: Values, worth: Values) -> list[Flags]:
    """Sets that fit a device and are worth more than 1, taken by worth for what they need."""
    found: dict[bytes, Flags] = {}
    for compute, memory in _QUICK:
        order = np.argsort(-worth / (compute * used + memory * held + TINY), kind="stable")
        for start in range(min(len(order), 12)):
            fill = _fill(used, held, np.roll(order, -start))
            if float(worth[fill].sum()) > 1 + 10 * _NOISE:
                found[fill.tobytes()] = fill
    return list(found.values())


def _fill(used: Values, held: Values, order: Places) -> Flags:
    taken = np.zeros(len(used), bool)
    compute = memory = 1.0 + TINY
    for item in order.tolist():
        if used[item] <= compute and held[item] <= memory:
            taken[item] = True
            compute -= used[item]
            memory -= held[item]
    return taken
