"""The cheapest path of one item over the devices, given the others.

    V[t](d) = stage[t](d) + min(V[t+1](d), move + min over d' of (enter(d') + V[t+1](d')))

A move costs the same from wherever it comes, so that one minimum over the devices serves all of them: T x D steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Values


class Path(NamedTuple):
    """The cheapest path."""

    devices: Places
    """(T,) column of the stage costs."""
    cost: float
    """Infinite when there is none."""


def cheapest_path(stage: Values, enter: Values, move: float, fresh: Flags, origin: int = NOWHERE) -> Path:
    """Where the item should be.

    Args:
        stage: (T, D) cost of being on each device in each of the intervals in which the item is alive.
        enter: (D,) cost of coming to each device.
        move: cost of each move.
        fresh: (T,) intervals before which the item was not alive: it comes anew, which is no move.
        origin: column on which the item is before the first interval, unless that is fresh; NOWHERE: on none of them,
            and coming is no move.

    Returns:
        Among equal costs the path that stays, else the device that comes first.
    """
    intervals, devices = stage.shape
    if devices == 0:
        return Path(np.full(intervals, NOWHERE, np.int64), np.inf)
    value = stage[-1].copy()
    best = np.empty(intervals, np.int64)
    moves = np.empty((intervals, devices), bool)
    for interval in range(intervals - 1, -1, -1):
        entered = value + enter
        best[interval] = chosen = int(entered.argmin())
        again = fresh[interval] or (interval == 0 and origin == NOWHERE)
        jump = float(entered[chosen]) + (0.0 if again else move)
        moves[interval] = again | (value > jump)
        if interval:
            value = stage[interval - 1] + (jump if again else np.minimum(value, jump))
    devices_of = np.empty(intervals, np.int64)
    at = origin
    for interval in range(intervals):
        if at == NOWHERE or moves[interval, at]:
            at = int(best[interval])
        devices_of[interval] = at
    if origin == NOWHERE or fresh[0]:
        return Path(devices_of, jump)
    return Path(devices_of, min(float(value[origin]), jump))
