"""What moves may rest on: what happened before, what was measured of idle work, and what is forecast."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from gpualloc.engine.context import Context
from gpualloc.engine.idle_work import IDLE_USE
from gpualloc.engine.improve import Foreseen
from gpualloc.engine.outlook import HISTORY, SNAPSHOT, Outlook
from gpualloc.model.allocation import Share
from gpualloc.model.decision import Problem
from gpualloc.model.forecast import QUANTILES, Band
from gpualloc.model.inventory import Snapshot
from gpualloc.model.rebalancing import RebalanceRules
from gpualloc.model.sample import METRICS
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.guards import Past

_LOSSES = frozenset({"suspend", "requeue"})
"""Audit entries of work that was moved, as its owner notices it."""
_TOUCHES = _LOSSES | {"resume"}
_MOST_GAP_TICKS = 3
"""A hole of more ticks than that in the samples ends what is known of idleness."""


def foresight(ctx: Context, late: Callable[[], bool]) -> Callable[[Problem, Sequence[Workload]], Foreseen]:
    """A function that tells what moves may rest on.

    Args:
        ctx: the ports.
        late: whether there is no more time.
    """

    def foresee(problem: Problem, workloads: Sequence[Workload]) -> Foreseen:
        rules = ctx.settings.rebalance
        return Foreseen(
            outlook=_outlook(ctx, problem.snapshot, workloads),
            rules=rules,
            past=past_of(ctx, rules, problem.snapshot, workloads),
            desired=ctx.journal.desired(),
            budgeted=tuple(ctx.settings.power_budgets),
            late=late,
        )

    return foresee


def past_of(ctx: Context, rules: RebalanceRules, snapshot: Snapshot, workloads: Iterable[Workload]) -> Past:
    """What guards ask about, from the audit trail."""
    now_s = ctx.clock.now_s()
    owners = {workload.id: workload.owner for workload in workloads}
    last_moved: dict[str, float] = {}
    moved: dict[str, set[str]] = {}
    for entry in ctx.journal.audit(since_s=now_s - max(rules.cool_down_s, rules.tenant_window_s)):
        if entry.workload is None or entry.kind not in _TOUCHES:
            continue
        last_moved[entry.workload] = max(entry.at_s, last_moved.get(entry.workload, entry.at_s))
        if entry.kind in _LOSSES and entry.at_s >= now_s - rules.tenant_window_s and entry.workload in owners:
            moved.setdefault(owners[entry.workload], set()).add(entry.workload)
    return Past(
        now_s=now_s,
        local=datetime.fromtimestamp(now_s).astimezone(),
        ages=_ages(snapshot, now_s),
        last_moved=last_moved,
        moved={owner: frozenset(ids) for owner, ids in moved.items()},
    )


def _ages(snapshot: Snapshot, now_s: float) -> Mapping[str, float | None]:
    oldest = min((node.at_s for node in snapshot.reached), default=None)
    return {SNAPSHOT: None if oldest is None else now_s - oldest, HISTORY: 0.0 if oldest is not None else None}


def _outlook(ctx: Context, snapshot: Snapshot, workloads: Iterable[Workload]) -> Outlook:
    idle_after_s = ctx.settings.rebalance.idle_after_s
    if not idle_after_s:
        return Outlook()
    sole = _sole_holders(snapshot)
    running = [work for work in workloads if work.state is WorkloadState.RUNNING and work.allocation is not None]
    since_s = ctx.clock.now_s() - idle_after_s - _MOST_GAP_TICKS * ctx.settings.sample_every_s
    idle_s, use = {}, {}
    for workload in running:
        measured = [_use_since(ctx, device, since_s) for device in sole.get(workload.id, ())]
        if measured and all(measured):
            idle_s[workload.id] = min(_idle_s(points, ctx) for points in measured)
            use[workload.id] = _band([value for points in measured for _, value in points])
    return Outlook(use=use, idle_s=idle_s)


def _sole_holders(snapshot: Snapshot) -> dict[str, list[str]]:
    """The devices of each workload that shares none of them with anybody, so that their use is its own."""
    found: dict[str, list[str]] = {}
    shared: set[str] = set()
    for node in snapshot.reached:
        for device in node.devices:
            users = {claim.workload for claim in node.claims if claim.device == device.uuid}
            strangers = any(each.device == device.uuid and each.workload not in users for each in node.processes)
            by_instance = any(claim.share is Share.MIG for claim in node.claims if claim.device == device.uuid)
            for user in users:
                found.setdefault(user, []).append(device.uuid)
                if len(users) > 1 or strangers or by_instance:
                    shared.add(user)
    return {user: devices for user, devices in found.items() if user not in shared}


def _use_since(ctx: Context, device: str, since_s: float) -> list[tuple[float, float]]:
    """Time and use of the device, of the ticks of which it is known."""
    metric = METRICS["gpu_utilization_ratio"]
    series = ctx.history.read(metric, since_s, ctx.clock.now_s() + 1, key=device)
    return [(at_s, value) for each in series for at_s, value in each.points if value is not None]


def _idle_s(points: Sequence[tuple[float, float]], ctx: Context) -> float:
    """For how long, up to now and without a hole, nothing of the device was used."""
    now_s, gap_s = ctx.clock.now_s(), _MOST_GAP_TICKS * ctx.settings.sample_every_s
    since_s = now_s
    for at_s, value in reversed(points):
        if value > IDLE_USE or since_s - at_s > gap_s:
            break
        since_s = at_s
    return now_s - since_s


def _band(values: list[float]) -> Band:
    """Empirical quantiles of what was measured: nothing does better for the use of single devices (docs/foresight)."""
    ordered = sorted(values)
    low, median, high = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in QUANTILES)
    return Band(low, median, high)
