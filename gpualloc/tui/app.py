"""The dashboard application: joins the watcher's thread to the views, and goes from one to another."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from gpualloc.engine.context import Context
from gpualloc.errors import NotFoundError, UsageError
from gpualloc.tui.actions.action import Target
from gpualloc.tui.actions.catalog import ACTIONS
from gpualloc.tui.commands import Command, Commands
from gpualloc.tui.cost import Cost, CostMeter, ProcessCostMeter
from gpualloc.tui.desk import Answered, Desk
from gpualloc.tui.hands import Hands
from gpualloc.tui.messages import Back, Crashed, Go, Said, Sampled
from gpualloc.tui.rows import Moment
from gpualloc.tui.screens.catalog import PLACES, Place, place
from gpualloc.tui.screens.view import View
from gpualloc.tui.shell import Shell
from gpualloc.tui.source import Source
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.watcher import Watcher
from gpualloc.tui.widgets.key_line import KeyLine
from gpualloc.tui.widgets.prompt_line import Prompt
from gpualloc.tui.widgets.summary import Heading

DEFAULT_EVERY_S = 2.0
"""Usual period of the looks."""
_REDRAW_S = 1.0
_GATHER_S = 0.1
"""Answers that come within this time are drawn together."""


class TopApp(App[None]):
    """`gpualloc top`.

    Args:
        ctx: for what is asked of the engine.
        source: what to look at.
        every_s: period of the looks in seconds.
        title: first words of the header.
        meter: measures the dashboard's own cost.
        program: the words before a verb with which a command line works on the same world.
    """

    CSS_PATH = "styles.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(one.key, f"go('{one.name}')", one.name, show=False, tooltip=f"Go to {one.name}: {one.what}")
            for one in PLACES
            if one.key is not None and one.key.isdigit()
        ),
        Binding("question_mark", "go('help')", "help", tooltip="All keys, views and commands"),
        *(
            Binding(one.key, f"act('{one.name}')", one.name, show=False, tooltip=f"{one.name.capitalize()}: {one.what}")
            for one in ACTIONS
            if one.key is not None
        ),
        Binding("a", "menu", "act", tooltip="What can be done to what is selected"),
        Binding("colon,ctrl+p", "command", "command", tooltip="Type the name of a view or an action"),
        Binding("escape", "leave", "back", show=False, tooltip="Back to the view before"),
        Binding("p", "pause", "pause", show=False, tooltip="Stop looking at the fleet, or go on"),
        Binding("q,ctrl+c", "quit", "quit", tooltip="Quit, whatever hangs; asks once while something is being done"),
    ]

    def __init__(
        self,
        ctx: Context,
        source: Source,
        *,
        every_s: float,
        title: str,
        meter: CostMeter,
        program: tuple[str, ...] = ("gpualloc",),
    ) -> None:
        super().__init__()
        self.title = title
        self._meter = meter
        self._cost: Cost = meter.measure()
        self._source = source
        self._every_s = every_s
        self.watcher = Watcher(source, every_s, self.post_message)
        desk = Desk(self.post_message)
        state = State.of(self.watcher.seen(), self._moment())
        self.shell = Shell(ctx, source, desk, state, every_s, self._heading, self._commands, program=program)
        self._hands = Hands(self, self.shell, self._targets, lambda text, wrong: self._say(text, wrong=wrong))
        self.crash: Exception | None = None
        """A defect that ended a thread, and with it the dashboard."""
        self._redraw_is_due = False

    async def on_mount(self) -> None:
        """Show the first view and begin to look."""
        self._show(PLACES[0], "")
        self.watcher.start()
        self.set_interval(_REDRAW_S, self._tick)
        self.set_interval(self._every_s, self._measure)

    def on_unmount(self) -> None:
        """Leave the threads to themselves."""
        self.watcher.stop()

    # News.

    def on_sampled(self, _: Sampled) -> None:
        """Draw what was seen, together with what else comes in a moment."""
        if not self._redraw_is_due:
            self._redraw_is_due = True
            self.set_timer(_GATHER_S, self._take_in)

    def on_answered(self, message: Answered) -> None:
        """Something that was asked for has come."""
        message.tell()

    def on_crashed(self, message: Crashed) -> None:
        """A screen that would never change again is not left standing."""
        self.crash = message.error
        self.exit()

    def _moment(self) -> Moment:
        return Moment(self._source.ticks_s(), self._source.now_s(), self._every_s)

    def _take_in(self) -> None:
        self._redraw_is_due = False
        self.shell.state = State.of(self.watcher.seen(), self._moment())
        self._redraw()

    def _tick(self) -> None:
        self.shell.state = self.shell.state.at(self._moment())
        self._redraw()

    def _measure(self) -> None:
        self._cost = self._meter.measure()

    def _redraw(self) -> None:
        view = self.view
        if view is not None:
            view.redraw()

    def _heading(self) -> Heading:
        state = self.shell.state
        return Heading(
            self.title,
            self._source.simulated,
            self.watcher.paused,
            state.moment.now_s,
            self._every_s,
            self._cost,
            self.shell.read_only is not None,
        )

    # Going from view to view.

    @property
    def view(self) -> View | None:
        """The view that is on top of the others, a dialog over it or not."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

    def on_go(self, message: Go) -> None:
        """Show another view."""
        self._go(message.name, message.of)

    def action_go(self, name: str) -> None:
        """Show the view of that name."""
        self._go(name, "")

    def _go(self, name: str, of: str) -> None:
        found = place(name)
        if found is None:
            raise ValueError(f"there is no view {name}")
        if found.needs and not of:
            self._say(f":{found.name} needs to be told which; Enter on a row goes there", wrong=True)
            return
        self._show(found, of)

    def _show(self, wanted: Place, of: str) -> None:
        for depth, screen in enumerate(self.screen_stack):
            if isinstance(screen, View) and (screen.NAME, screen.of) == (wanted.name, of):
                for _ in self.screen_stack[depth + 1 :]:
                    self.pop_screen()
                return
        self.push_screen(wanted.make(self.shell, of))

    def on_back(self, _: Back) -> None:
        """Back to the view before."""
        self.action_leave()

    def action_leave(self) -> None:
        """Back to the view before; the first one stays."""
        if sum(isinstance(screen, View) for screen in self.screen_stack) > 1:
            self.pop_screen()

    # Doing something.

    def _targets(self) -> tuple[Target, ...]:
        return self.view.targets() if self.view is not None else ()

    def action_act(self, name: str) -> None:
        """Begin the action of that name on what is selected."""
        self._hands.take(name)

    def action_menu(self) -> None:
        """Choose among what can be done to what is selected."""
        self._hands.menu()

    async def action_quit(self) -> None:
        """Quit; asks once while something is being done."""
        self._hands.quit()

    def on_said(self, message: Said) -> None:
        """Show a notice of a dialog's."""
        self._say(message.text, wrong=message.wrong)

    # Keys of every view.

    def on_key_line_pressed(self, event: KeyLine.Pressed) -> None:
        """A key was clicked on."""
        self.simulate_key(event.key)

    def action_pause(self) -> None:
        """Stop looking, or go on."""
        self.watcher.pause(not self.watcher.paused)
        self._redraw()

    def action_command(self) -> None:
        """Type a command."""
        if self.view is not None:
            commands = self._commands()
            prompt = Prompt("command", ":", "a view or an action; Tab completes", commands.complete)
            self.view.ask(prompt, "", self._run)

    def _run(self, text: str) -> None:
        try:
            self._commands().run(text)
        except (UsageError, NotFoundError) as error:
            self._say(f"{error.message}{'; ' + error.hint if error.hint else ''}", wrong=True)

    def _say(self, text: str, *, wrong: bool = False) -> None:
        if self.view is not None:
            self.view.say(plain(text), wrong=wrong)

    def _commands(self) -> Commands:
        return Commands(
            [
                *(self._going(one) for one in PLACES),
                *self._hands.commands(),
                Command("quit", "quit", lambda _: self._hands.quit(), ("q",)),
                Command("pause", "stop looking, or go on", lambda _: self.action_pause()),
            ]
        )

    def _going(self, one: Place) -> Command:
        def values() -> list[str]:
            if one.name == "node":
                return sorted(self.shell.state.nodes)
            return [row.key for row in self.shell.state.rows if row.device is not None] if one.name == "device" else []

        argument = "NAME" if one.needs else ""
        return Command(one.name, one.what, lambda of: self._go(one.name, of), one.aliases, argument, values)


def run_top(
    ctx: Context,
    source: Source,
    *,
    every_s: float = DEFAULT_EVERY_S,
    title: str = "gpualloc top",
    program: tuple[str, ...] = ("gpualloc",),
) -> None:
    """Show the dashboard until the user quits.

    Args:
        ctx: for what is asked of the engine.
        source: what to look at.
        every_s: period of the looks in seconds.
        title: first words of the header.
        program: the words before a verb with which a command line works on the same world.

    Raises:
        Exception: whatever other than GpuallocError a thread met, a defect.
    """
    app = TopApp(ctx, source, every_s=every_s, title=title, meter=ProcessCostMeter(), program=program)
    app.run()
    if app.crash is not None:
        raise app.crash
