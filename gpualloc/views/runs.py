"""Interrupted runs: what is open, and what became of one."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.plan import Run, RunState, Step
from gpualloc.views.look import Look, Role
from gpualloc.views.plan import step_data
from gpualloc.views.text import escape, plural, stamp


def resumed_line(run: Run) -> str:
    """Says that an interrupted run is taken up."""
    what = "taken back" if run.state is RunState.ROLLBACK else "brought to its end"
    return f"run {run.id}, begun {stamp(run.started_at_s)} by {escape(run.actor)}, was interrupted; it is {what} first"


def run_data(run: Run, done: int, left: int, doubts: Sequence[Step]) -> dict[str, object]:
    """One run as scripts read it."""
    return {
        "run": run.id,
        "plan": run.plan.id,
        "state": run.state.value,
        "actor": run.actor,
        "started_at_s": run.started_at_s,
        "steps": len(run.plan.steps),
        "done": done,
        "left": left,
        "in_doubt": [step_data(step) for step in doubts],
    }


def run_text(run: Run, done: int, left: int, doubts: Sequence[Step], look: Look) -> str:
    """One run for a person, with the steps that may be in force or not."""
    head = f"run {run.id}: {look.paint(run.state.value, Role.WARN)}, begun {stamp(run.started_at_s)}"
    lines = [
        f"{head} by {escape(run.actor)}",
        f"  {done} of {plural(len(run.plan.steps), 'step')} done, {left} never begun",
        *(
            f"  in doubt: step {step.seq}, {step.kind.value} of {escape(step.target)} on {escape(step.node)}"
            for step in doubts
        ),
    ]
    return "\n".join(lines)


def what_to_do(run: Run) -> str:
    """What an operator can do about an open run; empty for an abandoned one."""
    if run.state is RunState.ABANDONED:
        return "  its nodes stay doubtful until `gpualloc reconcile` has looked, and taken back what is half done"
    return (
        f"  the next apply, rebalance or release goes on with it; or --resume {run.id}, --rollback {run.id}, "
        f"--abandon {run.id}"
    )
