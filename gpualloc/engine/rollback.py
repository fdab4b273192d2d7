"""A run taken back as a whole: each step that has an inverse, the newest first."""

from __future__ import annotations

from collections.abc import Mapping

from gpualloc.engine.chain import OnStep, Report, in_force
from gpualloc.engine.context import Context
from gpualloc.engine.work import Move, Worker
from gpualloc.model.plan import Run, Step, StepState
from gpualloc.ports import JournalWriter


def take_back_all(
    ctx: Context, writer: JournalWriter, run: Run, states: Mapping[int, StepState], on_step: OnStep | None
) -> Report:
    """Undo what is in force of the run, in the reverse order of its steps, and skip what never began.

    What lies below a step that could not be taken back stays on that node. Steps without an inverse stay; the
    report lists them as kept.

    Raises:
        FencedError: a newer run has taken over; nothing more may be touched.
    """
    report = Report(run.id)
    worker = Worker(ctx, writer, run, frozenset(), ctx.stopped)
    doubted: set[str] = set()

    def tell(move: Move) -> None:
        if move.doubt and move.error is not None:
            doubted.add(move.step.node)
            report.unknown.append((move.step, move.error))
        elif move.state is StepState.SKIPPED:
            report.skipped.append(move.step)
        if on_step is not None:
            error = None if move.error is None else move.error.message
            on_step(move.step, move.state, error, len(run.plan.steps))

    for step in sorted(run.plan.steps, key=lambda step: -step.seq):
        if ctx.stopped():
            _leave(report, states, step)
        elif states.get(step.seq) is None:
            worker.skip(step, None, tell)
        elif in_force(states, step) and step.inverse is None:
            report.kept.append(step)
        elif in_force(states, step) and step.node not in doubted:
            worker.undo(step, tell)
    return report


def _leave(report: Report, states: Mapping[int, StepState], step: Step) -> None:
    if states.get(step.seq) is None or in_force(states, step):
        report.left.append(step)
