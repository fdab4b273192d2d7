"""Makes and carries out the plans of the dashboard; goes on whether its view is shown or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gpualloc.engine.apply import apply, check_applicable, failure
from gpualloc.engine.chain import OnStep, Report
from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe, wanted_paths
from gpualloc.engine.open_runs import OpenRun, abandon, resume, roll_back, unsettled
from gpualloc.engine.pareto import Choices, choices
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.recover import states_of
from gpualloc.engine.settle import SHOWN_AFTER_END_S
from gpualloc.engine.undo import undo_plan
from gpualloc.engine.why import explanations
from gpualloc.errors import GpuallocError, StalePlanError, UsageError
from gpualloc.model.inventory import Node
from gpualloc.model.plan import Step, StepState
from gpualloc.planning.document import dump
from gpualloc.planning.pareto import Choice
from gpualloc.policies.explanation import Explanation
from gpualloc.tui.desk import Desk
from gpualloc.tui.drafts import Aim, Course, Draft, Origin
from gpualloc.tui.export import write_new
from gpualloc.views.plan import report_text

CHECK_EVERY_S = 10.0
"""How often it is asked whether a plan that is shown still holds, and whether a run was interrupted."""
_LOCK_WAIT_S = 10.0
"""How long a run waits for the apply lock: the dashboard itself takes it for a moment when it sees that work ended."""


@dataclass(slots=True)
class Making:
    """A plan that is being made."""

    what: str
    since_s: float
    """Ticks at which it was asked for."""
    nodes: int = 0
    """How many nodes were seen so far."""


@dataclass(slots=True)
class Interrupted:
    """What is known of runs that did not come to their end."""

    runs: tuple[OpenRun, ...] = ()
    holder: str | None = None
    """Who holds the apply lock; then an open run may be his, and under way."""


@dataclass(slots=True)
class Planner:
    """The plans of one dashboard. Everything but what its questions do runs in the thread of the app."""

    ctx: Context
    desk: Desk
    ticks_s: Callable[[], float]
    changed: Callable[[], None] = lambda: None
    """Told when there is something to draw; of the view that is shown."""
    said: Callable[[str, bool], None] = lambda _text, _wrong: None
    """Gets notices, and whether they are errors."""
    under_way: list[str] = field(default_factory=list)
    """Titles of what is being done now, of the whole dashboard, safe to draw."""
    stopping: Callable[[], bool] = lambda: False
    """Whether the dashboard is about to end."""
    aim: Aim = field(default_factory=Aim)
    draft: Draft | None = None
    before: Draft | None = None
    """The plan that was shown before, to compare with."""
    making: Making | None = None
    problem: GpuallocError | None = None
    """Why there is no plan."""
    stale: GpuallocError | None = None
    """Why the plan can no longer be applied; None while it can."""
    checked_s: float | None = None
    """Ticks at which it was last known to hold; None when it was made and not looked at again."""
    unchecked: GpuallocError | None = None
    """Why that could not be found out."""
    course: Course | None = None
    """The last run; what it carries out is the draft, until another one is made."""
    interrupted: Interrupted = field(default_factory=Interrupted)
    told: dict[str, Explanation | None] = field(default_factory=dict)
    """What was found out about waiting workloads of the draft, by id; None where that is nothing."""
    _asked_s: float | None = None

    @property
    def applying(self) -> bool:
        """Whether a run is under way."""
        return self.course is not None and self.course.going

    @property
    def applied(self) -> Course | None:
        """The run that carries the draft out, or did; None when nobody did."""
        return self.course if self.course is not None and self.course.draft is self.draft else None

    # Plans.

    def make(self, origin: Origin = Origin.PLAN, *, aim: Aim | None = None, run: str | None = None) -> None:
        """Make another plan; one that is being made is not made twice.

        Args:
            origin: of which kind.
            aim: by what it is made from now on; None: as the one before.
            run: for an undo, the run to take back; None: the last.
        """
        if self.applying or self.making is not None:
            return
        self.aim = self.aim if aim is None else aim
        making = self.making = Making(origin.value, self.ticks_s())
        ctx, wanted = self.ctx, self.aim

        def question() -> Draft:
            if origin is Origin.REBALANCE:
                return _rebalanced(ctx, wanted)
            return _undoing(ctx, run) if origin is Origin.UNDO else _planned(ctx, wanted, making)

        self.desk.ask("plan", question, self._made, self._not_made)
        self.changed()

    def show(self, draft: Draft) -> None:
        """Show this plan from now on."""
        self.before = self.draft if self.draft is not None and self.draft.origin is not Origin.RUN else self.before
        self.draft, self.problem, self.stale, self.unchecked = draft, None, None, None
        self.checked_s = self.ticks_s()
        self.told = {}
        self.changed()

    def _made(self, draft: Draft) -> None:
        self.making = None
        self.show(draft)

    def _not_made(self, error: GpuallocError) -> None:
        self.making = None
        self.problem = error if self.draft is None else None
        self.said(f"{error.message}{'; ' + error.hint if error.hint else ''}", True)
        self.changed()

    def explain(self, workload: str) -> None:
        """Find out why that waiting workload of the draft gets its place, or none."""
        draft = self.draft
        if draft is None or draft.snapshot is None or workload in self.told or self.applied is not None:
            return
        if self.desk.busy("plan-why"):
            return
        snapshot, ctx = draft.snapshot, self.ctx

        def then(found: tuple[Explanation, ...]) -> None:
            if self.draft is draft:
                self.told[workload] = found[0] if found else None
                self.changed()

        aim = draft.aim
        self.desk.ask("plan-why", lambda: explanations(aim.over(ctx), snapshot, (workload,)), then, _ignore)

    def check(self) -> None:
        """Ask now and then whether the plan still holds, and whether a run was interrupted."""
        now_s = self.ticks_s()
        if self.applying or self.making is not None:
            return
        if self._asked_s is not None and now_s - self._asked_s < CHECK_EVERY_S:
            return
        self._asked_s = now_s
        self.look_for_interrupted()
        draft = self.draft
        if draft is None or self.applied is not None or self.stale is not None or not draft.plan.steps:
            return

        def then(_: None) -> None:
            if self.draft is draft:
                self.checked_s, self.unchecked = self.ticks_s(), None
                self.changed()

        def wrong(error: GpuallocError) -> None:
            if self.draft is draft and isinstance(error, StalePlanError) and self.applied is None:
                self.stale = error
            elif self.draft is draft:
                self.unchecked = error
            self.changed()

        self.desk.ask("plan-check", lambda: check_applicable(self.ctx, draft.plan), then, wrong)

    def look_for_interrupted(self) -> None:
        """Ask for runs that did not come to their end."""

        def then(found: Interrupted) -> None:
            if not self.applying:
                self.interrupted = found
                self.changed()

        ctx = self.ctx
        self.desk.ask("plan-runs", lambda: Interrupted(unsettled(ctx), ctx.journal.lock_holder()), then, _ignore)

    def compare(self, then: Callable[[Choices], None]) -> None:
        """Make plans to compare the one that is shown with; it and the one before come first among them."""
        draft = self.draft
        if draft is None or self.applying or self.making is not None:
            return
        earlier = (draft,) if self.before is None or self.before.origin is Origin.UNDO else (draft, self.before)
        making, ctx = Making("to compare with", self.ticks_s()), self.ctx
        self.making = making

        def progress(_: Node) -> None:
            making.nodes += 1

        def found(answer: Choices) -> None:
            self.making = None
            self.changed()
            then(answer)

        self.desk.ask(
            "plan", lambda: choices(ctx, progress, given=[one.plan for one in earlier]), found, self._not_made
        )
        self.changed()

    def take(self, choice: Choice, found: Choices) -> None:
        """Show a plan that was compared, and make others as it was made from now on."""
        plan, ctx = choice.plan, self.ctx
        policy = None if plan.policy == ctx.policy.name else plan.policy
        objective = None if plan.objective is ctx.settings.objective else plan.objective
        self.aim = Aim(policy, objective)
        names = self.draft.names if self.draft is not None else {}
        self.show(Draft(plan, Origin.PLAN, self.aim, names, found.snapshot))

    # Runs.

    def begin(self, course: Course) -> Callable[[], str]:
        """What carries a plan out, to be called in a thread; gives the result in a line.

        Raises GpuallocError there; what becomes of the steps is in `course` either way.
        """
        ctx = replace(self.ctx, stopped=lambda: course.stopping or self.stopping())

        def do() -> str:
            self.desk.tell(lambda: self._begun(course))

            def on_step(step: Step, state: StepState, error: str | None, _: int) -> None:
                self.desk.tell(lambda: self._moved(course, step, state, error))

            try:
                report = _carried_out(ctx, course, on_step)
            except GpuallocError as error:
                caught = error
                self.desk.tell(lambda: self._ended(course, lambda: course.broke(caught)))
                raise
            self.desk.tell(lambda: self._ended(course, lambda: course.ended(report)))
            trouble = failure(report)
            if trouble is not None:
                raise trouble
            return result_text(report)

        return do

    def stop(self) -> None:
        """End the run after the steps under way."""
        if self.course is not None and self.course.going:
            self.course.stopping = True
            self.changed()

    def give_up(self, run: str) -> Callable[[], str]:
        """What gives an interrupted run up, to be called in a thread."""

        def do() -> str:
            given_up = abandon(self.ctx, run, wait_s=_LOCK_WAIT_S)
            self.desk.tell(self.look_for_interrupted)
            left = f", {len(given_up.doubts)} in doubt" if given_up.doubts else ""
            return f"run {run} is given up{left}"

        return do

    def _begun(self, course: Course) -> None:
        if course.draft is not self.draft:
            self.show(course.draft)
        self.course, self.problem = course, None
        self.under_way.append(course.title)
        self.changed()

    def _moved(self, course: Course, step: Step, state: StepState, error: str | None) -> None:
        course.moved(step, state, error)
        self.changed()

    def _ended(self, course: Course, end: Callable[[], None]) -> None:
        end()
        self.under_way.remove(course.title)
        if course.refused and isinstance(course.error, StalePlanError):
            self.course, self.stale = None, course.error
        elif course.refused:
            self.course, self.problem = None, course.error
        self._asked_s = None
        self.look_for_interrupted()
        self.changed()


def course_of(open_run: OpenRun, what: str, states: Mapping[int, StepState], names: Mapping[str, str]) -> Course:
    """An interrupted run, about to be brought to an end."""
    run = open_run.run
    return Course(Draft(run.plan, Origin.RUN, names=names, run=run.id), what, dict(states))


def states_and_names(ctx: Context, open_run: OpenRun) -> tuple[Mapping[int, StepState], Mapping[str, str]]:
    """How the steps of a run stand in the journal, by seq, and names of workloads; blocks."""
    return states_of(ctx, open_run.run), _names(ctx)


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


def _carried_out(ctx: Context, course: Course, on_step: OnStep) -> Report:
    run = course.draft.run or ""
    if course.what == "resume":
        return resume(ctx, run, wait_s=_LOCK_WAIT_S, on_step=on_step)[1]
    if course.what == "roll back":
        return roll_back(ctx, run, wait_s=_LOCK_WAIT_S, on_step=on_step)[1]
    return apply(ctx, course.draft.plan, wait_s=_LOCK_WAIT_S, on_step=on_step)


def _planned(ctx: Context, aim: Aim, making: Making) -> Draft:
    def progress(_: Node) -> None:
        making.nodes += 1

    aimed = aim.over(ctx)
    snapshot = observe(aimed, progress=progress, near=wanted_paths(aimed))
    return Draft(make_plan(aimed, snapshot=snapshot), Origin.PLAN, aim, _names(ctx), snapshot)


def _rebalanced(ctx: Context, aim: Aim) -> Draft:
    cycle = rebalance(aim.over(ctx), dry_run=True, timer=time.monotonic)
    better = cycle.better
    moves, held = ((), ()) if better is None else (better.moves, better.held_back)
    return Draft(cycle.plan, Origin.REBALANCE, aim, _names(ctx), None, moves, held)


def _undoing(ctx: Context, run: str | None) -> Draft:
    undo = undo_plan(ctx) if run is None else undo_plan(ctx, run)
    return Draft(undo.plan, Origin.UNDO, names=_names(ctx), stays=undo.stays, run=undo.run.id)


def _names(ctx: Context) -> Mapping[str, str]:
    shown = ctx.journal.workloads(ended_since_s=ctx.clock.now_s() - SHOWN_AFTER_END_S)
    return {workload.id: workload.name for workload in shown}


def _ignore(_: GpuallocError) -> None:
    """What only adds to what is shown may be missing."""
