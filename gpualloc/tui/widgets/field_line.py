"""One line of a form: a label, and a text or one of several words behind it."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input

from gpualloc.tui.actions.action import Ask
from gpualloc.tui.cells import Role, Span, cell
from gpualloc.tui.text import printable
from gpualloc.tui.widgets.lines import Lines


class Choices(Lines):
    """One of several words; left, right, Space and a click go to another.

    Args:
        choices: the words.
        chosen: the one at first.
    """

    can_focus = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "next", show=False),
        Binding("left", "turn(-1)", "previous", show=False),
    ]

    def __init__(self, choices: tuple[str, ...], chosen: str) -> None:
        super().__init__(classes="choices")
        self._choices = choices
        self.value = chosen if chosen in choices else choices[0]

    def on_mount(self) -> None:
        """Draw it."""
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Go to the next."""
        event.stop()
        self.focus()
        self.action_turn(1)

    def action_turn(self, by: int) -> None:
        """Go to another."""
        self.value = self._choices[(self._choices.index(self.value) + by) % len(self._choices)]
        self._draw()

    def _draw(self) -> None:
        self.show([(Span("< ", Role.DIM), Span(self.value), Span(" >", Role.DIM))])


class FieldLine(Vertical):
    """Asks one thing, and says what is wrong with the answer.

    Args:
        ask: what is asked.
        initial: the answer at first.
    """

    def __init__(self, ask: Ask, initial: str) -> None:
        super().__init__(classes="field")
        self.ask = ask
        self._label = Lines(classes="field-label")
        self._problem = Lines(classes="field-problem", folds=True)
        self._problem.display = False
        if ask.choices:
            self._entry: Choices | Input = Choices(ask.choices, initial)
        else:
            known = [text for text in ask.known if text.isprintable()]
            suggester = SuggestFromList(known, case_sensitive=False) if known else None
            self._entry = Input(initial, placeholder=ask.placeholder, suggester=suggester, compact=True)
            self._entry.cursor_blink = False

    def compose(self) -> ComposeResult:
        """The label, what is typed, and what is wrong with it."""
        with Horizontal(classes="field-row"):
            yield self._label
            yield self._entry
        yield self._problem

    def on_mount(self) -> None:
        """Write the label."""
        self._label.show([cell(self.ask.label)])

    @property
    def entry(self) -> Widget:
        """What has the focus when it is answered."""
        return self._entry

    @property
    def answer(self) -> str:
        """The answer as it stands."""
        return self._entry.value

    def on_input_changed(self, event: Input.Changed) -> None:
        """Leave out what was pasted and cannot be drawn."""
        event.stop()
        # What it tells of may be past: more is typed meanwhile, and must stay where it is.
        typed = event.input.value
        if not typed.isprintable():
            event.input.value = printable(typed)

    def complain(self, text: str) -> None:
        """Say what is wrong; empty says nothing is."""
        self._problem.display = bool(text)
        self._problem.show([cell(text, Role.BAD)])
