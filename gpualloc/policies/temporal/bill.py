"""What a plan costs, summed over the whole of it."""

from __future__ import annotations

import math

import numpy as np

from gpualloc.policies.temporal.case import TINY
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.plan import Costs
from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places
from gpualloc.policies.temporal.stage import overload

UNPLACED = 1e9
"""Price of each interval in which an item has no place: any plan that places it is better."""


def costs_of(loads: Loads) -> Costs:
    """The cost of the places in the loads."""
    case = loads.case
    on = loads.count > 0
    beyond = float((overload(loads.compute, loads.variance, case.device_compute) * on).sum(axis=1) @ case.hours)
    needed = int(on.sum(axis=1).max(initial=0))
    moved, entered = moved_of(loads), entered_of(loads)
    entering = float(case.enter_price[loads.place[entered]].sum())
    price = 0.0 if beyond <= TINY else case.prices.overload * beyond
    total = (
        float(case.hours @ (on @ case.on_price))
        + (1e6 * beyond if math.isinf(price) else price)
        + float(case.move_price @ moved.sum(axis=1))
        + entering
        + case.prices.needed * needed
        + UNPLACED * np.count_nonzero(case.alive & (loads.place == NOWHERE))
    )
    return Costs(needed, float(case.hours @ on.sum(axis=1)), beyond, int(np.count_nonzero(moved)), float(total))


def moved_of(loads: Loads) -> Flags:
    """(I, T) intervals that items begin on another device than the one they were on."""
    before = before_of(loads)
    moved: Flags = (before != NOWHERE) & (loads.place != NOWHERE) & (loads.place != before)
    return moved


def entered_of(loads: Loads) -> Flags:
    """(I, T) intervals at whose beginning items come to a device, moved or anew."""
    entered: Flags = (loads.place != NOWHERE) & (loads.place != before_of(loads))
    return entered


def before_of(loads: Loads) -> Places:
    """(I, T) device of each item just before each interval; NOWHERE when it was not alive."""
    case = loads.case
    before = np.empty_like(loads.place)
    before[:, 0] = case.place
    before[:, 1:] = np.where(case.alive[:, :-1], loads.place[:, :-1], NOWHERE)
    return before
