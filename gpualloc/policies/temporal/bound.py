"""How few devices any plan could do with: a bound for devices that are all alike, whatever moves.

In each interval what is there has to be packed. What it asks for in all is a bound (`volume`); sizes rounded by dual
feasible functions raise it (`sizes`; Martello and Toth 1990, Fekete and Schepers 2001); in the intervals where these
are highest the linear programme over all ways to fill a device raises it further (`patterns`, Gilmore and Gomory 1961).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from msgspec import Struct

from gpualloc.errors import ConfigError
from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.patterns import MOST_ITEMS, fractional_devices
from gpualloc.policies.temporal.problem import Flags, Places, Values

_THRESHOLDS = 32
"""Sizes that are tried as the smallest which counts, spread over those that there are."""
_LAST_STEP = 12
_MIXES = (0.25, 0.5, 0.75)
_INTERVALS = 2
"""Intervals in which the linear programme is solved."""
_MOST_ROUNDED = 400_000
_NOISE = 1e-6


class DeviceBound(Struct, frozen=True):
    """Devices that are needed at least."""

    devices: int
    kind: str
    """`volume`, `sizes` or `patterns`: the simplest of them that gives so many."""
    interval: int
    """Where so many are needed."""


def device_bound(alive: Flags, compute: Values, memory: Values, known: int | None = None) -> DeviceBound:
    """The bound.

    Args:
        alive: (I, T) which items are there.
        compute: (I, T) what each asks for where it is there, in devices, at most 1.
        memory: (I, T) what each holds where it is there, in devices, at most 1.
        known: devices with which a plan was found: it cannot rise beyond.

    Returns:
        Without the extra `lp`, or with many items at a time, the bound by sizes.
    """
    used, held = np.where(alive, compute, 0.0), np.where(alive, memory, 0.0)
    volume = volume_bounds(used, held)
    sizes = interval_bounds(used, held)
    found = int(sizes.max(initial=0))
    bound = DeviceBound(found, "volume" if found == volume.max(initial=0) else "sizes", int(sizes.argmax()))
    totals = np.maximum(used.sum(axis=0), held.sum(axis=0))
    for interval in np.lexsort((-totals, -sizes))[:_INTERVALS].tolist():
        if known is not None and bound.devices >= known:
            break
        there = alive[:, interval]
        if np.count_nonzero(there) <= MOST_ITEMS:
            bound = _raised(bound, interval, used[there, interval], held[there, interval])
    return bound


def volume_bounds(used: Values, held: Values) -> Places:
    """(T,) whole devices that hold the sums; both (I, T), in devices, 0 where an item is not there."""
    there = ((used > 0) | (held > 0)).any(axis=0).astype(np.int64)
    bounds: Places = np.maximum(there, np.maximum(_up(used.sum(axis=0)), _up(held.sum(axis=0))))
    return bounds


def interval_bounds(used: Values, held: Values) -> Places:
    """(T,) the bound by sums and rounded sizes; both (I, T), in devices, 0 where an item is not there.

    Of very many numbers only the intervals with the largest sums have their sizes rounded.
    """
    bounds = volume_bounds(used, held)
    totals = np.maximum(used.sum(axis=0), held.sum(axis=0))
    largest = np.argsort(-totals, kind="stable")[: max(1, _MOST_ROUNDED // max(1, len(used)))]
    used, held = used[:, largest], held[:, largest]
    for sizes in (used, held, *(part * used + (1 - part) * held for part in _MIXES)):
        bounds[largest] = np.maximum(bounds[largest], _rounded(sizes))
    return bounds


def _raised(bound: DeviceBound, interval: int, used: Values, held: Values) -> DeviceBound:
    try:
        devices = int(_up(np.array([fractional_devices(used, held, bound.devices)]))[0])
    except ConfigError:
        return bound
    return DeviceBound(devices, "patterns", interval) if devices > bound.devices else bound


def _rounded(sizes: Values) -> Places:
    """(T,) the highest of the sums of rounded sizes, in whole devices."""
    best = np.zeros(sizes.shape[1])
    for rounded in _roundings(sizes):
        best = np.maximum(best, rounded.sum(axis=0))
    return _up(best)


def _roundings(sizes: Values) -> Iterator[Values]:
    """Sizes such that those of items which fit a device together never sum to more than 1."""
    small = np.unique(sizes[(sizes > TINY) & (sizes <= 0.5)])
    picked = np.unique(np.linspace(0, len(small) - 1, min(_THRESHOLDS, len(small))).astype(np.int64))
    for least in small[picked]:
        yield np.where(sizes > 1 - least + TINY, 1.0, np.where(sizes >= least - TINY, sizes, 0.0))
    for step in range(1, _LAST_STEP + 1):
        parts = sizes * (step + 1)
        whole = np.abs(parts - np.round(parts)) < (step + 1) * TINY
        yield np.where(whole, sizes, np.floor(parts) / step)


def _up(totals: Values) -> Places:
    """Whole devices, unless it is a fraction that may be noise of the sum."""
    devices: Places = np.ceil(totals - _NOISE).astype(np.int64)
    return devices
