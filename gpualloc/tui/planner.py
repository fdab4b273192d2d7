"""Makes and carries out the plans of the dashboard; goes on whether its view is shown or not."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field
from msgspec.structs import replace

from gpualloc.engine.apply import check_applicable, failure
from gpualloc.engine.context import Context
from gpualloc.engine.open_runs import OpenRun, abandon, unsettled
from gpualloc.engine.pareto import Choices, choices
from gpualloc.engine.why import explanations
from gpualloc.errors import GpuallocError, StalePlanError
from gpualloc.model.inventory import Node
from gpualloc.model.plan import Step, StepState
from gpualloc.planning.pareto import Choice
from gpualloc.policies.explanation import Explanation
from gpualloc.tui.desk import Desk
from gpualloc.tui.drafts import Aim, Course, Draft, Origin
from gpualloc.tui.plan_questions import LOCK_WAIT_S, Making, carried_out, planned, rebalanced, result_text, undone

CHECK_EVERY_S = 10.0
"""How often it is asked whether a plan that is shown still holds, and whether a run was interrupted."""


class Interrupted(Struct):
    """What is known of runs that did not come to their end."""

    runs: tuple[OpenRun, ...] = ()
    holder: str | None = None
    """Who holds the apply lock; then an open run may be his, and under way."""


class Planner(Struct):
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
                return rebalanced(ctx, wanted)
            return undone(ctx, run) if origin is Origin.UNDO else planned(ctx, wanted, making)

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
                report = carried_out(ctx, course, on_step)
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
            given_up = abandon(self.ctx, run, wait_s=LOCK_WAIT_S)
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


def _ignore(_: GpuallocError) -> None:
    """What only adds to what is shown may be missing."""
