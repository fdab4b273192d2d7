"""What a view shares that carries plans out: who does it, and the keys of runs that go on or were interrupted."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from gpualloc.engine.open_runs import OpenRun, if_given_up
from gpualloc.errors import GpuallocError
from gpualloc.model.plan import RunState
from gpualloc.tui.drafts import Course
from gpualloc.tui.messages import Said
from gpualloc.tui.plan_changes import Proposal, abandoning, going_on
from gpualloc.tui.plan_questions import course_of
from gpualloc.tui.planner import Planner
from gpualloc.tui.screens.confirm import ConfirmScreen
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.shell import Shell
from gpualloc.tui.text import plain

_KEPT = "plan"


def planner_of(shell: Shell) -> Planner:
    """The planner of this dashboard; it outlives its view."""
    found = shell.kept.get(_KEPT)
    if not isinstance(found, Planner):
        found = shell.kept[_KEPT] = Planner(shell.ctx, shell.desk, shell.source.ticks_s)
        found.under_way, found.stopping = shell.under_way, shell.stopping.is_set
    return found


class RunsView(ListedView):
    """A view over the planner of the dashboard."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "stop", "stop", tooltip="End the run after the steps under way"),
        Binding("R", "resume", "go on", tooltip="Go on with the interrupted run"),
        Binding("B", "roll_back", "take back", tooltip="Take back what the interrupted run did"),
        Binding("X", "abandon", "give up", tooltip="Give the interrupted run up as it stands"),
    ]

    def __init__(self, shell: Shell, of: str = "") -> None:
        super().__init__(shell, of)
        self.planner = planner_of(shell)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 (Textual's)
        """Keys that mean nothing now are not offered."""
        planner = self.planner
        if action == "stop":
            return planner.applying
        if action in ("resume", "roll_back", "abandon"):
            return not planner.applying and self._interrupted is not None
        return True

    @property
    def _interrupted(self) -> OpenRun | None:
        """The run that keys are about: the first that nobody gave up."""
        runs = self.planner.interrupted.runs
        return next((one for one in runs if one.run.state is not RunState.ABANDONED), None)

    def _may_plan(self) -> bool:
        if not self.shell.state.live:
            self.say("this is the past: nothing can be planned there", wrong=True)
        elif self.planner.applying:
            self.say("a run is under way; x ends it after the steps under way", wrong=True)
        elif self.planner.making is not None:
            self.say("a plan is being made")
        return self.shell.state.live and not self.planner.applying and self.planner.making is None

    def _may_write(self) -> bool:
        if self.shell.read_only is not None:
            self.say(f"nothing may be changed: {plain(self.shell.read_only)}", wrong=True)
            return False
        return self._may_plan()

    def action_stop(self) -> None:
        """End the run after the steps under way."""
        self.planner.stop()

    def action_resume(self) -> None:
        """Go on with the interrupted run."""
        self._bring_to_an_end("resume")

    def action_roll_back(self) -> None:
        """Take back what the interrupted run did."""
        self._bring_to_an_end("roll back")

    def _bring_to_an_end(self, what: str) -> None:
        found, ctx = self._interrupted, self.shell.ctx
        if found is None or not self._free_to_recover():
            return

        def then(course: Course) -> None:
            self._confirm(going_on(self.planner, course, found, self.shell.program))

        self.shell.desk.ask("plan-run", lambda: course_of(ctx, found, what), then, self._wrong)

    def action_abandon(self) -> None:
        """Give the interrupted run up as it stands."""
        found, ctx = self._interrupted, self.shell.ctx
        if found is None or not self._free_to_recover():
            return

        def then(given_up: OpenRun) -> None:
            self._confirm(abandoning(self.planner, found, given_up, self.shell.program))

        self.shell.desk.ask("plan-run", lambda: if_given_up(ctx, found.run), then, self._wrong)

    def _free_to_recover(self) -> bool:
        if not self._may_write():
            return False
        holder = self.planner.interrupted.holder
        if holder is not None:
            self.say(f"the run may be under way: {plain(holder)}", wrong=True)
        return holder is None

    def _confirm(self, proposal: Proposal) -> None:
        planner = self.planner

        def took(wanted: bool | None) -> None:
            if wanted:
                self.shell.desk.ask(
                    "apply",
                    proposal.do,
                    lambda said: planner.said(said, False),
                    lambda error: planner.said(error.message, True),
                )

        if self.is_on_top:
            self.app.push_screen(ConfirmScreen(proposal.question), took)

    # Notices.

    def _told(self, text: str, wrong: bool) -> None:
        self.call_later(self._say, text, wrong)

    def _say(self, text: str, wrong: bool) -> None:
        """Show a notice here, or on the view that is on top."""
        if self.is_on_top:
            self.say(plain(text), wrong=wrong)
        else:
            self.app.post_message(Said(plain(text), wrong=wrong))

    def _wrong(self, error: GpuallocError) -> None:
        self._say(f"{error.message}{'; ' + error.hint if error.hint else ''}", True)
