"""The plan: what would be changed and why, by which policy; doing it, watching it, and taking it back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll

from gpualloc.engine.pareto import Choices
from gpualloc.policies.catalog import Listed, listed
from gpualloc.tui.actions.action import Target, WorkloadTarget
from gpualloc.tui.drafts import Aim, Origin
from gpualloc.tui.listings.plan import PLAN, PlanRow, plan_rows
from gpualloc.tui.messages import Go, Said
from gpualloc.tui.plan_changes import applying
from gpualloc.tui.plan_details import row_lines
from gpualloc.tui.plan_questions import write_plan
from gpualloc.tui.plan_told import head_lines
from gpualloc.tui.screens.plan_comparison import Compared, ComparisonScreen
from gpualloc.tui.screens.plan_policy import PolicyScreen
from gpualloc.tui.screens.plan_runs import RunsView
from gpualloc.tui.shell import Shell
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.list_table import ListTable
from gpualloc.tui.widgets.measure import set_measure
from gpualloc.tui.widgets.prompt_line import Prompt
from gpualloc.tui.widgets.table import Table
from gpualloc.views.text import plural

_WIDE = 132
"""From so many columns on the details stand beside the list."""
_LOW, _TINY = 14, 8
"""Below so many lines there are no details, and nothing but the list."""
_GATHER_S = 0.1
"""Steps that move within this time are drawn together."""
_COMPARED = (Origin.PLAN, Origin.REBALANCE)


class PlanView(RunsView):
    """A plan, its steps while they are done, and runs that were interrupted."""

    NAME = "plan"
    HEADING = "Plan"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "make", "new", tooltip="Make a new plan"),
        Binding("A", "apply", "apply", tooltip="Carry the plan out, after a question"),
        Binding("o", "aim", "policy", tooltip="Choose the policy and the objective of plans"),
        Binding("d", "compare", "compare", tooltip="Compare with plans by other policies and objectives"),
        Binding("b", "rebalance", "rebalance", tooltip="Propose moves of running work as well; nothing is changed"),
        Binding("u", "undo", "undo", tooltip="Propose what takes the last run back; nothing is changed"),
        Binding("w", "write", "write", tooltip="Write the plan to a file for `gpualloc apply FILE`"),
    ]

    def __init__(self, shell: Shell, of: str = "") -> None:
        super().__init__(shell, of)
        self._rows: tuple[PlanRow, ...] = ()
        self._listed: tuple[object, object, int] = (None, None, 0)
        """What the rows were made from."""
        self._followed = ""
        self._redraw_is_due = False
        self._detailed: tuple[object, ...] = ()
        """What the details were drawn from."""

    def body(self) -> ComposeResult:
        """What the plan is, its steps, and all that is known of the one under the cursor."""
        yield Lines(id="plan-head")
        with Container(id="plan-parts"):
            yield ListTable(PLAN, self.shell.memory("plan"), id="plan-steps")
            with VerticalScroll(id="plan-detail-pane"):
                yield Lines(id="plan-detail")

    def on_mount(self) -> None:
        """Hear of plans and runs, and make a plan when there is none."""
        self.planner.changed = self._changed
        self.planner.said = self._told
        if self.planner.draft is None and self.shell.state.live:
            self.planner.make()

    def on_unmount(self) -> None:
        """Runs go on without anybody who watches."""
        app = self.app

        def said(text: str, wrong: bool) -> None:
            app.post_message(Said(plain(text), wrong=wrong))

        if self.planner.changed == self._changed:
            self.planner.changed, self.planner.said = lambda: None, said

    # Drawing.

    def draw(self, state: State) -> None:
        """Show the plan as it stands, and ask now and then whether it still holds."""
        if state.live:
            self.planner.check()
        self.set_class(self.size.width >= _WIDE, "wide")
        self.set_class(self.size.height < _LOW, "low")
        self.set_class(self.size.height < _TINY, "tiny")
        moment = state.moment
        ticks_s = self.planner.ticks_s()
        head = head_lines(self.planner, state, ticks_s, self.size.width)
        self.query_one("#plan-head", Lines).show(head)
        self._take_in_rows()
        table = self._steps
        table.show_rows(self._rows, moment)
        beside = self.has_class("wide") or self.has_class("low")
        set_measure(table, "max_height", None if beside else len(self._rows) + 2)
        self._follow(table)
        self._draw_details()

    def _take_in_rows(self) -> None:
        draft, course = self.planner.draft, self.planner.applied
        drawn = (draft, course, 0 if course is None else course.moves)
        if draft is not self._listed[0] or course is not self._listed[1] or drawn[2] != self._listed[2]:
            self._listed = drawn
            self._rows = () if draft is None else plan_rows(draft, course)

    def subject(self) -> str:
        """Which plan."""
        return "" if self.planner.draft is None else self.planner.draft.plan.id

    def targets(self) -> tuple[Target, ...]:
        """The workloads of the rows, each once."""
        known = {work.id: work for work in self.shell.state.workloads}
        wanted = dict.fromkeys(row.workload for row in self._steps.chosen)
        found = [known[identity] for identity in wanted if identity in known]
        return tuple(WorkloadTarget(work.id, work.name, work.owner) for work in found)

    @property
    def _steps(self) -> ListTable[PlanRow]:
        return self.query_one("#plan-steps", ListTable)

    def _follow(self, table: ListTable[PlanRow]) -> None:
        """Keep the cursor on the step that moves, unless somebody took it elsewhere."""
        course = self.planner.applied
        if course is None or course.at is None:
            self._followed = ""
            return
        now = "" if table.current is None else table.key_of(table.current)
        wanted = f"step {course.at if course.going else min(course.errors, default=course.at)}"
        if wanted != self._followed and self._followed in ("", now):
            self._followed = wanted
            table.move_to(wanted)

    def _draw_details(self) -> None:
        row, draft = self._steps.current, self.planner.draft
        pane = self.query_one("#plan-detail", Lines)
        if row is None or draft is None:
            self._detailed = ()
            pane.show([])
            return
        if row.workload is not None and (row.rejection is not None or row.what in ("claim", "limit", "start")):
            self.planner.explain(row.workload)
        told = self.planner.told.get(row.workload or "") if row.held is None and row.left is None else None
        width = self.query_one("#plan-detail-pane").scrollable_content_region.width - 2
        drawn = (row, draft.plan.id, told, width, self.planner.applied is None)
        if drawn != self._detailed:
            self._detailed = drawn
            pane.show(row_lines(row, draft, self.planner.applied, told, width))

    def on_table_moved(self, event: Table.Moved) -> None:
        """Another row has other details."""
        if event.table is self._steps:
            self.query_one("#plan-detail-pane", VerticalScroll).scroll_home(animate=False)
            self._draw_details()

    def on_table_opened(self, event: Table.Opened) -> None:
        """Go to the workload or the device."""
        row = event.table.current
        if not isinstance(row, PlanRow):
            return
        device = row.step.device if row.step is not None else None
        if row.workload is not None:
            self.post_message(Go("workload", row.workload))
        elif device is not None:
            self.post_message(Go("device", f"{row.node}/{device}"))

    def _changed(self) -> None:
        """Draw what is told from elsewhere, together with what else comes in a moment."""
        if not self._redraw_is_due:
            self._redraw_is_due = True
            self.set_timer(_GATHER_S, self._draw_gathered)

    def _draw_gathered(self) -> None:
        self._redraw_is_due = False
        self.redraw()

    # Keys.

    def action_make(self) -> None:
        """Make a new plan."""
        if self._may_plan():
            self.planner.make()

    def action_rebalance(self) -> None:
        """Propose moves of running work as well."""
        if self._may_plan():
            self.planner.make(Origin.REBALANCE)

    def action_undo(self) -> None:
        """Propose what takes the last run back."""
        if self._may_plan():
            course = self.planner.course
            run = None if course is None or course.report is None else course.report.run_id
            self.planner.make(Origin.UNDO, run=run)

    def action_aim(self) -> None:
        """Choose the policy and the objective."""
        if self._may_plan():
            self.shell.desk.ask("plan-policies", listed, self._ask_aim, self._wrong)

    def _ask_aim(self, policies: tuple[Listed, ...]) -> None:
        def took(aim: Aim | None) -> None:
            if aim is not None:
                self.planner.make(aim=aim)

        ctx = self.shell.ctx
        if self.is_on_top:
            screen = PolicyScreen(policies, self.planner.aim, ctx.policy.name, ctx.settings.objective)
            self.app.push_screen(screen, took)

    def action_compare(self) -> None:
        """Compare with plans by other policies and objectives."""
        draft = self.planner.draft
        if draft is None or draft.origin not in _COMPARED or self.planner.applied is not None:
            self.say("only a plan for waiting work is compared, before it is applied; n makes one", wrong=True)
        elif self._may_plan():
            self.planner.compare(self._show_compared)

    def _show_compared(self, found: Choices) -> None:
        words = ("shown", "before")
        rows = [Compared(word, word, choice) for word, choice in zip(words, found.given, strict=False)]
        rows += [Compared(choice.plan.id, "", choice) for choice in found.shown]
        draft = self.planner.draft
        if not self.is_on_top or draft is None:
            return
        made, waiting = plural(found.tried, "plan"), plural(found.waiting, "waiting workload")
        title = f"The best of {made} for {waiting}, below what is shown"
        self.app.push_screen(
            ComparisonScreen(title, rows, draft.names, found.snapshot),
            lambda choice: self.planner.take(choice, found) if choice is not None else None,
        )

    def action_write(self) -> None:
        """Write the plan to a file."""
        draft = self.planner.draft
        if draft is None:
            self.say("there is no plan to write", wrong=True)
            return

        def took(name: str) -> None:
            self.shell.desk.ask(
                "plan-file", lambda: write_plan(draft, name), lambda said: self.say(plain(said)), self._wrong
            )

        self.ask(Prompt("plan-file", "write plan to", "FILE", lambda _: ()), f"{draft.plan.id}.plan", took)

    # What changes something.

    def action_apply(self) -> None:
        """Carry the plan out, after a question."""
        planner, draft = self.planner, self.planner.draft
        if not self._may_write():
            return
        if draft is None or not draft.plan.steps:
            self.say("there is nothing to apply; n makes a new plan", wrong=True)
        elif planner.applied is not None:
            self.say("this plan was applied; n makes a new one", wrong=True)
        elif planner.stale is not None:
            self.say(f"{plain(planner.stale.message)}; n makes a new plan", wrong=True)
        else:
            self._confirm(applying(planner, draft, self.shell.program))
