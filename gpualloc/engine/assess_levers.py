"""What each lever of gpualloc would have saved, from a cautious to a hopeful figure for each day. Pure.

The levers overlap: an idle device can be given back once only. Nothing is counted of time that is not known.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct

from gpualloc.engine.assess_days import Daily
from gpualloc.engine.assess_held import Holder
from gpualloc.engine.assess_rows import FREE, IDLE, UNKNOWN, Row, Ticks, runs
from gpualloc.engine.assess_sharing import MEMORY_RATIO, freed
from gpualloc.engine.assess_sizes import Judged
from gpualloc.model.allocation import Share
from gpualloc.model.assessment import IDLE_AFTER_S, OFF_AFTER_S, Lever
from gpualloc.model.workload import Preemption

REST_RATIO = 0.1
"""A node whose CPUs are used less than this does nothing else."""
BOOT_S = 600.0
"""What a node is allowed to come back, beside `OFF_AFTER_S`."""
_KILO = 1000.0


class Found(Struct, frozen=True):
    """What a lever would have saved."""

    lever: Lever
    assumes: tuple[str, ...]
    gpu_h: Daily | None
    kwh: Daily | None
    price: Daily
    """Price of `gpu_h`; zero where there is none."""


class _Books:
    """The figures of a lever while they are added up."""

    def __init__(self, ticks: Ticks) -> None:
        self.ticks = ticks
        self.gpu_h, self.kwh, self.price = (Daily(ticks.days) for _ in range(3))

    def hours(self, tick: int, low: float, high: float, price: float | None) -> None:
        """So many ticks of a device given back, at the day of a tick."""
        day, hour = self.ticks.day(tick), self.ticks.step_h
        self.gpu_h.add(day, low * hour, high * hour)
        self.price.add(day, low * hour * (price or 0.0), high * hour * (price or 0.0))

    def at_least_cautious(self) -> None:
        """Where the two figures were found by themselves."""
        self.gpu_h.at_least_cautious()
        self.price.at_least_cautious()

    def energy(self, tick: int, low_w: float, high_w: float) -> None:
        """So many watts less in a tick."""
        hour = self.ticks.step_h / _KILO
        self.kwh.add(self.ticks.day(tick), low_w * hour, high_w * hour)


def suspension(rows: Sequence[Row], able: Collection[str], ticks: Ticks) -> Found:
    """Idle devices given back once they have been idle for `IDLE_AFTER_S`.

    Args:
        rows: the devices, settled.
        able: nodes whose driver can suspend work.
        ticks: the grid.
    """
    books = _Books(ticks)
    after = round(IDLE_AFTER_S / ticks.step_s)
    for row in rows:
        for state, run in runs(row.states):
            if state == IDLE:
                for tick in run[after:]:
                    willing = row.node in able and all(map(_willing, row.holders[tick]))
                    books.hours(tick, float(willing), 1.0, row.price)
    assumes = (
        f"what held a GPU idle gives it back {IDLE_AFTER_S / 60:.0f} minutes into its rest, and is back in no time",
        "cautious: work of gpualloc's that may and can be suspended; hopeful: all that held GPUs idle",
        "it is of use only where other work wants the GPU",
    )
    return Found(Lever.SUSPEND, assumes, books.gpu_h, None, books.price)


def right_sizing(judged: Iterable[Judged], ticks: Ticks) -> Found:
    """Requests as `planning.right_size` proposes them, from the beginning."""
    books = _Books(ticks)
    for one in judged:
        part = one.saved_part
        low = part if one.proposal.gpus is not None else 0.0
        for row, known in one.devices:
            for tick in known:
                books.hours(tick, low, part, row.price)
    assumes = (
        "requests were from the beginning what their work was measured to need, with a margin",
        "cautious: GPUs that never computed; hopeful: also parts of GPUs, given that others use the rest",
    )
    return Found(Lever.RIGHT_SIZE, assumes, books.gpu_h, None, books.price)


def sharing(rows: Sequence[Row], ticks: Ticks) -> Found:
    """Small use put together on fewer devices."""
    books = _Books(ticks)
    for cautious in (True, False):
        for one in freed(rows, ticks, cautious=cautious):
            each = one.ticks / len(one.block)
            for tick in one.block:
                books.hours(tick, each if cautious else 0.0, 0.0 if cautious else each, one.price)
    books.at_least_cautious()
    assumes = (
        "what fits one GPU together, by the peaks of compute and memory of a block of hours, runs there as fast",
        "cautious: blocks of 4 hours, on its own node, 70 % of compute; hopeful: 1 hour, anywhere in its pool, all of "
        "it",
        f"memory fills {100 * MEMORY_RATIO:.0f} % at most, by MIG instances or time-slices; work on several GPUs stays",
        "processes that gpualloc did not start count as if they had been submitted to it; cautious: only if seen",
    )
    return Found(Lever.SHARE, assumes, books.gpu_h, None, books.price)


def consolidation(rows: Sequence[Row], ticks: Ticks) -> Found:
    """Work that books parts of devices brought together on as few as its parts come to."""
    books = _Books(ticks)
    shared: defaultdict[tuple[int, str | None, str | None, str | None], list[tuple[Row, float]]] = defaultdict(list)
    for row in rows:
        for tick, holders in enumerate(row.holders):
            parts = [holder.workload.request.fraction for holder in holders if holder.workload is not None]
            if row.states[tick] == UNKNOWN or not parts or len(parts) < len(holders) or None in parts:
                continue
            load = (row, sum(part for part in parts if part is not None))
            shared[(tick, row.pool, row.model, row.node)].append(load)
            shared[(tick, row.pool, row.model, None)].append(load)
    for (tick, _, _, node), loads in shared.items():
        spare = len(loads) - _fewest([load for _, load in loads])
        if spare > 0:
            price = min((row.price for row, _ in loads if row.price is not None), default=None)
            books.hours(tick, spare if node else 0.0, 0.0 if node else spare, price)
    books.at_least_cautious()
    assumes = (
        "work that booked parts of GPUs is moved together as soon as it fits; memory is shared out like compute",
        "cautious: on its own node; hopeful: anywhere in its pool",
    )
    return Found(Lever.CONSOLIDATE, assumes, books.gpu_h, None, books.price)


def clocks(rows: Sequence[Row], ticks: Ticks) -> Found:
    """Power that idle devices took beyond what free ones of their model take."""
    books = _Books(ticks)
    resting = _resting_w(rows)
    for row in rows:
        rest_w = resting.get(row.model)
        if rest_w is None:
            continue
        for tick, state in enumerate(row.states):
            if state == IDLE and not math.isnan(row.watts[tick]):
                books.energy(tick, 0.0, max(0.0, row.watts[tick] - rest_w))
    idle = [row for row in rows if IDLE in row.states]
    known = not idle or any(row.model in resting for row in idle)
    assumes = (
        "lower clocks or a cap bring an idle GPU at most down to what a free one of its model takes",
        "a cap below what idle GPUs take is often not possible: the cautious figure is 0",
    )
    return Found(Lever.CLOCKS, assumes, None, books.kwh if known else None, books.price)


def switching_off(
    rows: Sequence[Row], cpus: Mapping[str, Sequence[float]], waited: Sequence[int], here: str | None, ticks: Ticks
) -> Found:
    """Nodes off while nothing is held on them.

    Args:
        rows: the devices, settled.
        cpus: use of the CPUs of a node by tick, 0..1, NaN where it is not known.
        waited: by tick, whether work waited for GPUs.
        here: the node that gpualloc runs on; it stays on.
        ticks: the grid.
    """
    books = _Books(ticks)
    grouped: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.node != here:
            grouped[row.node].append(row)
    after = round((OFF_AFTER_S + BOOT_S) / ticks.step_s)
    for node, own in grouped.items():
        free = [int(all(row.states[tick] == FREE for row in own)) for tick in range(ticks.count)]
        use = cpus.get(node)
        for state, run in runs(free):
            for tick in run[after:] if state else ():
                rests = use is not None and use[tick] < REST_RATIO
                if use is not None and use[tick] >= REST_RATIO:
                    continue
                sure = float(rests and not waited[tick])
                for row in own:
                    books.hours(tick, sure, 1.0, row.price)
                    if not math.isnan(row.watts[tick]):
                        books.energy(tick, sure * row.watts[tick], row.watts[tick])
    assumes = (
        f"a node is off once nothing was held there for {OFF_AFTER_S / 60:.0f} minutes, and {BOOT_S / 60:.0f} minutes "
        "before it is wanted",
        "cautious: its CPUs are known to rest, and nothing waited; hopeful: also where that is not known",
        "energy is that of its GPUs alone, which is what is measured; the price is saved only by nodes that are rented",
    )
    return Found(Lever.OFF, assumes, books.gpu_h, books.kwh, books.price)


def _willing(holder: Holder) -> bool:
    """Whether it is work that may be suspended, and that the driver can suspend."""
    if holder.workload is None:
        return False
    request = holder.workload.request
    possible = request.share in (Share.EXCLUSIVE, Share.TIME_SLICE) and not request.gang
    return possible and request.preempt is Preemption.SUSPEND


def _fewest(loads: Sequence[float]) -> int:
    """Devices that loads need, whole ones moved together, first-fit by size."""
    bins: list[float] = []
    for load in sorted(loads, reverse=True):
        place = next((number for number, used in enumerate(bins) if used + load <= 1.0 + 1e-9), None)
        if place is None:
            bins.append(load)
        else:
            bins[place] += load
    return len(bins)


def _resting_w(rows: Sequence[Row]) -> dict[str | None, float]:
    """Mean power of free devices, by model; models that are not known are left out."""
    sums: defaultdict[str | None, list[float]] = defaultdict(list)
    for row in rows:
        if row.model is not None:
            for tick, state in enumerate(row.states):
                if state == FREE and not math.isnan(row.watts[tick]):
                    sums[row.model].append(row.watts[tick])
    return {model: sum(watts) / len(watts) for model, watts in sums.items()}
