"""The frame of every view: header, where we are, the view's own part, notices, prompt and keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from gpualloc.tui.actions.action import Target, Targets
from gpualloc.tui.cells import Cell, Role, Span, cell, width_of
from gpualloc.tui.keys import shown_keys
from gpualloc.tui.messages import Said
from gpualloc.tui.shell import Shell
from gpualloc.tui.state import State
from gpualloc.tui.text import age_text, plain
from gpualloc.tui.widgets.key_line import KeyLine
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.prompt_line import Prompt, PromptLine
from gpualloc.tui.widgets.summary import Summary

PROMPTING = frozenset({"filter", "command", "ask_time"})
"""Actions after which a line is typed. Their keys have priority: what is typed fast behind them is of that line."""
NOTICE_S = 8.0
"""How long a notice stands."""


class View(Screen[None]):
    """A view of the fleet. Draws when it is on top and something changed; never blocks.

    Args:
        shell: what it draws from, and whom it asks.
        of: what it is about, as in `Go`; empty for the whole fleet.
    """

    NAME: ClassVar[str] = ""
    """As in `:name`."""
    HEADING: ClassVar[str] = ""
    """As people read it."""
    AUTO_FOCUS = ""
    """Textual would give the keys to what is out of sight; `redraw` does it."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "app.focus_next", "next", show=False, tooltip="Next part of the view"),
        Binding("shift+tab", "app.focus_previous", "previous", show=False, tooltip="Previous part of the view"),
    ]

    def __init__(self, shell: Shell, of: str = "") -> None:
        super().__init__()
        self.shell = shell
        self.of = of
        self._asked_from: Widget | None = None

    # What a view says of itself.

    def body(self) -> ComposeResult:
        """The widgets between the crumb line and the keys."""
        raise NotImplementedError

    def draw(self, state: State) -> None:
        """Show this state; called at least once a second while the view is on top."""
        raise NotImplementedError

    def subject(self) -> str:
        """What it is about, safe to draw; empty for the whole fleet."""
        return ""

    def status(self) -> Cell:
        """What stands at the right of the crumb line: filter, order, counts."""
        return ()

    def targets(self) -> tuple[Target, ...]:
        """What an action would act upon: what is selected, else what the cursor is on."""
        return ()

    def around(self) -> tuple[Targets, ...]:
        """What an action would act upon that takes nothing of `targets`: what the view is about, nearest first."""
        return ()

    # The frame.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 (Textual's)
        """Keys that begin a line are letters of it while one is typed."""
        return action not in PROMPTING or not any(line.display for line in self.query(PromptLine))

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield Summary(id="summary")
        yield Lines(id="trouble")
        yield Lines(id="crumb")
        with Vertical(id="body"):
            yield from self.body()
        yield Lines(id="notice")
        yield PromptLine(id="prompt")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Draw as soon as the sizes are known."""
        self.call_after_refresh(self.redraw)

    def on_screen_resume(self) -> None:
        """Draw what changed while another view was on top."""
        self.call_after_refresh(self.redraw)

    def on_resize(self, _: events.Resize) -> None:
        """Fit it into the new size."""
        self.call_after_refresh(self.redraw)

    def redraw(self) -> None:
        """Draw the newest state."""
        if not self._stands:
            return
        state = self.shell.state
        self.query_one(Summary).show_totals(self.shell.heading(), state.totals)
        self._draw_trouble(state)
        self.draw(state)
        self._draw_crumb()
        self.query_one(KeyLine).show_keys(shown_keys(self))
        if self.focused is None:
            self.call_after_refresh(self._focus_first)

    @property
    def _stands(self) -> bool:
        """Whether it is in sight with all its parts: at the exit it is in sight while they are taken away."""
        up = self.is_mounted and self.is_attached and self.app.is_running and self.is_on_top
        return up and bool(self.query(Summary))

    @property
    def is_on_top(self) -> bool:
        """Whether no other view is over it; a dialog may be. Textual calls the screen below that current, too."""
        return next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, View)), None) is self

    def _draw_trouble(self, state: State) -> None:
        trouble = self.query_one("#trouble", Lines)
        content = trouble_line(state)
        trouble.display = bool(content)
        trouble.show([content])

    def _draw_crumb(self) -> None:
        line = self.query_one("#crumb", Lines)
        names = [view.HEADING for view in self.app.screen_stack if isinstance(view, View)]
        above = "".join(f" {name} ›" for name in names[:-1])
        here: Cell = (Span(above, Role.DIM), Span(f" {self.HEADING}", Role.NAME))
        subject = self.subject()
        if subject:
            here = (*here, Span(f" {subject}", Role.PLAIN))
        status = self.status()
        room = self.size.width - width_of(here) - width_of(status) - 1
        if room < 0:
            here = (Span(f" {subject or self.HEADING}", Role.NAME),)
            room = self.size.width - width_of(here) - width_of(status) - 1
        line.show([(*here, Span(" " * max(1, room)), *status)])

    # Notices and prompts.

    def say(self, text: str, *, wrong: bool = False) -> None:
        """Show a line for some seconds, on the view that is on top once this one was left."""
        if self not in self.app.screen_stack:
            top = next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, View)), None)
            if top is not None:
                top.say(text, wrong=wrong)
            return
        line = self.query_one("#notice", Lines)
        said = (cell(f" {plain(text)}", Role.BAD if wrong else Role.GOOD),)
        line.show(said)
        line.display = True
        self.set_timer(NOTICE_S, lambda: self._unsay(said))

    def _unsay(self, said: tuple[Cell, ...]) -> None:
        line = self.query_one("#notice", Lines)
        if line.lines == said:
            line.display = False

    def on_said(self, message: Said) -> None:
        """Show a notice of the view's own parts."""
        message.stop()
        self.say(message.text, wrong=message.wrong)

    def ask(self, prompt: Prompt, text: str, took: Callable[[str], None]) -> None:
        """Let a line be typed; `took` gets it once it is accepted."""
        self._asked_from = self.focused
        self.query_one(PromptLine).ask(prompt, text, took)

    def on_prompt_line_accepted(self, event: PromptLine.Accepted) -> None:
        """Hand it over."""
        self._leave_prompt()
        event.took(event.text)

    def on_prompt_line_left(self, _: PromptLine.Left) -> None:
        """Back to the view."""
        self._leave_prompt()

    def _leave_prompt(self) -> None:
        # Whoever types fast may be in the next line already.
        if not self.query_one(PromptLine).display:
            self.focus_body()

    def _focus_first(self) -> None:
        if self._stands and self.focused is None:
            self.focus_body()

    def focus_body(self) -> None:
        """Let keys go to the view's own part again: to where they went before something was asked."""
        before, self._asked_from = self._asked_from, None
        if before is not None and before in self.focus_chain:
            self.set_focus(before)
            return
        body = self.query_one("#body")
        self.set_focus(next((widget for widget in self.focus_chain if body in widget.ancestors), None))


def trouble_line(state: State) -> Cell:
    """What is wrong with looking at the fleet as a whole; empty when nothing is."""
    seen, moment = state.seen, state.moment
    if seen.error is not None:
        hint = f"  {seen.error.hint}" if seen.error.hint else ""
        return (Span(f" {plain(seen.error.message)}", Role.BAD), Span(plain(hint), Role.DIM))
    looking_s = moment.age_s(seen.look_since_s)
    if looking_s is None or looking_s <= moment.stale_after_s:
        return ()
    names = ", ".join(plain(name, 40) for name in seen.waiting_for[:3])
    more = f" and {len(seen.waiting_for) - 3} more" if len(seen.waiting_for) > 3 else ""
    return cell(f" looking for {age_text(looking_s)}, still waiting for {names or 'the end'}{more}", Role.WARN)
