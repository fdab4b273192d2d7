"""How gpualloc itself stands: what waits, what runs, when rebalance last ran, what was interrupted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.cordon import state_of
from gpualloc.engine.settle import SHOWN_AFTER_END_S
from gpualloc.engine.submit import Starter, starter_of
from gpualloc.model.desired import Cordon, CordonState
from gpualloc.model.plan import Run


class Status(Struct, frozen=True):
    """The answer of `gpualloc status`."""

    workloads: Mapping[str, int]
    """Number of workloads by state word; ended work of the last day only."""
    starter: Starter
    last_rebalance_at_s: float | None
    last_rebalance: str | None
    """What the last rebalance did, in words."""
    open_runs: tuple[Run, ...]
    """Interrupted runs, or one under way right now."""
    held_by: str | None
    """Who holds the apply lock, in words; None when it is free."""
    cordons: tuple[tuple[Cordon, CordonState], ...] = ()
    """What takes no new work, and how it stands by our books."""


def status(ctx: Context) -> Status:
    """Read the state; no node is asked."""
    now_s = ctx.clock.now_s()
    last = ctx.journal.last_rebalance()
    workloads = ctx.journal.workloads(ended_since_s=now_s - SHOWN_AFTER_END_S)
    counts = Counter(work.state.value for work in workloads)
    return Status(
        workloads=dict(counts),
        starter=starter_of(ctx.journal, now_s),
        last_rebalance_at_s=last[0] if last else None,
        last_rebalance=last[1] if last else None,
        open_runs=ctx.journal.open_runs(),
        held_by=ctx.journal.lock_holder(),
        cordons=tuple((each, state_of(each, workloads)) for each in ctx.journal.cordons()),
    )
