"""From a wish to what came of it: what is selected, what must be asked, what would be touched, yes or no, doing it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from msgspec.structs import replace
from textual.app import App

from gpualloc.engine.context import Context
from gpualloc.errors import GpuallocError
from gpualloc.model.plan import Run, Step, StepState
from gpualloc.tui.actions.action import Action, Answers, Change, Scene, Targets
from gpualloc.tui.actions.catalog import ACTIONS, action_named
from gpualloc.tui.actions.naming import named, names
from gpualloc.tui.actions.offers import Offer, aimed, misfit, offers, told
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


class Hands:
    """Does what is wanted of the fleet, and never holds up a key.

    Args:
        app: shows the dialogs.
        shell: whom it asks.
        reach: what an action could act upon now: what is selected, then what is around it, nearest first.
        say: shows a notice: a line that is safe to draw, and whether it is an error.
    """

    def __init__(
        self, app: App[Any], shell: Shell, reach: Callable[[], Sequence[Targets]], say: Callable[[str, bool], None]
    ) -> None:
        self._app = app
        self._shell = shell
        self._reach = reach
        self._say = say
        self._answers: dict[str, Answers] = {}
        self._lanes = 0

    # What is wanted.

    def menu(self) -> None:
        """Let somebody choose among what can be done to what is selected, and to what is around it."""
        reach = self._reach()

        def took(offer: Offer | None) -> None:
            if offer is not None:
                self._begin(offer.action, offer.targets)

        found = offers(ACTIONS, reach, self._shell.state)
        self._app.push_screen(MenuScreen(told(reach[0] if reach else ()), found, self._refusal()), took)

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
        """Begin the action of that name on the nearest that it takes."""
        self._aim(action_named(name))

    def _aim(self, action: Action) -> None:
        self._begin(action, aimed(action, self._reach(), self._shell.state))

    def _typed(self, action: Action, text: str) -> None:
        if text:
            self._begin(action, named(action, text, self._shell.state))
        else:
            self._aim(action)

    def _names(self, action: Action) -> list[str]:
        return names(action, self._shell.state)

    def _refusal(self) -> str | None:
        """Why nothing may be changed; None when it may."""
        if self._shell.read_only is not None:
            return f"nothing can be changed here: {plain(self._shell.read_only)}"
        return None if self._shell.state.live else "nothing can be changed in the past: go back to now first"

    # Asking and proposing.

    def _begin(self, action: Action, targets: Targets) -> None:
        refusal = self._refusal() if action.writes else None
        if refusal is not None:
            self._say(refusal, True)
            return
        if not action.fits(targets, self._shell.state):
            self._say(misfit(action, targets), True)
            return
        title = f"{action.name} {told(targets)}: {action.what}" if targets else f"{action.name}: {action.what}"
        asks = action.asks(targets, self._shell.state)
        form = FormScreen(
            title,
            asks,
            self._answers.get(action.name, {}) if not targets else {},
            lambda answers: self._propose(action, targets, answers, form),
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
