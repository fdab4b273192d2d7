"""What moves may rest on: what happened before, what was measured of idle work, and what is forecast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.foresee import foresee, remember
from gpualloc.engine.idle_work import IDLE_USE
from gpualloc.engine.improve import Foreseen
from gpualloc.engine.outlook import DEMAND, HISTORY, RUN_TIMES, SNAPSHOT, Outlook
from gpualloc.engine.past import past_of
from gpualloc.engine.run_times import label_of, run_times
from gpualloc.engine.serial import NoForecaster
from gpualloc.model.allocation import Share
from gpualloc.model.decision import Problem
from gpualloc.model.forecast import QUANTILES, Band, Grid
from gpualloc.model.foresight import ARRIVALS, By, Foresight
from gpualloc.model.foresight import DEMAND as DEMAND_SERIES
from gpualloc.model.inventory import Snapshot
from gpualloc.model.sample import METRICS
from gpualloc.model.workload import Workload, WorkloadState

_MOST_GAP_TICKS = 3
"""A hole of more ticks than that in the samples ends what is known of idleness."""
HORIZONS = 4
"""At how many equal steps up to the horizon demand is forecast."""
LEAST_WINDOWS = 24
"""How many horizons of the past must be known before anything is expected of it."""
_SHARES = frozenset(Share)
"""Names of arrivals that are of no MIG profile."""


def foresight(
    ctx: Context, late: Callable[[], bool], *, keep: bool = False
) -> Callable[[Problem, Sequence[Workload]], Foreseen]:
    """A function that tells what moves may rest on.

    Args:
        ctx: the ports.
        late: whether there is no more time.
        keep: whether the forecasts of demand are kept, to be scored when their time has come.
    """

    def foresee(problem: Problem, workloads: Sequence[Workload]) -> Foreseen:
        rules = ctx.settings.rebalance
        outlook = _outlook(ctx, problem.snapshot, workloads, keep=keep)
        return Foreseen(
            outlook=outlook,
            rules=rules,
            past=past_of(ctx, rules, workloads, outlook.ages),
            desired=ctx.journal.desired(),
            budgeted=tuple(ctx.settings.power_budgets),
            late=late,
        )

    return foresee


def _outlook(ctx: Context, snapshot: Snapshot, workloads: Sequence[Workload], *, keep: bool) -> Outlook:
    """All that can be told of the hours ahead."""
    running = [work for work in workloads if work.state is WorkloadState.RUNNING and work.allocation is not None]
    idle_s, use, idle_devices = _idleness(ctx, snapshot, running)
    oldest_s = min((node.at_s for node in snapshot.reached), default=None)
    span = ctx.history.span()
    now_s = ctx.clock.now_s()
    measured = Outlook(
        use=use,
        idle_s=idle_s,
        idle_devices=idle_devices,
        ages={
            SNAPSHOT: None if oldest_s is None else now_s - oldest_s,
            HISTORY: None if span is None else max(0.0, now_s - span[1]),
        },
    )
    return _forecast(ctx, measured, running, keep=keep) if ctx.settings.rebalance.predict else measured


def _forecast(ctx: Context, measured: Outlook, running: Sequence[Workload], *, keep: bool) -> Outlook:
    """What was measured, and what is forecast of demand, run times and requests."""
    horizon_s = ctx.settings.rebalance.horizon_s
    horizons_s = tuple(horizon_s * part / HORIZONS for part in range(1, HORIZONS + 1))
    demand = foresee(ctx, DEMAND_SERIES, horizons_s)
    if keep:
        remember(ctx, demand)
    arrivals = foresee(ctx, ARRIVALS, (horizon_s,), by=By.PROFILE, forecaster=NoForecaster())
    return replace(
        measured,
        horizons_s=demand.horizons_s,
        demand=_bands(demand),
        remaining_s=_remaining_s(ctx, running),
        instances=_requests_expected(arrivals.grid, horizon_s),
        ages={**measured.ages, DEMAND: demand.age_s, RUN_TIMES: 0.0},
    )


def _bands(foresight: Foresight) -> dict[str, tuple[Band | None, ...]]:
    horizons = range(len(foresight.forecasts.horizons))
    return {
        name: tuple(foresight.forecasts.band(series, horizon) for horizon in horizons)
        for series, name in enumerate(foresight.grid.names)
    }


def _remaining_s(ctx: Context, running: Iterable[Workload]) -> dict[str, Band]:
    """How long running work goes on yet, by what work of its class took that had run as long."""
    classes, now_s = run_times(ctx), ctx.clock.now_s()
    found = {}
    for work in running:
        ran_s = max(0.0, now_s - (work.started_at_s or now_s))
        told = classes.expect(work.owner, label_of(work.name), work.request.gpus, ran_s)
        if told is not None and told.median is not None:
            high_s = math.inf if told.high is None else told.high - ran_s
            found[work.id] = Band(max(0.0, told.low - ran_s), max(0.0, told.median - ran_s), high_s)
    return found


def _requests_expected(grid: Grid, horizon_s: float) -> dict[str, Band]:
    """How many requests came within one horizon in the past, by MIG profile; nothing where too little is known.

    All windows of that length count, whatever the hour: what is asked for at once is bursts, which no hour foretells.
    """
    width = max(1, math.ceil(horizon_s / grid.step_s)) if grid.ticks else 0
    found = {}
    for series, name in enumerate(grid.names):
        row = grid.values[series * grid.ticks : (series + 1) * grid.ticks]
        sums = [sum(row[end - width : end]) for end in range(width, len(row) + 1)]
        known = [value for value in sums if not math.isnan(value)]
        if len(known) >= LEAST_WINDOWS * width and name not in _SHARES:
            found[name] = _band(known)
    return found


def _idleness(
    ctx: Context, snapshot: Snapshot, running: Iterable[Workload]
) -> tuple[dict[str, float], dict[str, Band], dict[str, frozenset[str]]]:
    """For how long work used none of its devices, what it used since, and those that it did not use for long enough.

    Only where that is asked for and known.
    """
    idle_after_s = ctx.settings.rebalance.idle_after_s
    idle_s: dict[str, float] = {}
    use: dict[str, Band] = {}
    idle_devices: dict[str, frozenset[str]] = {}
    if not idle_after_s:
        return idle_s, use, idle_devices
    sole = _sole_holders(snapshot)
    since_s = ctx.clock.now_s() - idle_after_s - _MOST_GAP_TICKS * ctx.settings.sample_every_s
    for workload in running:
        measured = {device: _use_since(ctx, device, since_s) for device in sole.get(workload.id, ())}
        lasting = {device: _idle_s(points, ctx) for device, points in measured.items() if points}
        idle_devices[workload.id] = frozenset(device for device, idle in lasting.items() if idle >= idle_after_s)
        if measured and len(lasting) == len(measured):
            idle_s[workload.id] = min(lasting.values())
            use[workload.id] = _band([value for points in measured.values() for _, value in points])
    return idle_s, use, idle_devices


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
