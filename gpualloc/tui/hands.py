"""From a wish to what came of it: what is selected, what must be asked, what would be touched, yes or no, doing it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace
from textual.app import App

from gpualloc.engine.context import Context
from gpualloc.errors import GpuallocError
from gpualloc.model.plan import Run, Step, StepState
from gpualloc.tui.actions.action import (
    Action,
    AlertTarget,
    Answers,
    Change,
    DeviceTarget,
    NodeTarget,
    ProcessTarget,
    Scene,
    Target,
    Targets,
    WorkloadTarget,
)
from gpualloc.tui.actions.catalog import ACTIONS, action_named
from gpualloc.tui.actions.naming import named, names
from gpualloc.tui.cells import cell
from gpualloc.tui.commands import Command
from gpualloc.tui.screens.confirm import ConfirmScreen, Question
from gpualloc.tui.screens.doing import Doing, DoingScreen
from gpualloc.tui.screens.form import FormScreen
from gpualloc.tui.screens.menu import MenuScreen
from gpualloc.tui.screens.view import View
from gpualloc.tui.shell import Shell
from gpualloc.tui.text import plain
from gpualloc.views.runs import resumed_line

_SHOWN_AFTER_S = 0.3
"""What is done sooner is told by its notice alone."""
_KINDS: dict[type, tuple[str, str]] = {
    NodeTarget: ("node", "nodes"),
    DeviceTarget: ("GPU", "GPUs"),
    ProcessTarget: ("process", "processes"),
    WorkloadTarget: ("workload", "workloads"),
    AlertTarget: ("alert", "alerts"),
}


class Hands:
    """Does what is wanted of the fleet, and never holds up a key.

    Args:
        app: shows the dialogs.
        shell: whom it asks.
        targets: what an action would act upon now.
        say: shows a notice: a line that is safe to draw, and whether it is an error.
    """

    def __init__(
        self, app: App[Any], shell: Shell, targets: Callable[[], Targets], say: Callable[[str, bool], None]
    ) -> None:
        self._app = app
        self._shell = shell
        self._targets = targets
        self._say = say
        self._answers: dict[str, Answers] = {}
        self._lanes = 0

    # What is wanted.

    def menu(self) -> None:
        """Let somebody choose among what can be done to what is selected."""
        targets = self._targets()
        fitting = [one for one in ACTIONS if one.fits(self._meant(one, targets), self._shell.state)]

        def took(name: str | None) -> None:
            if name is not None:
                self.take(name)

        self._app.push_screen(MenuScreen(_told(targets), fitting, self._refusal()), took)

    def commands(self) -> list[Command]:
        """Each action as it is typed."""
        return [
            Command(
                one.name,
                one.what,
                partial(self._typed, one),
                argument="NAME..." if one.takes else "",
                values=partial(self._names, one),
            )
            for one in ACTIONS
        ]

    def take(self, name: str) -> None:
        """Begin the action of that name on what is selected."""
        self._begin(action_named(name), self._targets())

    def _typed(self, action: Action, text: str) -> None:
        self._begin(action, named(action, text, self._shell.state) if text else self._targets())

    def _names(self, action: Action) -> list[str]:
        return names(action, self._shell.state)

    def _refusal(self) -> str | None:
        """Why nothing may be changed; None when it may."""
        if self._shell.read_only is not None:
            return f"nothing can be changed here: {plain(self._shell.read_only)}"
        return None if self._shell.state.live else "nothing can be changed in the past: go back to now first"

    def _meant(self, action: Action, targets: Targets) -> Targets:
        """What the action would act upon: of processes their workloads, where it takes those."""
        if not action.takes:
            return ()
        known = {work.id: work for work in self._shell.state.workloads}
        found: dict[Target, None] = {}
        for target in targets:
            if isinstance(target, ProcessTarget) and ProcessTarget not in action.takes and target.workload in known:
                work = known[target.workload]
                found[WorkloadTarget(work.id, work.name, work.owner)] = None
            else:
                found[target] = None
        return tuple(found)

    # Asking and proposing.

    def _begin(self, action: Action, targets: Targets) -> None:
        refusal = self._refusal() if action.writes else None
        if refusal is not None:
            self._say(refusal, True)
            return
        meant = self._meant(action, targets)
        if not action.fits(meant, self._shell.state):
            self._say(_misfit(action, targets), True)
            return
        title = f"{action.name} {_told(meant)}: {action.what}" if meant else f"{action.name}: {action.what}"
        asks = action.asks(meant, self._shell.state)
        form = FormScreen(
            title,
            asks,
            self._answers.get(action.name, {}) if not meant else {},
            lambda answers: self._propose(action, meant, answers, form),
        )
        self._app.push_screen(form)

    def _propose(self, action: Action, targets: Targets, answers: Answers, form: FormScreen) -> None:
        """Have it worked out, and ask, unless the form is left meanwhile."""
        scene = Scene(self._world(), self._shell.state)
        self._answers[action.name] = answers

        def then(change: Change) -> None:
            if self._app.screen is form:
                form.complain(None)
                form.add_class("behind")
                answered = partial(self._answered, action, change, form)
                self._app.push_screen(ConfirmScreen(self._question(change)), answered)

        def wrong(error: GpuallocError) -> None:
            if self._app.screen is form:
                form.complain(error)

        self._shell.desk.ask("hands", lambda: action.change(scene, targets, answers), then, wrong)

    def _question(self, change: Change) -> Question:
        commands = tuple((*self._shell.program, *words) for words in change.commands)
        mark = " (simulated)" if self._shell.ctx.simulated else ""
        return Question(
            change.title + mark, change.touches, change.title.split()[0].lower(), commands, change.warning, change.grave
        )

    def _answered(self, action: Action, change: Change, form: FormScreen, yes: bool | None) -> None:
        form.remove_class("behind")
        if yes or not form.asks:
            form.dismiss(None)
        if yes:
            self._do(action, change)
        else:
            self._say(f"{action.name}: nothing was done", False)

    # Doing.

    def _world(self) -> Context:
        return replace(self._shell.ctx, on_resume=self._resumed)

    def _resumed(self, run: Run) -> None:
        self._shell.desk.tell(lambda: self._say(plain(resumed_line(run)), False))

    def _ticks_s(self) -> float:
        return self._shell.source.ticks_s()

    def _do(self, action: Action, change: Change) -> None:
        doing = Doing(change.title, self._ticks_s())
        self._shell.under_way.append(doing.title)
        self._lanes += 1

        def on_step(step: Step, state: StepState, error: str | None, total: int) -> None:
            self._shell.desk.tell(lambda: doing.moved(step, state, error, total))

        def then(told: tuple[str, ...]) -> None:
            doing.told = told
            self._answers.pop(action.name, None)
            self._ended(doing)

        def wrong(error: GpuallocError) -> None:
            doing.error = error
            self._ended(doing)

        self._shell.desk.ask(f"hands {self._lanes}", lambda: change.do(on_step), then, wrong)
        self._app.set_timer(_SHOWN_AFTER_S, lambda: self._show_going_on(doing))

    def _show_going_on(self, doing: Doing) -> None:
        """Show it unless it is over, or somebody is in another dialog already."""
        if not doing.over and isinstance(self._app.screen, View):
            self._show(doing)

    def _show(self, doing: Doing) -> None:
        self._app.push_screen(DoingScreen(doing, self._ticks_s))

    def _ended(self, doing: Doing) -> None:
        """Tell what came of it; a dialog stays where there is more to read than a line."""
        self._shell.under_way.remove(doing.title)
        failed = doing.error is not None
        text = doing.error.message if doing.error is not None else doing.told[0]
        self._say(f"{doing.title}: {plain(text)}" if failed else plain(text), failed)
        shown = [one for one in self._app.screen_stack if isinstance(one, DoingScreen) and one.doing is doing]
        if shown:
            shown[0].ended()
        elif (failed or len(doing.told) > 1) and not doing.left:
            self._show(doing)

    # Leaving.

    def quit(self) -> None:
        """Quit; while something is being done ask once."""
        under_way, stopping = self._shell.under_way, self._shell.stopping
        if not under_way or stopping.is_set():
            self._app.exit()
            return
        told = (
            "Steps under way are finished, no other is begun, and then this ends; q once more ends it at once.",
            "What is left then is in the journal: the next command that changes something takes it up.",
        )
        lines = (*(cell(f"{title} is being carried out") for title in under_way), (), *(cell(line) for line in told))

        def answered(yes: bool | None) -> None:
            if yes:
                stopping.set()
                self._say("ends when the steps under way are finished; q once more ends at once", False)
                self.leave_when_done()

        self._app.push_screen(ConfirmScreen(Question("Quit", lines, "quit", grave=True)), answered)

    def leave_when_done(self) -> None:
        """Quit if somebody wants that and nothing is being done any more; asked every second."""
        if self._shell.stopping.is_set() and not self._shell.under_way:
            self._app.exit()


def _told(targets: Targets) -> str:
    """What they are, in a few words; safe to draw."""
    if len(targets) != 1:
        kinds = [(words, sum(isinstance(one, kind) for one in targets)) for kind, words in _KINDS.items()]
        counts = [f"{count} {one if count == 1 else many}" for (one, many), count in kinds if count]
        return " and ".join(counts) or "nothing selected"
    (target,) = targets
    if isinstance(target, WorkloadTarget):
        return f"{target.id} {plain(target.name, 60)} of {plain(target.owner, 40)}"
    if isinstance(target, ProcessTarget):
        return f"process {target.pid} on {plain(target.node)}"
    if isinstance(target, DeviceTarget):
        return f"{plain(target.node)} GPU {target.index}"
    if isinstance(target, AlertTarget):
        return f"{plain(target.rule, 60)} on {plain(target.node)}"
    return plain(target.node)


def _misfit(action: Action, targets: Targets) -> str:
    """Why the action does not fit."""
    if (
        targets
        and all(isinstance(target, action.takes) for target in targets)
        and (action.several or len(targets) == 1)
    ):
        return f"{action.name}: not as {'it stands' if len(targets) == 1 else 'they stand'} now: {_told(targets)}"
    wanted = [_KINDS[kind][1] if action.several else f"one {_KINDS[kind][0]}" for kind in action.takes]
    return f"{action.name} takes {' or '.join(wanted)}; selected: {_told(targets) if targets else 'none'}"
