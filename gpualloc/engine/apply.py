"""Apply a plan: refuse it when the world moved, else carry out its steps under the apply lock."""

from __future__ import annotations

from msgspec.structs import replace

from gpualloc.engine import hooks
from gpualloc.engine.carry import carry_out
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.execute import find_workload, workload_of
from gpualloc.engine.observe import observe
from gpualloc.engine.recover import check_going, conclude, recover, stopped_error
from gpualloc.errors import GpuallocError, InfeasibleError, PartlyAppliedError, StalePlanError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Plan, RunState
from gpualloc.model.workload import WorkloadState
from gpualloc.planning.base import base_facts, drift
from gpualloc.planning.blast import unnamed_victims
from gpualloc.ports import JournalWriter


def apply(ctx: Context, plan: Plan, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> Report:
    """Apply the plan; a half-applied one is resumed, any other interrupted run is finished first.

    Args:
        ctx: the ports.
        plan: what to do.
        wait_s: how long to wait for another gpualloc to let go of the apply lock.
        on_step: told of each step as it moves.

    Raises:
        LockedError: another gpualloc holds the lock for longer than `wait_s`.
        StalePlanError: applied already, or the facts under it have changed.
    """
    with ctx.journal.write("apply", wait_s) as writer:
        resumed = recover(ctx, writer, on_step)
        for report in resumed:
            run = ctx.journal.applied(plan.id)
            if run is not None and run.id == report.run_id:
                return report
        report = apply_locked(ctx, writer, plan, on_step)
        remember_why(ctx, writer, plan)
    return report


def apply_locked(ctx: Context, writer: JournalWriter, plan: Plan, on_step: OnStep | None = None) -> Report:
    """As `apply`, for a command that holds the apply lock and has recovered what was interrupted."""
    check_fresh(ctx, plan)
    check_disturbed(ctx, plan)
    check_going(ctx)
    run_id = ctx.fresh_id("r")
    with hooks.around(ctx, writer, run_id, plan) as course:
        now_s = ctx.clock.now_s()
        run = writer.open_run(run_id, plan, ctx.actor, now_s)
        writer.save((), (_apply_entry(plan, run.id, ctx.actor, now_s),))
        report = carry_out(ctx, writer, run, {}, on_step)
        course.state = conclude(ctx, writer, run, report, gone_wrong=bool(report.failed))
    return report


def remember_why(ctx: Context, writer: JournalWriter, plan: Plan) -> None:
    """Let each workload that got no place say why it waits."""
    changed = []
    for rejection in plan.rejections:
        reason = f"{rejection.reason.value}: {rejection.detail}"
        workload = find_workload(ctx, rejection.workload)
        if workload is not None and workload.state is WorkloadState.PENDING and workload.reason != reason:
            changed.append(replace(workload, reason=reason, revision=workload.revision + 1))
    if changed:
        writer.save(changed)


def check_applicable(ctx: Context, plan: Plan) -> None:
    """Refuse a plan that `apply` would refuse, before anybody is asked about it; a half-applied one may be resumed.

    Raises:
        StalePlanError: names what drifted.
    """
    run = ctx.journal.applied(plan.id)
    if run is None or run.state not in (RunState.OPEN, RunState.ROLLBACK):
        check_fresh(ctx, plan)


def check_fresh(ctx: Context, plan: Plan) -> None:
    """Refuse a plan whose facts no longer hold.

    Raises:
        StalePlanError: names what drifted.
    """
    if plan.simulated != ctx.simulated:
        kind = "a simulated cluster" if plan.simulated else "real nodes"
        raise StalePlanError(f"plan {plan.id} was made for {kind}", hint="make a new plan where you want to apply it")
    run = ctx.journal.applied(plan.id)
    if run is not None:
        raise StalePlanError(f"plan {plan.id} was applied already (run {run.id})", hint="gpualloc plan makes a new one")
    touched = sorted({step.node for step in plan.steps})
    if not touched:
        return
    used = [workload_of(ctx, step) for step in plan.steps]
    workloads = {workload.id: workload for workload in used if workload is not None}
    near = tuple(dict.fromkeys(path for workload in workloads.values() for path in workload.request.near))
    changed = drift(plan.base, base_facts(observe(ctx, touched, near=near), plan.steps, workloads))
    if changed:
        raise StalePlanError(
            f"plan {plan.id} is stale: " + "; ".join(changed[:10]), hint="gpualloc plan makes a new one"
        )


def check_disturbed(ctx: Context, plan: Plan) -> None:
    """Refuse a plan that disturbs more than is allowed at once, what an operator named not counted.

    Raises:
        InfeasibleError: lists what would be disturbed.
    """
    victims, most = unnamed_victims(plan.steps), ctx.settings.max_disturbed
    if len(victims) > most:
        raise InfeasibleError(
            f"plan {plan.id} would disturb {len(victims)}, and at most {most} are allowed at once: "
            + ", ".join(victims),
            hint=f"look at it, then say --max-disturbed {len(victims)}, or set apply.max_disturbed",
        )


def failure(report: Report) -> GpuallocError | None:
    """The error that a command exits with after this run; None when all went well."""
    if report.left:
        return stopped_error(report)
    troubles = report.failed + report.unknown
    if not troubles:
        return None
    first = troubles[0][1]
    if not report.done and not report.unknown and len(troubles) == 1:
        return first
    unknown = f", {len(report.unknown)} of unknown outcome" if report.unknown else ""
    return PartlyAppliedError(
        f"{len(report.done)} steps done, {len(report.failed)} failed{unknown}; first: {first.message}",
        hint="the next plan, apply or rebalance takes up what is open" if report.unknown else first.hint,
        node=first.node,
    )


def _apply_entry(plan: Plan, run_id: str, actor: str, at_s: float) -> AuditEntry:
    return AuditEntry(
        at_s=at_s,
        kind="apply",
        actor=actor,
        workload=None,
        node=None,
        detail={
            "plan": plan.id,
            "run": run_id,
            "steps": len(plan.steps),
            "policy": plan.policy,
            "policy_version": plan.policy_version,
        },
    )
