"""The dashboard application: joins the watcher's thread to the views, and goes from one to another."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import cached_property
from threading import Event
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from textual.binding import Binding, BindingType

from gpualloc.engine.context import Context
from gpualloc.errors import NotFoundError, UsageError
from gpualloc.tui import glyphs
from gpualloc.tui.actions.action import Targets
from gpualloc.tui.actions.catalog import ACTIONS
from gpualloc.tui.commands import Command, Commands
from gpualloc.tui.cost import CostMeter, ProcessCostMeter
from gpualloc.tui.desk import Answered, Desk
from gpualloc.tui.listing import Sort
from gpualloc.tui.messages import Back, Crashed, Go, Said, Sampled
from gpualloc.tui.options import VIEW_NAMES, TopOptions
from gpualloc.tui.remembered import MAX_FILTER_CHARS, MAX_FILTERS, MAX_NAME_CHARS, ListLook, Memory
from gpualloc.tui.rows import Moment
from gpualloc.tui.screens.catalog import PLACES, Place, place
from gpualloc.tui.screens.listed import ListedView
from gpualloc.tui.screens.view import PROMPTING, View
from gpualloc.tui.shell import ListMemory, Shell
from gpualloc.tui.source import Source
from gpualloc.tui.state import State
from gpualloc.tui.text import plain
from gpualloc.tui.themes import Colours, colours_of
from gpualloc.tui.travelling import TravellingApp
from gpualloc.tui.watcher import Watcher
from gpualloc.tui.widgets.key_line import KeyLine
from gpualloc.tui.widgets.prompt_line import Prompt
from gpualloc.tui.widgets.summary import Heading

if TYPE_CHECKING:
    from gpualloc.tui.hands import Hands

_REDRAW_S = 1.0
_GATHER_S = 0.1
"""Answers that come within this time are drawn together."""
_DRAWING_SHARE = 0.02
"""Part of the time that drawing news may take: with thousands of GPUs it is drawn less often than nodes tell."""


class TopApp(TravellingApp):
    """`gpualloc top`.

    Args:
        ctx: for what is asked of the engine; one that only looks where nothing may be changed.
        source: what to look at.
        options: how to begin.
        title: first words of the header.
        meter: measures the dashboard's own cost.
        colours: what the terminal has.
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
        Binding("colon", "command", "command", priority=True, tooltip="Type the name of a view or an action"),
        Binding("ctrl+p", "command", "command", show=False, tooltip="As :"),
        Binding("escape", "leave", "back", show=False, tooltip="Back to the view before"),
        Binding("T", "next_theme", "theme", show=False, tooltip="The next theme"),
        Binding("p", "pause", "pause", show=False, tooltip="Stop looking at the fleet, or go on"),
        Binding("ctrl+z", "suspend_process", "suspend", show=False, tooltip="Back to the shell; `fg` comes back"),
        Binding("q,ctrl+c", "quit", "quit", tooltip="Quit, whatever hangs; asks once while something is being done"),
    ]

    def __init__(
        self,
        ctx: Context,
        source: Source,
        options: TopOptions,
        *,
        title: str,
        meter: CostMeter,
        colours: Colours = Colours.MANY,
    ) -> None:
        self._memory = Memory(options.remembered)
        super().__init__(options.theme or self._memory.remembered.theme, colours)
        self.title = title
        self._meter = meter
        self._cost = meter.first
        self._source = source
        self._options = options
        self._every_s = options.every_s
        self.watcher = Watcher(source, options.every_s, self.post_message)
        desk = Desk(self.post_message)
        state = State.of(self.watcher.seen(), self._moment())
        stopping = Event()
        self.shell = Shell(
            replace(ctx, stopped=stopping.is_set),
            source,
            desk,
            state,
            options.every_s,
            self._heading,
            self._commands,
            read_only=options.read_only,
            program=options.program,
            stopping=stopping,
        )
        self._recall()
        self.begin_travelling()
        self.crash: Exception | None = None
        """A defect that ended a thread, and with it the dashboard."""
        self._redraw_is_due = False
        self._taken_in_s, self._took_s = -math.inf, 0.0
        """When news was drawn last, in ticks, and how long that took."""

    async def on_mount(self) -> None:
        """Show the first view and begin to look."""
        first = place(self._options.view or self._memory.remembered.view or "")
        await self._show(PLACES[0], "")
        if first is not None and not first.needs and first is not PLACES[0]:
            await self._show(first, "")
        self.watcher.start()
        notice = self._memory.take_notice()
        if notice is not None:
            self.call_after_refresh(self.say, notice, wrong=True)
        self.set_interval(_REDRAW_S, self._tick)
        self.set_interval(self._every_s, self._measure)

    def on_unmount(self) -> None:
        """Leave the threads to themselves."""
        self.watcher.stop()
        self.end_travelling()
        self._keep()

    # What is remembered between runs.

    def _recall(self) -> None:
        remembered = self._memory.remembered
        self.shell.filters.update(remembered.filters)
        self.shell.heat = remembered.heat
        for name, look in remembered.lists.items():
            sorts = tuple(Sort(field, descends) for field, descends in look.sort) or None
            self.shell.lists[name] = ListMemory(look.columns, sorts, gathered=look.gathered)

    def _keep(self) -> None:
        lists = {name: look for name, memory in self.shell.lists.items() if (look := _look_of(memory)) != ListLook()}
        tops = [screen.NAME for screen in self.screen_stack if isinstance(screen, View) and screen.NAME in VIEW_NAMES]
        remembered = self._memory.remembered
        self._memory.keep(
            replace(
                remembered,
                view=tops[-1] if tops else remembered.view,
                lists=lists,
                filters=dict(self.shell.filters),
                heat=self.shell.heat or remembered.heat,
            )
        )

    def action_next_theme(self) -> None:
        """Wear the next theme, from now on."""
        super().action_next_theme()
        self._memory.keep(replace(self._memory.remembered, theme=self.theme))
        self.say(f"theme {self.theme}")

    # News.

    def on_sampled(self, _: Sampled) -> None:
        """Draw what was seen, together with what else comes in a moment."""
        if not self._redraw_is_due:
            self._redraw_is_due = True
            rest_s = max(_GATHER_S, self._took_s / _DRAWING_SHARE)
            wait_s = self._taken_in_s + rest_s - self._source.ticks_s()
            if wait_s > 0:
                self.set_timer(wait_s, self._take_in)
            else:
                self._take_in()

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
        self._taken_in_s = self._source.ticks_s()
        self.hear()
        seen = self.watcher.seen()
        if self.is_live:
            self.show(self.shell.state.then(seen, self._moment()))
        self.call_after_refresh(self.shell.recent.take, [node.node for node in seen.nodes if node.node is not None])
        self._took_s = self._source.ticks_s() - self._taken_in_s

    def show_live(self) -> None:
        """Draw what is now, whatever was drawn before."""
        self.show(State.of(self.watcher.seen(), self._moment()))

    def show(self, state: State) -> None:
        """Draw this state from now on."""
        self.shell.state = state
        self._redraw()

    def _tick(self) -> None:
        if self.is_live:
            self.shell.state = self.shell.state.at(self._moment())
        if self.shell.stopping.is_set():
            self._hands.leave_when_done()
        self._redraw()

    def _measure(self) -> None:
        self._cost = self._meter.measure(self._source.received_bytes())

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
            state.slowest if state.live else None,
            self.banners,
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that begin a line belong to the view on top, and to none while a dialog is open."""
        if action not in PROMPTING:
            return super().check_action(action, parameters)
        view = self.screen
        return isinstance(view, View) and view.check_action(action, parameters)

    # Going from view to view.

    @property
    def view(self) -> View | None:
        """The view that is on top of the others, a dialog over it or not."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, View)), None)

    async def on_go(self, message: Go) -> None:
        """Show another view."""
        await self._go(message.name, message.of)

    async def action_go(self, name: str) -> None:
        """Show the view of that name."""
        await self._go(name, "")

    async def _go(self, name: str, of: str) -> None:
        found = place(name)
        if found is None:
            raise ValueError(f"there is no view {name}")
        if found.needs and not of:
            self.say(f":{found.name} needs to be told which; Enter on a row goes there", wrong=True)
            return
        await self._show(found, of)

    async def _show(self, wanted: Place, of: str) -> None:
        for depth, screen in enumerate(self.screen_stack):
            if isinstance(screen, View) and (screen.NAME, screen.of) == (wanted.name, of):
                for _ in self.screen_stack[depth + 1 :]:
                    self.pop_screen()
                return
        # A key or an answer that comes meanwhile would find a view without its parts.
        await self.push_screen(wanted.make(self.shell, of))

    def on_back(self, _: Back) -> None:
        """Back to the view before."""
        self.action_leave()

    def action_leave(self) -> None:
        """Back to the view before; the first one stays."""
        if sum(isinstance(screen, View) for screen in self.screen_stack) > 1:
            self.pop_screen()

    # Doing something.

    @cached_property
    def _hands(self) -> Hands:
        # Dialogs are imported when somebody wants one.
        from gpualloc.tui.hands import Hands

        return Hands(self, self.shell, self._reach, lambda text, wrong: self.say(text, wrong=wrong))

    def _reach(self) -> tuple[Targets, ...]:
        return (self.view.targets(), *self.view.around()) if self.view is not None else ()

    def action_act(self, name: str) -> None:
        """Begin the action of that name on what is selected."""
        self._hands.take(name)

    def action_menu(self) -> None:
        """Choose among what can be done to what is selected."""
        self._hands.menu()

    async def action_quit(self) -> None:
        """Quit; asks once while something is being done."""
        self._quit()

    def _quit(self) -> None:
        if self.shell.under_way:
            self._hands.quit()
        else:
            self.exit()

    def on_said(self, message: Said) -> None:
        """Show a notice of a dialog's."""
        self.say(message.text, wrong=message.wrong)

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
        prompt = Prompt("command", ":", "a view or an action; Tab completes", self._commands().complete)
        self.ask(prompt, "", self._run)

    def _run(self, text: str) -> None:
        try:
            self._commands().run(text)
        except (UsageError, NotFoundError) as error:
            self.say(f"{error.message}{'; ' + error.hint if error.hint else ''}", wrong=True)

    def ask(self, prompt: Prompt, text: str, took: Callable[[str], None]) -> None:
        """Let a line be typed in the view on top."""
        if self.view is not None:
            self.view.ask(prompt, text, took)

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Tell something in the notice line of the view on top."""
        if self.view is not None:
            self.view.say(plain(text), wrong=wrong)

    def _commands(self) -> Commands:
        return Commands(
            [
                *(self._going(one) for one in PLACES),
                *self._hands.commands(),
                Command("quit", "quit", lambda _: self._quit(), ("q",)),
                *self.time_commands(),
                Command("theme", "wear another theme", self._wear, argument="THEME", values=lambda: self.theme_names),
                Command("save", "save the filter of the list under a name", self._save, argument="NAME"),
                Command("pause", "stop looking, or go on", lambda _: self.action_pause()),
            ]
        )

    def _wear(self, name: str) -> None:
        if name not in self.theme_names:
            raise UsageError(f"there is no theme {name}", hint=f"one of {', '.join(self.theme_names)}")
        self.theme = name
        self._memory.keep(replace(self._memory.remembered, theme=name))

    def _save(self, name: str) -> None:
        view = self.view
        text = view.table.memory.filter.strip() if isinstance(view, ListedView) else ""
        if not name or not text:
            raise UsageError("there is no filter to save", hint="type one with /, then :save NAME")
        if len(name) > MAX_NAME_CHARS or len(self.shell.filters) >= MAX_FILTERS:
            raise UsageError(f"at most {MAX_FILTERS} filters are saved, with names of {MAX_NAME_CHARS} letters at most")
        if len(text) > MAX_FILTER_CHARS:
            raise UsageError(f"filters of more than {MAX_FILTER_CHARS} letters are not saved")
        self.shell.filters[name] = text
        self._keep()
        self.say(f"saved; @{name} behind / applies it")

    def _going(self, one: Place) -> Command:
        def values() -> list[str]:
            if one.name == "node":
                return sorted(self.shell.state.nodes)
            if one.name == "workload":
                return [workload.id for workload in self.shell.state.workloads]
            return [row.key for row in self.shell.state.rows if row.device is not None] if one.name == "device" else []

        def go(of: str) -> None:
            self.post_message(Go(one.name, of))

        argument = "NAME" if one.needs else ""
        return Command(one.name, one.what, go, one.aliases, argument, values)


def _look_of(memory: ListMemory) -> ListLook:
    sorts = tuple((sort.field, sort.descends) for sort in memory.sorts or ())
    return ListLook(memory.columns, sorts, memory.gathered)


def run_top(ctx: Context, source: Source, options: TopOptions, *, title: str = "gpualloc top") -> None:
    """Show the dashboard until the user quits.

    Args:
        ctx: for what is asked of the engine; one that only looks where nothing may be changed.
        source: what to look at.
        options: how to begin.
        title: first words of the header.

    Raises:
        Exception: whatever other than GpuallocError a thread met, a defect.
    """
    glyphs.use(glyphs.fitting(os.environ, ascii_only=options.ascii))
    app = TopApp(ctx, source, options, title=title, meter=ProcessCostMeter(), colours=colours_of(os.environ))
    app.run()
    if app.crash is not None:
        raise app.crash
