"""Plays one week in one arm, tick by tick, looks after the promises of `rebalance`, and adds the figures up."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from msgspec import Struct
from msgspec.structs import replace
from week_work import DAY_S, HOUR_S, Arrival, Class
from week_world import BEGIN_S, PRICES, TICK_S, Arm, Wall, world

from gpualloc.engine.context import Context
from gpualloc.engine.plan import LIVE
from gpualloc.engine.rebalance import Cycle, rebalance
from gpualloc.engine.submit import submit
from gpualloc.model.allocation import Share
from gpualloc.model.foresight import Steps
from gpualloc.model.rebalancing import DISRUPTIVE, MoveKind
from gpualloc.model.sample import METRICS, SeriesKind
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.sim.cluster import ClusterSpec
from gpualloc.sim.use import Pattern, utilization

LONGEST_WAIT_S = {Class.NOTEBOOK: 900.0, Class.SERVICE: 900.0, Class.MIG: 900.0, Class.BATCH: 3600.0}
"""Work that waits longer misses its objective; training does when it takes three times its run time and an hour."""
QUIET_EVERY = 36
"""After each so many runs it is looked at whether the next one would have nothing to do."""
SLOWDOWN, SLACK_S = 3.0, HOUR_S
LONGEST_STALL_S = 1200.0
"""A notebook that stands still for longer while its owner wants to compute misses its objective, too."""


@dataclass
class Tick:
    """The cluster after one cycle, in GPUs."""

    held: float
    waiting: float
    suspended: float


@dataclass
class Figures:
    """What came of one arm in one week."""

    arm: str
    seed: int
    values: dict[str, float] = field(default_factory=dict)
    by_class: dict[str, dict[str, float]] = field(default_factory=dict)
    moves: dict[str, int] = field(default_factory=dict)
    held_back: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    """Promises that were not kept."""
    failed: list[str] = field(default_factory=list)
    """Steps that failed, and what the nodes said."""
    course: list[tuple[float, float, float, float]] = field(default_factory=list)
    """GPUs held, waited for, suspended and in use, by tick."""
    cycle_ms: list[float] = field(default_factory=list)
    restless: list[str] = field(default_factory=list)
    """What a run right after another one would still do, where that was looked at."""


def play(
    arm: Arm,
    spec: ClusterSpec,
    work: Sequence[Arrival],
    days: float,
    seed: int,
    told: Callable[[Figures], None] = lambda _figures: None,
) -> Figures:
    """One week in one arm.

    Args:
        arm: the rules.
        spec: the cluster.
        work: what comes, in order.
        days: how long it goes on.
        seed: shown with the figures.
        told: called after each tick with what was counted so far.
    """
    wall, figures = Wall(), Figures(arm.name, seed)
    with world(arm, spec, wall) as ctx:
        week = _Week(ctx, arm, figures)
        left = list(reversed(work))
        for tick in range(1, round(days * DAY_S / TICK_S) + 1):
            now_s = BEGIN_S + tick * TICK_S
            while left and BEGIN_S + left[-1].at_s <= now_s:
                arrival = left.pop()
                wall.at_s = BEGIN_S + arrival.at_s
                week.submit(arrival)
            wall.at_s = now_s
            begun = time.perf_counter()
            cycle = rebalance(ctx)
            figures.cycle_ms.append(1000 * (time.perf_counter() - begun))
            week.look(cycle, now_s)
            if tick % QUIET_EVERY == 0:
                week.look_again(now_s)
            told(figures)
        week.add_up(wall.at_s, work)
    return figures


class _Week:
    """What is known of the work while the week goes on."""

    def __init__(self, ctx: Context, arm: Arm, figures: Figures) -> None:
        self._ctx = ctx
        self._arm = arm
        self._figures = figures
        self._arrivals: dict[str, Arrival] = {}
        self._ids: dict[str, str] = {}
        self._first_start: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._stalled: Counter[str] = Counter()
        self._cost = 0.0
        self._ticks: list[Tick] = []
        self._moves: Counter[str] = Counter()
        self._guards: Counter[str] = Counter()
        self._touched: dict[str, float] = {}
        self._disrupted: dict[str, list[tuple[float, str]]] = defaultdict(list)
        self._pools = {each.name: each.pool for each in ctx.fleet.specs()}

    def submit(self, arrival: Arrival) -> None:
        """Ask for the work, in the name of its tenant; in the static arm on the nodes of the tenant only."""
        request = arrival.request
        if self._arm.share is not None:
            request = replace(request, nodes=self._arm.share[arrival.tenant])
        done = submit(replace(self._ctx, actor=arrival.tenant), arrival.name, request)
        self._arrivals[done.workload.id] = arrival
        self._ids[arrival.name] = done.workload.id

    def look(self, cycle: Cycle, now_s: float) -> None:
        """Count, and check the promises."""
        self._count_moves(cycle, now_s)
        live = self._ctx.journal.workloads(LIVE)
        running = [work for work in live if work.state is WorkloadState.RUNNING]
        self._check_places(running)
        held = waiting = suspended = 0.0
        for work in live:
            gpus = _gpus(work)
            if work.state is WorkloadState.RUNNING:
                held += gpus
                self._started[work.id] = work.started_at_s or now_s
                self._first_start.setdefault(work.id, self._started[work.id])
                assert work.allocation is not None
                self._cost += gpus * PRICES[self._pools[work.allocation.node]] * TICK_S / HOUR_S
            elif work.state is WorkloadState.SUSPENDED:
                suspended += gpus
                self._stall(work, now_s)
            else:
                waiting += gpus
        self._ticks.append(Tick(held, waiting, suspended))

    def look_again(self, now_s: float) -> None:
        """Whether the run that was just made left nothing to do."""
        again = rebalance(self._ctx, dry_run=True)
        moves = again.better.moves if again.better is not None else ()
        told = [f"{move.kind} {move.workload or move.device}" for move in moves]
        if not again.quiet:
            self._figures.restless.append(f"{now_s - BEGIN_S:.0f} s: {len(again.plan.steps)} steps; {', '.join(told)}")

    def add_up(self, now_s: float, work: Sequence[Arrival]) -> None:
        """The figures of the whole time."""
        books = {each.id: each for each in self._ctx.journal.workloads(ended_since_s=0.0)}
        figures, ticks = self._figures, len(self._ticks)
        power, use = (self._grid(name, ticks) for name in ("power_w", "gpu_utilization_ratio"))
        gpus = len(power)
        by_class: dict[Class, list[_Outcome]] = {kind: [] for kind in Class}
        for arrival in work:
            identity = self._ids[arrival.name]
            outcome = self._outcome(books[identity], arrival, now_s)
            by_class[arrival.kind].append(outcome)
        everything = [one for found in by_class.values() for one in found]
        in_use = [math.fsum(column) for column in zip(*(_known(row) for row in use), strict=True)]
        figures.values = {
            "held %": 100 * fmean(tick.held for tick in self._ticks) / gpus,
            "in use %": 100 * fmean(in_use) / sum(any(map(math.isfinite, row)) for row in use),
            "mean wait, min": fmean(one.wait_s for one in everything) / 60,
            "p95 wait, min": _quantile([one.wait_s for one in everything], 0.95) / 60,
            "mean JCT, h": fmean(one.lasted_s for one in everything) / HOUR_S,
            "mean slowdown": fmean(one.lasted_s / one.lasts_s for one in everything),
            "SLO missed %": 100 * fmean(one.missed for one in everything),
            "energy, MWh": math.fsum(math.fsum(_known(row)) for row in power) * TICK_S / HOUR_S / 1e6,
            "cost": self._cost,
            "GPU-hours done": math.fsum(one.done_gpu_s for one in everything) / HOUR_S,
            "moves": float(sum(self._moves[kind] for kind in DISRUPTIVE)),
            "stalled, h": sum(self._stalled.values()) / HOUR_S,
            "ended": float(sum(one.ended for one in everything)),
            "work": float(len(everything)),
        }
        figures.values["kWh per GPU-hour"] = (
            1000 * figures.values["energy, MWh"] / max(1e-9, figures.values["GPU-hours done"])
        )
        figures.values["cost per GPU-hour"] = self._cost / max(1e-9, figures.values["GPU-hours done"])
        for kind, found in by_class.items():
            if found:
                figures.by_class[kind.value] = {
                    "mean wait, min": fmean(one.wait_s for one in found) / 60,
                    "p95 wait, min": _quantile([one.wait_s for one in found], 0.95) / 60,
                    "mean JCT, h": fmean(one.lasted_s for one in found) / HOUR_S,
                    "SLO missed %": 100 * fmean(one.missed for one in found),
                }
        figures.moves = {kind.value: self._moves[kind] for kind in MoveKind if self._moves[kind]}
        figures.held_back = dict(self._guards)
        figures.course = [
            (tick.held, tick.waiting, tick.suspended, used) for tick, used in zip(self._ticks, in_use, strict=True)
        ]

    # ---- inside

    def _grid(self, name: str, ticks: int) -> list[list[float]]:
        steps = Steps(round(BEGIN_S + TICK_S), round(TICK_S), ticks)
        grid = self._ctx.history.grid(METRICS[name], SeriesKind.DEVICE, steps)
        return [list(grid.values[row * ticks : (row + 1) * ticks]) for row in range(len(grid.names))]

    def _outcome(self, work: Workload, arrival: Arrival, now_s: float) -> _Outcome:
        started_s = self._first_start.get(work.id)
        wait_s = (started_s if started_s is not None else now_s) - work.submitted_at_s
        ended = work.state.ended
        until_s = work.ended_at_s if ended and work.ended_at_s is not None else now_s
        if ended and work.state is not WorkloadState.FINISHED:
            self._figures.broken.append(f"{arrival.name} ended as {work.state.value}: {work.reason}")
        lasted_s = until_s - work.submitted_at_s
        if not ended:
            lasted_s = max(lasted_s, wait_s + arrival.lasts_s)
        limit_s = LONGEST_WAIT_S.get(arrival.kind)
        late = wait_s > limit_s if limit_s is not None else lasted_s > SLOWDOWN * arrival.lasts_s + SLACK_S
        missed = late or self._stalled[work.id] > LONGEST_STALL_S
        done_s = arrival.lasts_s if ended else 0.0
        return _Outcome(wait_s, max(lasted_s, 1.0), arrival.lasts_s, missed, ended, done_s * _gpus(work))

    def _stall(self, work: Workload, now_s: float) -> None:
        """A notebook that stands still while its owner would compute."""
        arrival = self._arrivals[work.id]
        if arrival.kind is Class.NOTEBOOK and work.pid is not None and work.started_at_s is not None:
            wanted = utilization(Pattern.NOTEBOOK, work.pid, now_s - work.started_at_s)
            self._stalled[work.id] += round(TICK_S) if wanted else 0

    def _count_moves(self, cycle: Cycle, now_s: float) -> None:
        rules = self._arm.rules
        if cycle.report is not None:
            self._figures.failed += [f"{now_s - BEGIN_S:.0f} s: {step}" for step in cycle.report.failed]
        if cycle.better is None:
            return
        self._guards.update(held.guard for held in cycle.better.held_back)
        for move in cycle.better.moves:
            self._moves[move.kind] += 1
            if move.workload is None:
                continue
            if move.kind in DISRUPTIVE:
                if now_s - self._started.get(move.workload, now_s) < rules.min_run_s:
                    self._figures.broken.append(f"{now_s}: {move.workload} moved before its minimum run")
                if now_s - self._touched.get(move.workload, -math.inf) < rules.cool_down_s:
                    self._figures.broken.append(f"{now_s}: {move.workload} moved within its cool-down")
                recent = self._disrupted[move.owner or ""]
                recent[:] = [each for each in recent if each[0] >= now_s - rules.tenant_window_s]
                recent.append((now_s, move.workload))
                if len({identity for _, identity in recent}) > rules.tenant_moves:
                    self._figures.broken.append(f"{now_s}: too many moves of {move.owner}")
            self._touched[move.workload] = now_s

    def _check_places(self, running: Iterable[Workload]) -> None:
        """No device or instance is given twice, no device beyond its whole."""
        whole: Counter[str] = Counter()
        for work in running:
            for grant in work.allocation.grants if work.allocation else ():
                if grant.share is Share.MIG:
                    whole[f"{grant.device} {grant.mig_instance}"] += 1000
                else:
                    whole[grant.device] += round(1000 * grant.fraction)
        self._figures.broken += [
            f"{place} is given {milli / 1000:g} times" for place, milli in whole.items() if milli > 1000
        ]


class _Outcome(Struct, frozen=True):
    wait_s: float
    lasted_s: float
    lasts_s: float
    missed: bool
    ended: bool
    done_gpu_s: float


def _gpus(work: Workload) -> float:
    request = work.request
    return request.gpus * (int(request.mig_profile[0]) / 7 if request.mig_profile else request.fraction or 1.0)


def _known(row: Iterable[float]) -> list[float]:
    return [value if math.isfinite(value) else 0.0 for value in row]


def _quantile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
