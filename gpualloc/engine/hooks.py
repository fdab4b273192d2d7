"""The operator's hooks around changes: run, and told in the audit trail with what they printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.errors import GpuallocError, HookError, StateError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import Plan, RunState
from gpualloc.ports import HookEvent, HookOutcome, JournalWriter

PRE_APPLY = "pre_apply"
"""Before the first step of a run; a failure refuses the run."""
PRE_STEP = "pre_step"
"""Before each step; a failure fails the step."""
POST_STEP = "post_step"
"""After each step, however it ended."""
NOTIFY = "notify"
"""Before users and workloads are disturbed."""
EXIT = "exit"
"""At the end of every run, however it ended."""


def tell(ctx: Context, writer: JournalWriter, name: str, event: HookEvent) -> HookOutcome | None:
    """Run the hook, if there is one, and enter what came of it in the audit trail; a failure changes nothing else."""
    outcome = ctx.hooks.run(name, event)
    if outcome is not None:
        writer.save((), (_entry(ctx, name, event, outcome),))
    return outcome


def ask(ctx: Context, writer: JournalWriter, name: str, event: HookEvent) -> None:
    """As `tell`, for a hook that may forbid what comes.

    Raises:
        HookError: it failed.
    """
    outcome = tell(ctx, writer, name, event)
    if outcome is not None and outcome.problem is not None:
        said = outcome.output.strip().splitlines()
        raise HookError(
            f"hook {name}: {outcome.problem}" + (f": {said[-1]}" if said else ""),
            hint="gpualloc audit shows what it printed",
            node=event.node,
        )


class Course(Struct):
    """How a run that hooks stand around goes."""

    state: RunState | None = None
    """Told by the one who carries it out; None: it never came to an end that could be told."""


@contextmanager
def around(ctx: Context, writer: JournalWriter, run_id: str, plan: Plan) -> Iterator[Course]:
    """Run the hooks before a run and, however it ends, after it.

    Raises:
        HookError: the hook before the run failed; nothing may be begun.
    """
    event = HookEvent(run=run_id, plan=plan.id)
    course = Course()
    error: str | None = None
    try:
        ask(ctx, writer, PRE_APPLY, event)
        yield course
    except GpuallocError as failed:
        error = failed.message
        raise
    finally:
        # Where the state cannot be written any more the hook still runs; that it did is then not in the audit trail.
        with suppress(StateError):
            state = "stopped" if course.state is None else course.state.value
            tell(ctx, writer, EXIT, replace(event, state=state, error=error))


def _entry(ctx: Context, name: str, event: HookEvent, outcome: HookOutcome) -> AuditEntry:
    step = event.step
    return AuditEntry(
        at_s=ctx.clock.now_s(),
        kind="hook",
        actor=ctx.actor,
        workload=step.workload if step else None,
        node=event.node,
        detail={
            "hook": name,
            "run": event.run,
            "step": None if step is None else step.seq,
            "problem": outcome.problem,
            "output": outcome.output,
            "seconds": round(outcome.seconds, 3),
        },
    )
