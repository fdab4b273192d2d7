"""Look back: how GPUs were used, what was wasted, and what could have been saved. Nothing is changed or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpualloc.engine import assess_levers as levers
from gpualloc.engine.assess_reading import Reading, read
from gpualloc.engine.assess_rows import UNKNOWN, Row, Ticks
from gpualloc.engine.assess_savings import savings as savings_of
from gpualloc.engine.assess_sizes import judged, sized
from gpualloc.engine.assess_sums import holdings, ledger, moments, nodes, owners, together
from gpualloc.engine.assess_unknown import Facts, not_known
from gpualloc.engine.assess_waits import waited, waits_told
from gpualloc.engine.context import Context
from gpualloc.model.assessment import Assessment, Ledger, Waits
from gpualloc.model.inventory import Snapshot
from gpualloc.planning.giving_way import SUSPEND_FROM_DRIVER


def assess(
    ctx: Context, snapshot: Snapshot, asked_s: float, on_device: Callable[[int], None] | None = None
) -> Assessment:
    """Read the samples, the audit trail and the workloads of a time, and tell what became of the GPUs in it.

    Args:
        ctx: the ports; nothing is written.
        snapshot: what is seen now; nodes that do not answer are told of by their samples alone.
        asked_s: how far back, seconds.
        on_device: told how many devices were read.
    """
    reading = read(ctx, snapshot, asked_s, on_device)
    if reading.ticks.count == 0:
        return _nothing(ctx, snapshot, asked_s, reading.ticks)
    return _told(ctx, snapshot, asked_s, reading)


def _told(ctx: Context, snapshot: Snapshot, asked_s: float, reading: Reading) -> Assessment:
    ticks, rows, past = reading.ticks, reading.rows, reading.past
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
    facts = Facts(snapshot, asked_s, ticks, total, rows, held, any(one.a_week is not None for one in savings))
    return Assessment(
        at_s=snapshot.at_s,
        simulated=ctx.simulated,
        asked_s=asked_s,
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


def _able(snapshot: Snapshot) -> frozenset[str]:
    """The nodes whose driver can suspend work."""
    branches = {node.name: (node.driver_version or "").partition(".")[0] for node in snapshot.reached}
    return frozenset(
        name for name, branch in branches.items() if branch.isdigit() and int(branch) >= SUSPEND_FROM_DRIVER
    )


def _days_seen(rows: Sequence[Row], ticks: Ticks) -> int:
    """Days of which something is known."""
    return len({ticks.day(tick) for row in rows for tick, state in enumerate(row.states) if state != UNKNOWN})
