"""A problem as the solvers take it: every default filled in, items by name, only devices that can matter."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from gpualloc.policies.temporal.problem import NOWHERE, Flags, Places, Prices, TemporalProblem, Values

SPREAD = 1.6448536
"""How many standard deviations of a normal distribution lie between its median and its 0.95 quantile."""
MOVE_PRICE = 0.1
TINY = 1e-9
"""What sums of floating-point numbers may be beyond a limit."""


class Case(Struct, frozen=True, eq=False):
    """Items are sorted by name, devices are those that can matter, in their order."""

    hours: Values
    alive: Flags
    compute: Values
    """(I, T) 0 where the item is not alive; where it is unknown, the whole of a device."""
    variance: Values | None
    """(I, T) None when compute is exactly known."""
    memory: Values
    """(I, T) GiB, 0 where the item is not alive; infinite where it is unknown."""
    device_memory: Values
    device_compute: Values
    on_price: Values
    enter_price: Values
    device_class: Places
    """(D,) devices of one class differ in nothing but what is on them."""
    classes: int
    """How many classes."""
    allowed: Flags
    """(I, D)."""
    place: Places
    pinned: Flags
    closed: Flags
    """(D,) devices on which something unknown is: nothing goes there, and what is there stays."""
    move_price: Values
    prices: Prices
    item_ids: Places
    """Number of each item in the problem."""
    device_ids: Places
    """Number of each device in the problem."""

    @property
    def items(self) -> int:
        """How many."""
        return len(self.item_ids)

    @property
    def intervals(self) -> int:
        """How many."""
        return len(self.hours)

    @property
    def devices(self) -> int:
        """How many."""
        return len(self.device_ids)


def case_of(problem: TemporalProblem) -> Case:
    """The problem, made ready.

    Raises:
        ValueError: arrays do not belong together.
    """
    count, devices = len(problem.items), len(problem.devices)
    _check(problem)
    order = np.array(sorted(range(count), key=problem.items.__getitem__), np.int64)
    alive = problem.alive[order]
    compute = np.where(alive, problem.compute[order], 0.0)
    memory = np.where(alive, problem.memory[order], 0.0)
    upper = None if problem.upper is None else np.where(alive, problem.upper[order], 0.0)
    place = _filled(problem.place, count, NOWHERE)[order]
    unknown = (np.isnan(compute) | np.isnan(memory)).any(axis=1)
    if upper is not None:
        unknown |= np.isnan(upper).any(axis=1)
    closed = np.zeros(devices, bool)
    closed[place[unknown & (place != NOWHERE)]] = True
    pinned = (_filled(problem.pinned, count, False)[order] & (place != NOWHERE)) | _on(closed, place)
    kind = _filled(problem.kind, devices, 0)
    kinds = np.ones((count, int(kind.max(initial=0)) + 1), bool) if problem.allowed is None else problem.allowed[order]
    device_compute = _filled(problem.device_compute, devices, 1.0)
    compute = np.where(np.isnan(compute), device_compute.max(initial=0.0), compute)
    memory = np.where(np.isnan(memory), np.where(place[:, None] == NOWHERE, np.inf, 0.0), memory)
    prices = _filled(problem.on_price, devices, 1.0), _filled(problem.enter_price, devices, 0.0)
    features = np.column_stack([problem.device_memory, device_compute, *prices, _permissions(kinds)[kind]])
    device_class = np.unique(features, axis=0, return_inverse=True)[1].astype(np.int64).reshape(devices)
    peaks = np.column_stack([compute.max(axis=1, initial=0.0), memory.max(axis=1, initial=0.0)])[alive.any(axis=1)]
    sizes = np.column_stack([device_compute, problem.device_memory])
    kept = _kept(peaks, sizes, device_class, place)
    new = np.full(devices + 1, NOWHERE, np.int64)
    new[kept] = np.arange(len(kept))
    return Case(
        hours=np.asarray(problem.hours, np.float64),
        alive=alive,
        compute=compute,
        variance=None if upper is None else _variance(compute, upper),
        memory=memory,
        device_memory=np.asarray(problem.device_memory, np.float64)[kept],
        device_compute=device_compute[kept],
        on_price=prices[0][kept],
        enter_price=prices[1][kept],
        device_class=device_class[kept],
        classes=len(np.unique(device_class[kept])),
        allowed=kinds[:, kind[kept]],
        place=new[place],
        pinned=pinned,
        closed=closed[kept],
        move_price=_filled(problem.move_price, count, MOVE_PRICE)[order],
        prices=problem.prices,
        item_ids=order,
        device_ids=kept,
    )


def part_of(case: Case, first: int, end: int) -> Case:
    """The case as if there were only the intervals from `first` to before `end`, and nothing were anywhere yet."""
    part = slice(first, end)
    return replace(
        case,
        hours=case.hours[part],
        alive=case.alive[:, part],
        compute=case.compute[:, part],
        variance=None if case.variance is None else case.variance[:, part],
        memory=case.memory[:, part],
        place=np.full(case.items, NOWHERE),
        pinned=np.zeros(case.items, bool),
    )


def alike(case: Case) -> bool:
    """Whether devices differ in nothing, nothing is anywhere yet, and all memory is known."""
    free = bool((case.place == NOWHERE).all()) and bool(np.isfinite(case.memory).all())
    return free and case.classes == 1 and bool(case.allowed.all())


def _check(problem: TemporalProblem) -> None:
    count, intervals, devices = len(problem.items), len(problem.hours), len(problem.devices)
    if len({*problem.items}) != count:
        raise ValueError("an item stands there twice")
    shapes = {
        (count, intervals): (problem.alive, problem.compute, problem.memory, problem.upper),
        (count,): (problem.place, problem.pinned, problem.move_price),
        (devices,): (
            problem.device_memory,
            problem.device_compute,
            problem.on_price,
            problem.enter_price,
            problem.kind,
        ),
    }
    for shape, arrays in shapes.items():
        for array in arrays:
            if array is not None and array.shape != shape:
                raise ValueError(f"an array has the shape {array.shape}, where {shape} belongs")
    if intervals == 0 or not (problem.hours > 0).all():
        raise ValueError("there has to be an interval, and each has to last")


def _filled(values: np.ndarray | None, count: int, otherwise: float) -> np.ndarray:
    return np.full(count, otherwise) if values is None else values


def _on(closed: Flags, place: Places) -> Flags:
    """Items on closed devices."""
    on: Flags = closed[place] & (place != NOWHERE)
    return on


def _permissions(kinds: Flags) -> Places:
    """A number for each kind, equal where the same items are allowed."""
    return np.unique(kinds.T, axis=0, return_inverse=True)[1].reshape(kinds.shape[1])


def _variance(compute: Values, upper: Values) -> Values:
    known = np.where(np.isnan(upper), compute, np.maximum(upper, compute))
    spread: Values = (known - compute) / SPREAD
    return spread**2


def _kept(peaks: Values, sizes: Values, device_class: Places, place: Places) -> Places:
    """Devices that something is on, and of each class as many empty ones as a packing on peaks could take."""
    used = np.zeros(len(sizes), bool)
    used[place[place != NOWHERE]] = True
    kept = [np.flatnonzero(used)]
    for number in range(int(device_class.max(initial=-1)) + 1):
        empty = np.flatnonzero((device_class == number) & ~used)
        if len(empty):
            size = sizes[empty[0]]
            kept.append(empty[: _bins(peaks[peaks[:, 1] <= size[1]], size)])
    found: Places = np.sort(np.concatenate(kept))
    return found


def _bins(peaks: Values, size: Values) -> int:
    """How many devices first-fit takes for these peaks, and some more for other packings."""
    sizes = np.minimum(peaks / np.maximum(size, TINY), 1.0)
    left = np.ones((len(sizes), 2))
    count = 0
    for item in sizes[np.argsort(-sizes.sum(axis=1), kind="stable")]:
        place = int(np.argmax((left >= item - TINY).all(axis=1)))
        left[place] -= item
        count = max(count, place + 1)
    return count + count // 8 + 2
