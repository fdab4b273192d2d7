"""Which forecast caused which move."""

from __future__ import annotations

import numpy as np

from gpualloc.policies.temporal.bill import before_of
from gpualloc.policies.temporal.case import TINY, Case
from gpualloc.policies.temporal.loads import Loads
from gpualloc.policies.temporal.plan import Cause, Move
from gpualloc.policies.temporal.problem import Flags, Places


def explain(loads: Loads, moved: Flags) -> tuple[Move, ...]:
    """The moves with their reasons; `moved` (I, T) tells where items begin on another device."""
    before = before_of(loads)
    moves = [
        _move(loads, int(item), int(interval), int(before[item, interval]))
        for interval, item in np.argwhere(moved.T).tolist()
    ]
    return tuple(sorted(moves, key=lambda move: (move.interval, move.item)))


def _move(loads: Loads, item: int, interval: int, source: int) -> Move:
    case = loads.case
    target = int(loads.place[item, interval])
    stays = _stays(loads, item, interval)
    cause, when, forecast, load = _reason(loads, item, stays, source)
    if cause in (Cause.EMPTIED, Cause.CHEAPER):
        load = float(loads.compute[stays, target].max())
        when = int(stays[int(loads.compute[stays, target].argmax())])
    return Move(
        item=int(case.item_ids[item]),
        interval=interval,
        source=int(case.device_ids[source]),
        target=int(case.device_ids[target]),
        cause=cause,
        forecast=None if forecast is None else int(case.item_ids[forecast]),
        when=when,
        load=load,
    )


def _stays(loads: Loads, item: int, interval: int) -> Places:
    """The intervals from there on in which the item is on the device it moved to, until it moves again or ends."""
    row = loads.place[item, interval:]
    left = np.flatnonzero(row != row[0])
    return np.arange(interval, interval + (int(left[0]) if len(left) else len(row)))


def _reason(loads: Loads, item: int, stays: Places, source: int) -> tuple[Cause, int, int | None, float]:
    """Cause, the interval where it shows, the item whose forecast it is, and the compute asked of the source then."""
    case = loads.case
    asked = loads.compute[stays, source] + case.compute[item, stays]
    beyond = asked - case.device_compute[source]
    if case.variance is not None and loads.variance is not None:
        beyond = beyond + np.sqrt(np.maximum(loads.variance[stays, source] + case.variance[item, stays], 0.0))
    over = np.flatnonzero(beyond > TINY)
    if len(over):
        at = int(stays[over[0]])
        return Cause.OVERLOAD, at, _riser(loads, item, source, int(stays[0]), at), float(asked[over[0]])
    lacking = np.flatnonzero(loads.memory[stays, source] + case.memory[item, stays] > case.device_memory[source] + TINY)
    if len(lacking):
        at = int(stays[lacking[0]])
        return Cause.MEMORY, at, _comer(loads, source, int(stays[0]), at), float(asked[lacking[0]])
    if not loads.count[stays[0], source]:
        return Cause.EMPTIED, int(stays[0]), None, 0.0
    comer = _comer(loads, source, int(stays[0]), int(stays[0]))
    if comer is not None:
        return Cause.ROOM, int(stays[0]), comer, float(asked[0])
    return Cause.CHEAPER, int(stays[0]), None, 0.0


def _riser(loads: Loads, item: int, source: int, since: int, at: int) -> int:
    """Of the items that would be together on the source, the one that asks for more than before by most."""
    case = loads.case
    there = np.flatnonzero(loads.place[:, at] == source)
    together = np.union1d(there, [item])
    earlier = case.compute[together, since - 1] if since else np.zeros(len(together))
    return int(together[int(np.argmax(case.compute[together, at] - earlier))])


def _comer(loads: Loads, source: int, since: int, at: int) -> int | None:
    """The largest item that is on the source then, and was not before."""
    there = np.flatnonzero(loads.place[:, at] == source)
    earlier = loads.place[there, since - 1] if since else loads.case.place[there]
    came = there[earlier != source]
    return int(came[_largest(loads.case, came, at)]) if len(came) else None


def _largest(case: Case, items: Places, at: int) -> int:
    return int(np.argmax(case.memory[items, at] / case.device_memory.max() + case.compute[items, at]))
