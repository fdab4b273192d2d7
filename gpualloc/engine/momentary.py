"""Interrupted runs of steps that were meant for the moment in which they were asked for: nothing is done late."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.execute import FleetExecutor, Journaled
from gpualloc.errors import UnknownOutcomeError
from gpualloc.model.plan import MOMENTARY_KINDS, Plan, Run, StepState
from gpualloc.ports import JournalWriter


def momentary(plan: Plan) -> bool:
    """Whether nothing of the plan is done once its run was interrupted."""
    return all(step.kind in MOMENTARY_KINDS for step in plan.steps)


def look_back(
    ctx: Context, writer: JournalWriter, run: Run, states: Mapping[int, StepState], on_step: OnStep | None
) -> Report:
    """Ask the nodes whether the steps that were begun happened, and journal that; skip those that were not begun.

    Args:
        ctx: the ports.
        writer: of the one who holds the apply lock.
        run: the run.
        states: journaled states by seq.
        on_step: told of each step of which something is known now that was not before.

    Raises:
        FencedError: a newer run has taken over; nothing more may be touched.
    """
    report = Report(run.id)
    journaled = Journaled(FleetExecutor(ctx, run), ctx, writer, run)
    for step in run.plan.steps:
        state = states.get(step.seq)
        if state is None:
            journaled.skipped(step, None)
            state = StepState.SKIPPED
        elif state is StepState.INTENT:
            state = journaled.look(step)
        if state is None:
            error = f"{step.node} does not answer, so whether {step.kind.value} {step.target} happened is not known"
            report.unknown.append((step, UnknownOutcomeError(error, node=step.node)))
        elif state is StepState.DONE:
            report.done.append(step)
        else:
            report.skipped.append(step)
        if on_step is not None and state is not None and state is not states.get(step.seq):
            on_step(step, state, None, len(run.plan.steps))
    return report
