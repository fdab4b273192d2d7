"""What it costs, besides moves, to have an item on each device in each interval, given the others."""

from __future__ import annotations

import math

import numpy as np

from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.problem import Places, Values

FULLER = 1e-3
"""What of an hour's price it is worth that two items which fill a device are together: among equals the fuller device
is taken, so that others can be emptied."""
SHORT = 1e6
"""Price of an hour in which an item stays where its memory is not there: any other place is better."""
_STEPS = 64
_REACH = 5


def stage_costs(loads: Loads, item: int, times: Places, columns: Places, most: int | None = None) -> Values:
    """(times, columns) the cost that comes with the item; it must not be placed in these intervals.

    Args:
        loads: what the others are on.
        item: the item.
        times: intervals in which the item is alive.
        columns: devices to look at.
        most: how many devices may be on before one more has to be owned; None: owning costs nothing.
    """
    case = loads.case
    within = _rows(times)
    hours, capacity, room = case.hours[times, None], case.device_compute[columns], case.device_memory[columns]
    asked, kept = case.compute[item, times][:, None], case.memory[item, times][:, None]
    before, held = loads.compute[within].take(columns, axis=1), loads.memory[within].take(columns, axis=1)
    after = before + asked
    lacks = held + kept > room + TINY
    if math.isinf(case.prices.overload):
        lacks |= after > np.maximum(capacity, before) + TINY
        stage = np.zeros(after.shape)
    else:
        stage = _overload_added(loads, item, times, columns) * (hours * case.prices.overload)
    empty = loads.count[within].take(columns, axis=1) == 0
    opening = hours * case.on_price[columns]
    if most is not None and case.prices.needed:
        opening = opening + case.prices.needed * (loads.on()[times, None] >= most)
    np.add(stage, opening, out=stage, where=empty)
    before *= asked / capacity**2
    held *= kept / np.maximum(room, TINY) ** 2
    stage -= (before + held) * (hours * FULLER) * case.on_price[columns]
    stage[lacks] = np.inf
    own = np.flatnonzero(columns == case.place[item])
    if len(own):
        stage[lacks[:, own[0]], own[0]] = SHORT
    return stage


def _overload_added(loads: Loads, item: int, times: Places, columns: Places) -> Values:
    case, within = loads.case, _rows(times)
    capacity = case.device_compute[columns]
    before = loads.compute[within].take(columns, axis=1)
    after = before + case.compute[item, times][:, None]
    if loads.variance is None or case.variance is None:
        return overload(after, None, capacity) - overload(before, None, capacity)
    spread = loads.variance[within].take(columns, axis=1)
    wider = spread + case.variance[item, times][:, None]
    return overload(after, wider, capacity) - overload(before, spread, capacity)


def overload(compute: Values, variance: Values | None, capacity: Values) -> Values:
    """Expected compute beyond the capacity when use is normal with that mean and variance; None: it is exact."""
    if variance is None:
        return np.maximum(compute - capacity, 0.0)
    spread = np.sqrt(np.maximum(variance, TINY**2))
    score = (capacity - compute) / spread
    at = np.clip((score + _REACH) * _STEPS, 0.0, 2.0 * _REACH * _STEPS).astype(np.int64)
    lost: Values = np.where(score < -_REACH, -score, _LOSS[at]) * spread
    return lost


def _rows(times: Places) -> slice | Places:
    """The same rows, as a slice where they follow each other."""
    first, last = int(times[0]), int(times[-1])
    return slice(first, last + 1) if last - first + 1 == len(times) else times


def _loss() -> Values:
    """Expected excess of a standard normal variable over each score of the table."""
    scores = np.arange(-_REACH, _REACH + 1 / _STEPS / 2, 1 / _STEPS)
    beyond = np.array([math.erfc(score / math.sqrt(2)) / 2 for score in scores])
    density = np.exp(-(scores**2) / 2) / math.sqrt(2 * math.pi)
    loss: Values = np.maximum(density - scores * beyond, 0.0)
    loss[-1] = 0.0
    return loss


_LOSS = _loss()
