"""What the planner has done in threads: making plans and carrying them out; all of it may block."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from gpualloc.engine.apply import apply
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.open_runs import OpenRun, resume, roll_back
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.recover import states_of
from gpualloc.engine.settle import SHOWN_AFTER_END_S
from gpualloc.engine.undo import undo_plan
from gpualloc.errors import UsageError
from gpualloc.model.inventory import Node
from gpualloc.planning.document import dump
from gpualloc.tui.drafts import Aim, Course, Draft, Origin
from gpualloc.tui.export import write_new
from gpualloc.views.plan import report_text

LOCK_WAIT_S = 10.0
"""How long a run waits for the apply lock: the dashboard itself takes it for a moment when it sees that work ended."""


class Making(Struct):
    """A plan that is being made."""

    what: str
    since_s: float
    """Ticks at which it was asked for."""
    nodes: int = 0
    """How many nodes were seen so far."""


def course_of(ctx: Context, open_run: OpenRun, what: str) -> Course:
    """An interrupted run, about to be brought to an end: `resume` or `roll back`; as its steps stand in the journal."""
    run = open_run.run
    return Course(Draft(run.plan, Origin.RUN, names=names_of(ctx), run=run.id), what, dict(states_of(ctx, run)))


def result_text(report: Report) -> str:
    """What became of a run, in one line."""
    counts = len(report.done), len(report.failed), len(report.skipped), len(report.unknown), len(report.left)
    return f"run {report.run_id}: {report_text(*counts)}"


def write_plan(draft: Draft, name: str) -> str:
    """Write the plan for `gpualloc apply FILE`, and say so in a line; blocks.

    Raises:
        UsageError: no name was given.
        GpuallocError: the file exists, or cannot be written.
    """
    if not name.strip():
        raise UsageError("a plan is written to a file that has a name")
    path = Path(name.strip()).expanduser()
    write_new(path, dump(draft.plan))
    return f"written to {path}; `gpualloc apply {path}` carries it out"


def carried_out(ctx: Context, course: Course, on_step: OnStep) -> Report:
    """What became of the run; raises as `apply`, `resume` and `roll_back` of the engine."""
    run = course.draft.run or ""
    if course.what == "resume":
        return resume(ctx, run, wait_s=LOCK_WAIT_S, on_step=on_step)[1]
    if course.what == "roll back":
        return roll_back(ctx, run, wait_s=LOCK_WAIT_S, on_step=on_step)[1]
    return apply(ctx, course.draft.plan, wait_s=LOCK_WAIT_S, on_step=on_step)


def planned(ctx: Context, aim: Aim, making: Making) -> Draft:
    """A plan for waiting work; counts the nodes that are seen for it."""

    def progress(_: Node) -> None:
        making.nodes += 1

    aimed = aim.over(ctx)
    snapshot = observe(aimed, progress=progress, near=wanted_paths(aimed))
    return Draft(make_plan(aimed, snapshot=snapshot), Origin.PLAN, aim, names_of(ctx), snapshot)


def rebalanced(ctx: Context, aim: Aim) -> Draft:
    """The same with moves of what runs."""
    cycle = rebalance(aim.over(ctx), dry_run=True, timer=time.monotonic)
    better = cycle.better
    moves, held = ((), ()) if better is None else (better.moves, better.held_back)
    return Draft(cycle.plan, Origin.REBALANCE, aim, names_of(ctx), None, moves, held)


def undone(ctx: Context, run: str | None) -> Draft:
    """A plan that takes a run back; None: the last."""
    undo = undo_plan(ctx) if run is None else undo_plan(ctx, run)
    return Draft(undo.plan, Origin.UNDO, names=names_of(ctx), stays=undo.stays, run=undo.run.id)


def names_of(ctx: Context) -> Mapping[str, str]:
    """Names of workloads by id, of those not ended and those that ended lately."""
    shown = ctx.journal.workloads(ended_since_s=ctx.clock.now_s() - SHOWN_AFTER_END_S)
    return {workload.id: workload.name for workload in shown}
