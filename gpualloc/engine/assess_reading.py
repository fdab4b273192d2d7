"""Read a time back: samples on a grid of ticks, and who had and who wanted devices in it."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.assess_held import Stay, Wait, lives, strangers
from gpualloc.engine.assess_rows import DAY_S, Row, Ticks, bridged
from gpualloc.engine.context import Context
from gpualloc.model.inventory import Device, NodeSpec, Snapshot
from gpualloc.model.sample import METRICS, Digest, SeriesKind

_USE, _MEMORY, _TOTAL, _POWER = "gpu_utilization_ratio", "gpu_memory_used_mib", "gpu_memory_total_mib", "power_w"
_CPU = "cpu_utilization_ratio"
_STEPS = ((DAY_S, 60), (14 * DAY_S, 300), (math.inf, 900))
"""For a time of at most so many seconds, how long a tick is."""


class Past(Struct, frozen=True):
    """What is remembered beside the samples of devices."""

    stays: tuple[Stay, ...]
    waits: tuple[Wait, ...]
    memory_mib: Mapping[str, float]
    """The most GPU memory of all processes of a workload, by its id."""
    cpus: Mapping[str, array[float]]
    """Use of the CPUs of a node by tick."""


class Reading(Struct, frozen=True):
    """A time, read back."""

    ticks: Ticks
    """From the first sample on; none where there is no sample."""
    rows: tuple[Row, ...]
    """The devices, settled; by node and UUID."""
    past: Past


def read(ctx: Context, snapshot: Snapshot, asked_s: float, on_device: Callable[[int], None] | None = None) -> Reading:
    """Read samples, audit trail and workloads of the time before a snapshot; nothing is written.

    The time ends with the last whole tick, and begins with the first sample when that is later than asked for.

    Args:
        ctx: the ports.
        snapshot: what is seen now; nodes that do not answer are known by their samples alone.
        asked_s: how far back, seconds.
        on_device: told how many devices were read.
    """
    asked = _ticks(snapshot.at_s, asked_s)
    specs = {spec.name: spec for spec in ctx.fleet.specs()}
    devices = {device.uuid: device for node in snapshot.nodes for device in node.devices}
    rows = []
    for digest in _digests(ctx, SeriesKind.DEVICE, (_USE, _MEMORY, _TOTAL, _POWER), asked):
        rows.append(_row(digest, specs.get(digest.key.node), devices.get(digest.key.key)))
        if on_device is not None:
            on_device(len(rows))
    rows, ticks = _from_first_sample(rows, asked)
    if ticks.count == 0:
        return Reading(ticks, (), Past((), (), {}, {}))
    past = _past(ctx, snapshot, ticks)
    stays = defaultdict(list)
    for stay in past.stays:
        stays[stay.device].append(stay)
    for row in rows:
        row.settle(ticks, stays[row.uuid])
    return Reading(ticks, tuple(rows), past)


def _ticks(now_s: float, asked_s: float) -> Ticks:
    step_s = next(step_s for most_s, step_s in _STEPS if asked_s <= most_s)
    count = math.ceil(asked_s / step_s)
    return Ticks((int(now_s // step_s) - count) * step_s, step_s, count)


def _digests(ctx: Context, kind: SeriesKind, names: Sequence[str], ticks: Ticks) -> Iterator[Digest]:
    return ctx.history.digests(kind, [METRICS[name] for name in names], ticks.start_s, ticks.step_s, ticks.count)


def _row(digest: Digest, spec: NodeSpec | None, device: Device | None) -> Row:
    seen = [mib for mib in digest.high[_TOTAL] if not math.isnan(mib)]
    told_mib = device.memory_total_mib if device is not None else None
    return Row(
        node=digest.key.node,
        uuid=digest.key.key,
        pool=None if spec is None else spec.pool,
        price=None if spec is None else spec.price_per_gpu_hour,
        model=None if device is None else device.model,
        memory_total_mib=max(seen) if seen else told_mib,
        mean=bridged(digest.mean[_USE], digest.step_s),
        high=bridged(digest.high[_USE], digest.step_s),
        memory=bridged(digest.high[_MEMORY], digest.step_s),
        watts=bridged(digest.mean[_POWER], digest.step_s),
    )


def _from_first_sample(rows: Sequence[Row], asked: Ticks) -> tuple[list[Row], Ticks]:
    """The rows without the ticks before the first in which anything is known of any device."""
    first = min((_first_known(row) for row in rows), default=asked.count)
    ticks = Ticks(asked.start_s + first * asked.step_s, asked.step_s, asked.count - first)
    return [
        replace(row, mean=row.mean[first:], high=row.high[first:], memory=row.memory[first:], watts=row.watts[first:])
        for row in rows
    ], ticks


def _first_known(row: Row) -> int:
    every = (row.high, row.memory, row.watts)
    return min(
        next((tick for tick, value in enumerate(values) if not math.isnan(value)), len(values)) for values in every
    )


def _past(ctx: Context, snapshot: Snapshot, ticks: Ticks) -> Past:
    workloads = ctx.journal.workloads(ended_since_s=ticks.start_s)
    since_s = min([float(ticks.start_s), *(workload.submitted_at_s for workload in workloads)])
    stays, waits = lives(workloads, ctx.journal.audit(since_s=since_s), snapshot, snapshot.at_s)
    ours = [workload.id for workload in workloads]
    theirs = strangers(snapshot, ctx.journal.sightings(), ours, ctx.journal.controller, snapshot.at_s)
    memory: defaultdict[str, float] = defaultdict(float)
    for digest in _digests(ctx, SeriesKind.WORKLOAD, (_MEMORY,), ticks):
        known = [mib for mib in digest.high[_MEMORY] if not math.isnan(mib)]
        memory[digest.key.key] = max([memory[digest.key.key], *known])
    cpus = {
        digest.key.node: bridged(digest.high[_CPU], ticks.step_s)
        for digest in _digests(ctx, SeriesKind.NODE, (_CPU,), ticks)
    }
    return Past((*stays, *theirs), tuple(waits), {name: mib for name, mib in memory.items() if mib}, cpus)
