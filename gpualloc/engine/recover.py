"""Bring interrupted runs to an end: every write command begins with it, under the apply lock."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.engine import hooks
from gpualloc.engine.carry import carry_out
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.momentary import look_back, momentary
from gpualloc.engine.rollback import take_back_all
from gpualloc.errors import StoppedError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Run, RunState, StepState
from gpualloc.ports import JournalWriter


def recover(ctx: Context, writer: JournalWriter, on_step: OnStep | None = None) -> list[Report]:
    """Take up every run that is still open; its process is gone, since we hold the lock.

    Each run gets a new fence first, so that a node program the dead process left behind is refused whatever it
    still has to say. Then each chain is rolled forward from where the nodes say it stands; a chain that had failed,
    and a run that was being rolled back, is rolled back. Momentary steps are never begun late. A run with an
    unreachable node stays open.

    Raises:
        StoppedError: an operator's signal came meanwhile.
    """
    reports = [take_up(ctx, writer, run, on_step) for run in ctx.journal.open_runs()]
    check_going(ctx)
    return reports


def take_up(ctx: Context, writer: JournalWriter, run: Run, on_step: OnStep | None = None) -> Report:
    """Bring one open run to its end, as `recover`."""
    ctx.on_resume(run)
    run = writer.refence(run)
    writer.save((), (run_entry(ctx, run, "recover"),))
    with hooks.around(ctx, writer, run.id, run.plan) as course:
        states = states_of(ctx, run)
        if run.state is RunState.ROLLBACK:
            report = take_back_all(ctx, writer, run, states, on_step)
            gone_wrong = True
        elif momentary(run.plan):
            report = look_back(ctx, writer, run, states, on_step)
            gone_wrong = bool(report.skipped)
        else:
            report = carry_out(ctx, writer, run, states, on_step)
            gone_wrong = bool(report.failed) or StepState.FAILED in states.values()
        course.state = conclude(ctx, writer, run, report, gone_wrong=gone_wrong)
    return report


def conclude(ctx: Context, writer: JournalWriter, run: Run, report: Report, *, gone_wrong: bool) -> RunState:
    """Close the run as its report says; it stays open while an outcome is unknown or a signal ended it."""
    if report.left:
        writer.save((), (run_entry(ctx, run, "interrupt"),))
    if report.left or report.unknown:
        return run.state
    left_in_force = RunState.PARTIAL if report.done or report.kept else RunState.FAILED
    state = left_in_force if gone_wrong else RunState.DONE
    writer.close_run(run, state, ctx.clock.now_s())
    return state


def states_of(ctx: Context, run: Run) -> Mapping[int, StepState]:
    """How the steps of the run stand in the journal, by seq."""
    return {record.step.seq: record.state for record in ctx.journal.steps(run.id)}


def run_entry(ctx: Context, run: Run, kind: str, **more: object) -> AuditEntry:
    """An audit entry about a whole run."""
    detail = {"run": run.id, **more}
    return AuditEntry(at_s=ctx.clock.now_s(), kind=kind, actor=ctx.actor, workload=None, node=None, detail=detail)


def check_going(ctx: Context) -> None:
    """Begin nothing more once an operator's signal came.

    Raises:
        StoppedError: it came.
    """
    if ctx.stopped():
        raise StoppedError("interrupted; nothing more was begun", hint="what is open is taken up by the next apply")


def stopped_error(report: Report) -> StoppedError:
    """The error of a run that a signal ended."""
    return StoppedError(
        f"interrupted: {len(report.done)} steps done, {len(report.left)} left; run {report.run_id} stays open",
        hint=f"gpualloc apply --resume {report.run_id} goes on, --rollback {report.run_id} takes it back",
    )
