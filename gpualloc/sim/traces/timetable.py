"""When tasks come and how long they run: as a trace recorded it, or scaled to a stated load.

The load is the GPU demand in use, if nothing had to wait, in the mean over the measured time, as a part of all GPUs. To
reach it the times between arrivals are multiplied by one factor; how long a task runs is never changed. The tasks come
in as many rounds as it takes to fill the cluster several times; the first half of the time fills it and counts for
nothing.
"""

from __future__ import annotations

import math

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.sim.traces.arrivals import MAX_ARRIVALS, MAX_LOAD
from gpualloc.sim.traces.trace import Tasks

TURNOVER = 4
"""How many times the stated load the tasks of all rounds must ask for together."""
FILLING = 0.5
"""Part of the time that fills the cluster when a load is stated."""
EARLY = 0.01
"""Part of the tasks that come at once when a load is stated: many recordings begin with a few that were there long
before."""
_STEPS = 80
"""Halvings of the range of the factor."""
_WIDEST = 1e12
"""Factors from 1 in so many to so many are tried."""

Times = NDArray[np.float64]


class Timetable(Struct, frozen=True, eq=False):
    """The arrivals of a run, in their order."""

    rows: NDArray[np.int64]
    """Task row of each arrival."""
    arrives_s: Times
    """Ascending; the first is 0."""
    lasts_s: Times
    """How long each runs once it has a place."""
    rounds: int
    """How many times the trace comes."""
    factor: float
    """What the recorded times between arrivals were multiplied by."""
    measured_from_s: float
    """Where the measured time begins; it ends with the last arrival."""
    offered: float
    """Mean GPU demand in use in the measured time if nothing had to wait, as a part of all GPUs."""
    without_times: int
    """Tasks that are left out since the trace does not tell when they came and left."""

    @property
    def ends_s(self) -> float:
        """The last arrival."""
        return float(self.arrives_s[-1])


class _Recorded(Struct, frozen=True, eq=False):
    """The tasks with known times, in the order in which they came."""

    rows: NDArray[np.int64]
    moments_s: Times
    lasts_s: Times
    demand: Times
    """GPU demand of each, as a part of all GPUs."""
    without_times: int
    """How many tasks are left out."""


def timetable(tasks: Tasks, capacity_milli: int, load: float | None = None, seed: int | None = None) -> Timetable:
    """When the tasks of a trace come and how long they run.

    Args:
        tasks: the trace; tasks of which it does not tell both times are left out and counted.
        capacity_milli: compute of all GPUs of the cluster, 1/1000 of a GPU.
        load: the GPU demand to offer, as a part of the capacity; None leaves the recorded times as they are.
        seed: in each round the tasks take the recorded moments in an order drawn from this; None: in the recorded one.

    Raises:
        UsageError: the load or the seed is out of range.
        BrokenInputError: no task has both times, or they do not allow a load.
    """
    if load is not None and not 0 < load <= MAX_LOAD:
        raise UsageError(f"a load of {load:g} is out of range", hint=f"above 0 and at most {MAX_LOAD:g}; 0.9 is 90%")
    if seed is not None and not 0 <= seed < 1 << 64:
        raise UsageError(f"the seed {seed} is out of range", hint="a seed is 0 to 2^64 - 1")
    if capacity_milli <= 0:
        raise BrokenInputError(f"{tasks.source}: the nodes have no GPU, so no load can be told")
    found = _recorded(tasks, capacity_milli)
    numbers = None if seed is None else np.random.PCG64(seed)
    if load is None:
        return _table(found, [_order(numbers, len(found.rows))], found.moments_s, 1.0, 0.0)
    rounds = _rounds(found, load, tasks.source)
    moments_s = _in_rounds(found.moments_s, rounds)
    orders = [_order(numbers, len(found.rows)) for _ in range(rounds)]
    factor = _factor(found, np.concatenate(orders), moments_s, load, tasks.source)
    return _table(found, orders, moments_s * factor, factor, FILLING)


def _recorded(tasks: Tasks, capacity_milli: int) -> _Recorded:
    rows = np.flatnonzero(~(np.isnan(tasks.arrives_s) | np.isnan(tasks.leaves_s)))
    if not len(rows):
        raise BrokenInputError(
            f"{tasks.source}: of no task is it told when it came and left",
            hint="arrivals and departures need the columns arrives_s and leaves_s (docs/traces.md)",
        )
    rows = rows[np.argsort(tasks.arrives_s[rows], kind="stable")]
    moments_s = tasks.arrives_s[rows]
    if moments_s[0] == moments_s[-1]:
        raise BrokenInputError(
            f"{tasks.source}: all tasks come at the same moment, so there is no time to measure",
            hint="`gpualloc simulate packing` needs no times",
        )
    lasts_s = tasks.leaves_s[rows] - moments_s
    demand = tasks.gpu_milli[rows] / capacity_milli
    return _Recorded(rows, moments_s - moments_s[0], lasts_s, demand, len(tasks) - len(rows))


def _order(numbers: np.random.PCG64 | None, count: int) -> NDArray[np.int64]:
    """Which task takes each moment of a round."""
    if numbers is None:
        return np.arange(count)
    return np.argsort(numbers.random_raw(count), kind="stable").astype(np.int64)


def _rounds(found: _Recorded, load: float, source: str) -> int:
    total = float(found.demand.sum())
    if total <= 0:
        raise BrokenInputError(f"{source}: no task asks for a GPU, so no load can be reached")
    rounds = math.ceil(TURNOVER * load / total)
    if rounds * len(found.rows) > MAX_ARRIVALS // 10:
        raise BrokenInputError(
            f"{source}: a load of {load:g} would take {rounds} rounds of {len(found.rows)} tasks",
            hint="are these the nodes that belong to the tasks?",
        )
    return rounds


def _in_rounds(moments_s: Times, rounds: int) -> Times:
    """The moments of all rounds before they are scaled; between rounds lies the mean time between arrivals."""
    begins_s = moments_s[int(EARLY * len(moments_s))]
    if begins_s == moments_s[-1]:
        begins_s = moments_s[0]
    one = np.maximum(moments_s, begins_s) - begins_s
    length_s = float(one[-1])
    step_s = length_s * (1 + 1 / len(one))
    return np.concatenate([one + number * step_s for number in range(rounds)])


def _factor(found: _Recorded, chosen: NDArray[np.int64], moments_s: Times, load: float, source: str) -> float:
    """What the moments are to be multiplied by, found by halving: the denser the arrivals, the higher the load."""
    lasts_s, demand = found.lasts_s[chosen], found.demand[chosen]
    dense, sparse = 1 / _WIDEST, _WIDEST
    for _ in range(_STEPS):
        factor = math.sqrt(dense * sparse)
        if _offered(moments_s * factor, lasts_s, demand, FILLING) > load:
            dense = factor
        else:
            sparse = factor
    reached = _offered(moments_s * dense, lasts_s, demand, FILLING)
    if abs(reached - load) > 0.01 * load:
        raise BrokenInputError(
            f"{source}: a load of {load:g} cannot be reached: the tasks run too short a time",
            hint="leave --load out to use the recorded times",
        )
    return dense


def _offered(arrives_s: Times, lasts_s: Times, demand: Times, filling: float) -> float:
    """Mean demand in use from that part of the time to the last arrival if nothing had to wait."""
    end_s = float(arrives_s[-1])
    begin_s = filling * end_s
    inside = np.minimum(arrives_s + lasts_s, end_s) - np.maximum(arrives_s, begin_s)
    return float((demand * np.maximum(inside, 0.0)).sum()) / (end_s - begin_s)


def _table(
    found: _Recorded, orders: list[NDArray[np.int64]], arrives_s: Times, factor: float, filling: float
) -> Timetable:
    chosen = np.concatenate(orders)
    lasts_s = found.lasts_s[chosen]
    return Timetable(
        rows=found.rows[chosen],
        arrives_s=arrives_s,
        lasts_s=lasts_s,
        rounds=len(orders),
        factor=factor,
        measured_from_s=filling * float(arrives_s[-1]),
        offered=_offered(arrives_s, lasts_s, found.demand[chosen], filling),
        without_times=found.without_times,
    )
