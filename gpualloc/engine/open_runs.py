"""Interrupted runs by an operator's word: listed, gone on with, rolled back, given up, looked at again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine import hooks
from gpualloc.engine.chain import OnStep, Report, in_force
from gpualloc.engine.context import Context
from gpualloc.engine.doubt import doubts, half_done
from gpualloc.engine.execute import FleetExecutor, Journaled
from gpualloc.engine.recover import conclude, run_entry, states_of, take_up
from gpualloc.engine.rollback import take_back_all
from gpualloc.errors import NotFoundError
from gpualloc.model.plan import Run, RunState, Step, StepState
from gpualloc.ports import JournalWriter

LATEST = "latest"
"""What stands for the run that was begun last."""


class OpenRun(Struct, frozen=True):
    """An unsettled run and how its steps stand."""

    run: Run
    done: int
    left: int
    """Steps that were never begun."""
    doubts: tuple[Step, ...]
    """Steps that may be in force or not."""


def unsettled(ctx: Context) -> tuple[OpenRun, ...]:
    """Open and abandoned runs, oldest first; no node is asked."""
    runs = (*ctx.journal.open_runs(), *ctx.journal.abandoned_runs())
    return tuple(_standing(ctx, run) for run in sorted(runs, key=lambda run: (run.started_at_s, run.id)))


def resume(ctx: Context, reference: str, *, wait_s: float = 0.0, on_step: OnStep | None = None) -> tuple[Run, Report]:
    """Go on with one open run and leave others open; one that was being rolled back is rolled back to its end.

    Args:
        ctx: the ports.
        reference: id of the run, or `latest`.
        wait_s: how long to wait for the apply lock.
        on_step: told of each step as it moves.

    Raises:
        LockedError: another gpualloc holds the lock.
        NotFoundError: there is no such open run.
    """
    with ctx.journal.write("apply --resume", wait_s) as writer:
        run = _open_run(ctx, reference)
        return run, take_up(ctx, writer, run, on_step)


def roll_back(
    ctx: Context, reference: str, *, wait_s: float = 0.0, on_step: OnStep | None = None
) -> tuple[Run, Report]:
    """Take back every step of an open run that has an inverse; arguments and errors as `resume`.

    That it is to be rolled back is remembered first, so that an interrupted rollback goes on as one.
    """
    with ctx.journal.write("apply --rollback", wait_s) as writer:
        run = writer.refence(_open_run(ctx, reference))
        writer.close_run(run, RunState.ROLLBACK, ctx.clock.now_s())
        run = replace(run, state=RunState.ROLLBACK)
        writer.save((), (run_entry(ctx, run, "rollback"),))
        with hooks.around(ctx, writer, run.id, run.plan) as course:
            report = take_back_all(ctx, writer, run, states_of(ctx, run), on_step)
            course.state = conclude(ctx, writer, run, report, gone_wrong=True)
        return run, report


def abandon(ctx: Context, run_id: str, *, wait_s: float = 0.0) -> OpenRun:
    """Give an open run up without asking any node; with steps in doubt their nodes stay doubtful.

    Args:
        ctx: the ports.
        run_id: the whole id of the run.
        wait_s: how long to wait for the apply lock.

    Raises:
        LockedError: another gpualloc holds the lock.
        NotFoundError: there is no such open run.
    """
    with ctx.journal.write("apply --abandon", wait_s) as writer:
        given_up = if_given_up(ctx, _open_run(ctx, run_id))
        in_doubt = [f"{step.kind.value} of {step.target} on {step.node}" for step in given_up.doubts]
        writer.save((), (run_entry(ctx, given_up.run, "abandon", in_doubt=in_doubt),))
        writer.close_run(given_up.run, given_up.run.state, ctx.clock.now_s())
    return given_up


def look_again(
    ctx: Context, writer: JournalWriter, on_step: OnStep | None = None
) -> tuple[tuple[Step, StepState | None], ...]:
    """Ask the nodes what abandoned runs left behind; of a chain that is not wholly in force nothing is left.

    A run of which every node answered is closed, and its nodes are doubtful no more.

    Returns:
        each step in doubt with how it stands: done (in force), undone (not), None where its node does not answer.
    """
    found: list[tuple[Step, StepState | None]] = []
    for abandoned in ctx.journal.abandoned_runs():
        run = writer.refence(abandoned)
        journaled = Journaled(FleetExecutor(ctx, run), ctx, writer, run)
        told: dict[int, StepState | None] = {}
        steps = {step.seq: step for step in run.plan.steps}
        for chain, states in half_done(run, ctx.journal.steps(run.id)):
            told |= _settled(journaled, [step for step in chain if in_force(states, step)], whole=len(chain))
            if None not in told.values():
                for step in chain:
                    if step.seq not in states:
                        journaled.skipped(step, None)
        if None not in told.values():
            left = StepState.DONE in states_of(ctx, run).values()
            writer.close_run(run, RunState.PARTIAL if left else RunState.FAILED, ctx.clock.now_s())
            writer.save((), (run_entry(ctx, run, "looked-again"),))
        found += [(steps[seq], state) for seq, state in sorted(told.items())]
    for step, state in found:
        if on_step is not None and state is not None:
            on_step(step, state, None, len(found))
    return tuple(found)


def _settled(journaled: Journaled, forced: Sequence[Step], *, whole: int) -> dict[int, StepState | None]:
    """How the steps of a chain stand, once it is in force as a whole or not at all; None: its node does not answer."""
    told = {step.seq: journaled.look(step) for step in forced}
    if None in told.values() or (len(told) == whole and set(told.values()) == {StepState.DONE}):
        return told
    for step in reversed(forced):
        if told[step.seq] is StepState.DONE and step.inverse is not None:
            told[step.seq] = journaled.take_back(step)
    return told


def _standing(ctx: Context, run: Run) -> OpenRun:
    records = ctx.journal.steps(run.id)
    done = sum(record.state is StepState.DONE for record in records)
    return OpenRun(run, done, len(run.plan.steps) - len(records), doubts(run, records))


def if_given_up(ctx: Context, run: Run) -> OpenRun:
    """The run once it is given up: all that is half done is in doubt then. Nothing is changed."""
    standing = _standing(ctx, replace(run, state=RunState.ABANDONED))
    if standing.doubts:
        return standing
    state = RunState.PARTIAL if standing.done else RunState.FAILED
    return replace(standing, run=replace(run, state=state))


def _open_run(ctx: Context, reference: str) -> Run:
    runs = ctx.journal.open_runs()
    if reference == LATEST and runs:
        return runs[-1]
    for run in runs:
        if run.id == reference:
            return run
    known = ", ".join(run.id for run in runs)
    raise NotFoundError(
        f"there is no open run {reference!r}" if reference != LATEST else "no run is open",
        hint=f"open: {known}" if known else "gpualloc recover lists open and abandoned runs",
    )
