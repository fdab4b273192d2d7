"""How an apply is told while it goes on and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpualloc.cli.outcome import Answer, say
from gpualloc.engine.apply import failure
from gpualloc.model.plan import Plan, Step, StepState
from gpualloc.views.plan import plan_data, report_data, report_text, step_line

if TYPE_CHECKING:
    from gpualloc.engine.chain import Report


def tell_step(step: Step, state: StepState, error: str | None, total: int) -> None:
    """Tell a step of `total` on stderr when it is over, or when its outcome is unknown."""
    if state is not StepState.INTENT or error is not None:
        say(step_line(step, state, error, total))


def report_of(report: Report) -> dict[str, object]:
    """`report` as `apply --json` and `rebalance --json` give it."""
    return report_data(
        report.run_id,
        len(report.done),
        {step.seq: error for step, error in report.failed},
        len(report.skipped),
        {step.seq: error for step, error in report.unknown},
        len(report.left),
    )


def report_line(report: Report) -> str:
    """The report in one line."""
    return report_text(len(report.done), len(report.failed), len(report.skipped), len(report.unknown), len(report.left))


def applied(plan: Plan, report: Report) -> Answer:
    """The answer after an apply, with the error it exits with when something failed."""
    error = failure(report)
    return Answer(
        {"plan": plan_data(plan), "report": report_of(report), "confirmed": True},
        lambda _look: report_line(report) + (" (simulated)" if plan.simulated else ""),
        errors=(error,) if error else (),
        exit_code=error.exit_code if error else 0,
    )
