"""Find processes on devices they were not given, and do about them what the rules say."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.engine import hooks
from gpualloc.engine.apply import apply_locked
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.engine.recover import recover
from gpualloc.engine.settle import catch_up_locked
from gpualloc.model.audit import AuditEntry
from gpualloc.model.decision import Decision
from gpualloc.model.enforcement import EnforceMode, Sighting
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import Plan
from gpualloc.planning.enforcement import Finding, evict_steps, judge, offences, seen
from gpualloc.planning.plan import build
from gpualloc.ports import HookEvent, JournalWriter


class Enforcement(Struct, frozen=True):
    """What was found, and what was done about it."""

    mode: EnforceMode
    applied: bool
    """Whether the looks were counted and the rules carried out; False for a dry run."""
    findings: tuple[Finding, ...]
    report: Report | None = None
    """What became of the steps; None when there were none, or nothing was applied."""


def enforce(ctx: Context, *, apply: bool = False, wait_s: float = 0.0, on_step: OnStep | None = None) -> Enforcement:
    """Look for processes on devices they were not given; act on those seen often enough only when asked to apply.

    Args:
        ctx: the ports.
        apply: count this look and carry the rules out; else nothing is changed and no lock taken.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        LockedError: another gpualloc is at work.
        UnreachableError: no node answered.
        InfeasibleError: more processes would be disturbed than one run may.
    """
    if not apply:
        findings, _ = _look(ctx, observe(ctx))
        return Enforcement(ctx.settings.enforce.mode, False, findings)
    with ctx.journal.write("enforce", wait_s) as writer:
        recover(ctx, writer, on_step)
        snapshot = observe(ctx)
        catch_up_locked(ctx, writer, snapshot)
        return _apply(ctx, writer, snapshot, on_step)


def _apply(ctx: Context, writer: JournalWriter, snapshot: Snapshot, on_step: OnStep | None) -> Enforcement:
    rules = ctx.settings.enforce
    findings, sightings = _look(ctx, snapshot)
    # Told when they come due; what is done to them is told each time it is tried.
    tried = rules.mode in (EnforceMode.SUSPEND, EnforceMode.TERMINATE)
    told = [one for one in findings if one.due and (tried or one.sighting.count == rules.after_sightings)]
    writer.save_sightings(sightings, [_entry(ctx, one) for one in told])
    if rules.mode is EnforceMode.NOTIFY:
        for one in told:
            hooks.tell(ctx, writer, hooks.NOTIFY, _event(one))
    plan = _plan(ctx, findings, snapshot)
    report = apply_locked(ctx, writer, plan, on_step) if plan.applyable else None
    return Enforcement(rules.mode, True, findings, report)


def _look(ctx: Context, snapshot: Snapshot) -> tuple[tuple[Finding, ...], tuple[Sighting, ...]]:
    found = offences(snapshot)
    sightings = seen(ctx.journal.sightings(), found, snapshot)
    return judge(ctx.settings.enforce, found, sightings), sightings


def _plan(ctx: Context, findings: Sequence[Finding], snapshot: Snapshot) -> Plan:
    return build(
        Decision(ctx.policy.name, ctx.policy.version, 0, (), ()),
        snapshot,
        {},
        plan_id=ctx.fresh_id("p"),
        created_at_s=ctx.clock.now_s(),
        simulated=ctx.simulated,
        extra_steps=evict_steps(ctx.settings.enforce, findings, snapshot),
    )


def _event(finding: Finding) -> HookEvent:
    offence = finding.offence
    return HookEvent(
        node=offence.node,
        error=f"process {offence.pid}: {offence.why}",
        users=(offence.user,) if offence.user else (),
        workloads=(*((offence.workload,) if offence.workload else ()), *offence.holders),
    )


def _entry(ctx: Context, finding: Finding) -> AuditEntry:
    offence = finding.offence
    return AuditEntry(
        at_s=ctx.clock.now_s(),
        kind="enforce",
        actor=ctx.actor,
        workload=offence.workload,
        node=offence.node,
        detail={
            "mode": ctx.settings.enforce.mode.value,
            "pid": offence.pid,
            "user": offence.user,
            "command": offence.command,
            "device": offence.device,
            "mig_instance": offence.mig_instance,
            "why": offence.why,
            "sightings": finding.sighting.count,
        },
    )
