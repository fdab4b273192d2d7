"""Look back: how GPUs were used, what was wasted, and what could have been saved. Nothing is changed or written."""

from __future__ import annotations

import math
import sys
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gpualloc.engine import assess_levers as levers
from gpualloc.engine.assess_held import Stay, Wait, lives, strangers
from gpualloc.engine.assess_rows import DAY_S, UNKNOWN, Row, Ticks, bridged
from gpualloc.engine.assess_savings import savings as savings_of
from gpualloc.engine.assess_sizes import judged, sized
from gpualloc.engine.assess_sums import holdings, ledger, moments, nodes, owners, together
from gpualloc.engine.assess_unknown import Facts, not_known
from gpualloc.engine.assess_waits import waited, waits_told
from gpualloc.engine.context import Context
from gpualloc.model.assessment import Assessment, Ledger, Waits
from gpualloc.model.inventory import Device, NodeSpec, Snapshot
from gpualloc.model.sample import METRICS, Digest, SeriesKind
from gpualloc.planning.giving_way import SUSPEND_FROM_DRIVER

_USE, _MEMORY, _TOTAL, _POWER = "gpu_utilization_ratio", "gpu_memory_used_mib", "gpu_memory_total_mib", "power_w"
_CPU = "cpu_utilization_ratio"
_STEPS = ((DAY_S, 60), (14 * DAY_S, 300), (math.inf, 900))
"""For a time of at most so many seconds, how long a tick is."""


def assess(
    ctx: Context, snapshot: Snapshot, asked_s: float, on_device: Callable[[int], None] | None = None
) -> Assessment:
    """Read the samples, the audit trail and the workloads of a time, and tell what became of the GPUs in it.

    The time ends with the last whole tick, and begins with the first sample when that is later than asked for.

    Args:
        ctx: the ports; nothing is written.
        snapshot: what is seen now; nodes that do not answer are told of by their samples alone.
        asked_s: how far back, seconds.
        on_device: told how many devices were read.
    """
    asked = _ticks(snapshot.at_s, asked_s)
    specs = {spec.name: spec for spec in ctx.fleet.specs()}
    rows = []
    for digest in _digests(ctx, SeriesKind.DEVICE, (_USE, _MEMORY, _TOTAL, _POWER), asked):
        rows.append(_row(digest, specs.get(digest.key.node), _device(snapshot, digest.key.key)))
        if on_device is not None:
            on_device(len(rows))
    rows, ticks = _from_first_sample(rows, asked)
    if ticks.count == 0:
        return _nothing(ctx, snapshot, asked_s, asked)
    past = _past(ctx, snapshot, ticks)
    stays = defaultdict(list)
    for stay in past.stays:
        stays[stay.device].append(stay)
    for row in rows:
        row.settle(ticks, stays[row.uuid])
    return _told(_Look(ctx, snapshot, asked_s, ticks), rows, past)


@dataclass(frozen=True, slots=True)
class _Look:
    """What is looked at, and when."""

    ctx: Context
    snapshot: Snapshot
    asked_s: float
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class _Past:
    """What is remembered beside the samples of devices."""

    stays: tuple[Stay, ...]
    waits: tuple[Wait, ...]
    memory_mib: Mapping[str, float]
    """The most GPU memory of all processes of a workload, by its id."""
    cpus: Mapping[str, array[float]]
    """Use of the CPUs of a node by tick."""


def _told(look: _Look, rows: Sequence[Row], past: _Past) -> Assessment:
    ctx, snapshot, ticks = look.ctx, look.snapshot, look.ticks
    closed = {node.name for node in snapshot.reached if not node.manageable}
    here = next((spec.name for spec in ctx.fleet.specs() if spec.transport == "local"), None)
    mask = waited(past.waits, ticks)
    ledgers = [ledger(row, ticks, mask) for row in rows]
    total = together(ledgers)
    far = judged(rows, past.stays, past.memory_mib, ticks)
    found = (
        levers.suspension(rows, _able(snapshot), ticks),
        levers.right_sizing(far, ticks),
        levers.sharing(rows, ticks),
        levers.consolidation(rows, ticks),
        levers.switching_off(rows, past.cpus, mask, here, ticks),
        levers.clocks(rows, ticks),
    )
    savings, at_most_h = savings_of(found, rows, ticks)
    held = holdings(rows, ticks)
    facts = Facts(snapshot, look.asked_s, ticks, total, rows, held, any(one.a_week is not None for one in savings))
    return Assessment(
        at_s=snapshot.at_s,
        simulated=ctx.simulated,
        asked_s=look.asked_s,
        from_s=ticks.start_s,
        to_s=ticks.end_s,
        step_s=ticks.step_s,
        total=total,
        nodes=nodes(rows, ledgers, ticks),
        moments=moments(rows, ticks),
        waits=waits_told(past.waits, rows, ticks, closed),
        holdings=held,
        owners=owners(held),
        sizes=tuple(sorted((sized(one, ticks) for one in far), key=lambda one: (-one.saved_gpu_h, one.id))),
        savings=savings,
        at_most_h=at_most_h,
        devices=len(rows),
        days_seen=_days_seen(rows, ticks),
        unknown=not_known(facts),
    )


def _nothing(ctx: Context, snapshot: Snapshot, asked_s: float, asked: Ticks) -> Assessment:
    """The report of a time without a single sample."""
    return Assessment(
        at_s=snapshot.at_s,
        simulated=ctx.simulated,
        asked_s=asked_s,
        from_s=asked.end_s,
        to_s=asked.end_s,
        step_s=asked.step_s,
        total=Ledger(),
        nodes=(),
        moments=(),
        waits=Waits(),
        holdings=(),
        owners=(),
        sizes=(),
        savings=(),
        at_most_h=0.0,
        devices=0,
        days_seen=0,
        unknown=("nothing: no device was sampled in this time",),
    )


def _ticks(now_s: float, asked_s: float) -> Ticks:
    step_s = next(step_s for most_s, step_s in _STEPS if asked_s <= most_s)
    count = math.ceil(asked_s / step_s)
    return Ticks((int(now_s // step_s) - count) * step_s, step_s, count)


def _digests(ctx: Context, kind: SeriesKind, names: Sequence[str], ticks: Ticks) -> Iterator[Digest]:
    return ctx.history.digests(kind, [METRICS[name] for name in names], ticks.start_s, ticks.step_s, ticks.count)


def _device(snapshot: Snapshot, uuid: str) -> Device | None:
    return next((device for node in snapshot.nodes for device in node.devices if device.uuid == uuid), None)


def _row(digest: Digest, spec: NodeSpec | None, device: Device | None) -> Row:
    seen = [mib for mib in digest.high[_TOTAL] if not math.isnan(mib)]
    told_mib = device.memory_total_mib if device is not None else None
    return Row(
        # Arrays of a thousand devices stay small only if names of nodes are one object each.
        node=sys.intern(digest.key.node),
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


def _past(ctx: Context, snapshot: Snapshot, ticks: Ticks) -> _Past:
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
    return _Past((*stays, *theirs), tuple(waits), {name: mib for name, mib in memory.items() if mib}, cpus)


def _able(snapshot: Snapshot) -> frozenset[str]:
    """The nodes whose driver can suspend work."""
    branches = {node.name: (node.driver_version or "").partition(".")[0] for node in snapshot.reached}
    return frozenset(
        name for name, branch in branches.items() if branch.isdigit() and int(branch) >= SUSPEND_FROM_DRIVER
    )


def _days_seen(rows: Sequence[Row], ticks: Ticks) -> int:
    """Days of which something is known."""
    return len({ticks.day(tick) for row in rows for tick, state in enumerate(row.states) if state != UNKNOWN})
