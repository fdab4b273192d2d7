"""Bring interrupted runs to an end: every write command begins with it, under the apply lock."""

from __future__ import annotations

from collections import defaultdict

from gpualloc.engine.chain import Chains, OnStep, Report, chains
from gpualloc.engine.context import Context
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Run, RunState, StepState
from gpualloc.ports import JournalWriter


def recover(ctx: Context, writer: JournalWriter, on_step: OnStep | None = None) -> list[Report]:
    """Take up every run that is still open; its process is gone, since we hold the lock.

    Each run gets a new fence first, so that a node program the dead process left behind is refused whatever it
    still has to say. Then each chain is rolled forward from where the nodes say it stands; a chain that had failed
    is rolled back. A run with an unreachable node stays open.
    """
    return [_resume(ctx, writer, run, on_step) for run in ctx.journal.open_runs()]


def _resume(ctx: Context, writer: JournalWriter, run: Run, on_step: OnStep | None) -> Report:
    run = writer.refence(run)
    now_s = ctx.clock.now_s()
    writer.save(
        (), (AuditEntry(at_s=now_s, kind="recover", actor=ctx.actor, workload=None, node=None, detail={"run": run.id}),)
    )
    states = {record.step.seq: record.state for record in ctx.journal.steps(run.id)}
    carried = Chains(ctx, writer, run, on_step)
    for chain in chains(run.plan.steps):
        carried.carry_out(chain, {step.seq: states[step.seq] for step in chain if step.seq in states})
    report = carried.report
    if not report.unknown:
        gone_wrong = bool(report.failed) or any(state is StepState.FAILED for state in states.values())
        partial = RunState.PARTIAL if report.done else RunState.FAILED
        writer.close_run(run, partial if gone_wrong else RunState.DONE, ctx.clock.now_s())
    return report


def doubtful(ctx: Context) -> frozenset[str]:
    """Ids of workloads with a step of unknown outcome, or one still to be taken back: nothing is planned for them."""
    found = set()
    for run in ctx.journal.open_runs():
        states: defaultdict[str, set[StepState]] = defaultdict(set)
        for record in ctx.journal.steps(run.id):
            if record.step.workload is not None:
                states[record.step.workload].add(record.state)
        found |= {
            workload
            for workload, seen in states.items()
            if StepState.INTENT in seen or {StepState.FAILED, StepState.DONE} <= seen
        }
    return frozenset(found)
