"""The whole cycle, once under the lock (cron) or at every event (watch)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.apply import apply_locked, remember_why
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubtful
from gpualloc.engine.improve import Improvement
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.plan import make_better_plan
from gpualloc.engine.predict import foresight
from gpualloc.engine.recover import recover
from gpualloc.engine.sample import sample
from gpualloc.engine.sizes import sizes
from gpualloc.errors import (
    GpuallocError,
    HookError,
    InfeasibleError,
    LockedError,
    StalePlanError,
    StateError,
    StoppedError,
    UnreachableError,
)
from gpualloc.model.assessment import Sized
from gpualloc.model.plan import Plan
from gpualloc.model.workload import WorkloadState

WATCH_PAUSE_S = 60.0
"""Longest time without a cycle while watching: strangers come and go without an event."""
WATCH_POLL_S = 0.25
"""How often a watcher looks whether somebody submitted work."""


class Cycle(Struct, frozen=True):
    """What one cycle found and did."""

    plan: Plan
    report: Report | None
    """None when nothing was applied: no steps, or a dry run."""
    better: Improvement | None = None
    """What was moved and held back beyond places for waiting work; None when nobody looked."""
    bound_after_s: float | None = None
    """While watching: seconds from the moment the change was seen until everything was bound; None: nothing was."""
    right_sizes: tuple[Sized, ...] = ()
    """Of a dry run: running work that could do with less, as a proposal to its owners."""
    recovered: tuple[Report, ...] = ()
    """Runs of an interrupted apply that were brought to their end first."""

    @property
    def quiet(self) -> bool:
        """Whether nothing changed."""
        return not self.plan.steps and not self.recovered


def rebalance(
    ctx: Context,
    *,
    dry_run: bool = False,
    wait_s: float = 0.0,
    on_step: OnStep | None = None,
    timer: Callable[[], float] | None = None,
) -> Cycle:
    """Observe, settle, foresee, decide, plan and apply once; never asks.

    Args:
        ctx: the ports.
        dry_run: stop before anything is applied or recovered; takes no lock.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.
        timer: seconds, any origin, that `rebalance.deadline` is counted in; None: deciding takes what it takes.

    Raises:
        LockedError: another gpualloc is at work.
        UnreachableError: no node answered.
    """
    late = _late(ctx, timer)
    if dry_run:
        snapshot = observe(ctx, near=wanted_paths(ctx))
        plan, better = make_better_plan(ctx, foresight(ctx, late), snapshot=snapshot, late=late)
        return Cycle(plan, None, better, right_sizes=() if late() else sizes(ctx, snapshot))
    foresee = foresight(ctx, late, keep=True)
    with ctx.journal.write("rebalance", wait_s) as writer:
        recovered = tuple(recover(ctx, writer, on_step))
        snapshot = observe(ctx, near=wanted_paths(ctx))
        sample(ctx, snapshot)
        plan, better = make_better_plan(ctx, foresee, writer=writer, snapshot=snapshot, late=late)
        report = apply_locked(ctx, writer, plan, on_step) if plan.applyable else None
        remember_why(ctx, writer, plan)
        writer.mark_rebalance(ctx.clock.now_s(), _summary(plan, report))
    return Cycle(plan, report, better, recovered=recovered)


def watch(
    ctx: Context,
    stopped: Callable[[], bool],
    on_cycle: Callable[[Cycle], None],
    on_trouble: Callable[[GpuallocError], None],
    timer: Callable[[], float],
) -> None:
    """Run a cycle now and at every event: work ended, work submitted, a node came back; until `stopped`.

    A lock held by somebody else, a fleet that does not answer, a world that moved in the middle of a cycle, a full
    disk, a hook that says no or a plan that disturbs too much is reported and tried again at the next event.

    Raises:
        LockedError: somebody watches this state already.
    """
    with ctx.journal.watching():
        while not stopped():
            begun = timer()
            try:
                cycle = rebalance(ctx, timer=timer)
            except StoppedError:
                return
            except (LockedError, UnreachableError, StalePlanError, StateError, HookError, InfeasibleError) as error:
                on_trouble(error)
                seen = ctx.journal.data_version()
            else:
                on_cycle(replace(cycle, bound_after_s=timer() - begun if cycle.report is not None else None))
                # Taken before the look, so that what is submitted after it is an event.
                seen = ctx.journal.data_version()
                if _came_meanwhile(ctx, cycle.plan):
                    continue
            _wait_for_event(ctx, seen, stopped)


def _late(ctx: Context, timer: Callable[[], float] | None) -> Callable[[], bool]:
    """Whether the deadline that begins now is over."""
    if timer is None:
        return lambda: False
    until = timer() + ctx.settings.rebalance_deadline_s
    return lambda: timer() > until


def _came_meanwhile(ctx: Context, plan: Plan) -> bool:
    """Whether work waits that the plan knew nothing of."""
    known = {step.workload for step in plan.steps} | {rejection.workload for rejection in plan.rejections}
    known |= doubtful(ctx)
    return any(workload.id not in known for workload in ctx.journal.workloads([WorkloadState.PENDING]))


def _wait_for_event(ctx: Context, seen: int, stopped: Callable[[], bool]) -> None:
    waited_s = 0.0
    while waited_s < WATCH_PAUSE_S and not stopped():
        if ctx.fleet.wait_for_event(WATCH_POLL_S) or ctx.journal.data_version() != seen:
            return
        waited_s += WATCH_POLL_S


def _summary(plan: Plan, report: Report | None) -> str:
    if report is None:
        return f"no changes, {len(plan.rejections)} waiting"
    done = len(report.done)
    return (
        f"{done} {'step' if done == 1 else 'steps'} done, {len(report.failed)} failed, {len(plan.rejections)} waiting"
    )
