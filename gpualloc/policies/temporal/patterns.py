"""The linear programme over all ways to fill one device, in its dual form: each item gets a worth.

The worths of no set of items that fits a device may sum to more than 1; the sum of all worths is then a bound. Sets are
added as they are found to be broken, by quick fills first and by an exact search at last. What is returned is a bound
at every step: worths are scaled until no set is broken.
"""

from __future__ import annotations

import math

import numpy as np

from gpualloc.policies.patterns.programme import Programme
from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.problem import Flags, Places, Values

MOST_ITEMS = 60
"""Items of an interval beyond which nothing is solved."""
_EXACT_FILLS = 60
"""Exact searches for one interval at most; what the bound has come to then counts."""
_MOST_FILLS = 50_000
"""Fills that an exact search keeps at a time; what those beyond could come to counts as if it were found."""
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
            found, most = _best_fills(used, held, worth)
            bound = max(bound, reach / max(1.0, most + _NOISE))
            if not found:
                break
        sets += found
    return bound


def _worths(sets: list[Flags]) -> Values:
    programme = Programme()
    columns = programme.add_columns(len(sets[0]), gain=1.0, upper=1.0)
    rows = programme.add_rows(len(sets), upper=1.0)
    row, column = np.nonzero(np.array(sets))
    programme.add_entries(rows[row], columns[column], 1.0)
    return programme.solve().values


def _best_fills(used: Values, held: Values, worth: Values) -> tuple[list[Flags], float]:
    """A set that fits a device and is worth more than 1, if there is one, and what none is worth more than.

    Items are taken or left one after the other, those first that are worth most for half of what they need of compute
    and half of what they need of memory; what is still free of that, at the rate of the next one, limits what can be
    added, since the rates only fall.
    """
    needs = (used + held) / 2 + TINY
    order = np.argsort(-worth / needs, kind="stable")
    value, compute, memory = np.zeros(1), np.full(1, 1.0 + TINY), np.full(1, 1.0 + TINY)
    taken = np.zeros((1, len(worth)), bool)
    best, most, found = 1.0 + _NOISE, 1.0, list[Flags]()
    for item in order.tolist():
        reach = value + ((compute + memory) / 2 + len(worth) * TINY) * (worth[item] / needs[item])
        kept = np.flatnonzero(reach > best)
        if len(kept) > _MOST_FILLS:
            kept = kept[np.argsort(-reach[kept], kind="stable")]
            most = max(most, float(reach[kept[_MOST_FILLS]]))
            kept = kept[:_MOST_FILLS]
        value, compute, memory, taken = value[kept], compute[kept], memory[kept], taken[kept]
        fits = np.flatnonzero((compute >= used[item]) & (memory >= held[item]))
        added = taken[fits]
        added[:, item] = True
        value = np.concatenate([value, value[fits] + worth[item]])
        compute = np.concatenate([compute, compute[fits] - used[item]])
        memory = np.concatenate([memory, memory[fits] - held[item]])
        taken = np.concatenate([taken, added])
        if len(value) and value.max() > best:
            best, found = float(value.max()), [taken[int(value.argmax())]]
    return found, max(most, best)


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
