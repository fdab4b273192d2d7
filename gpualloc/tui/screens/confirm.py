"""A dialog that names what would be touched, and asks whether to go on."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from textual.binding import Binding, BindingType

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.messages import Said
from gpualloc.tui.screens.dialog import Dialog
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.press import Press

_COMMAND_CHARS = 2000


class Question(Struct, frozen=True):
    """What is asked."""

    title: str
    """Safe to draw."""
    lines: tuple[Cell, ...]
    """What will be touched."""
    yes: str
    """What yes does, in a word or two."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Whole command lines that do the same."""
    warning: str | None = None
    grave: bool = False
    """Whether nothing but `y`, or the mouse, says yes."""


class ConfirmScreen(Dialog[bool]):
    """Asks; False when it is left.

    What ends work is confirmed by `y` alone: Enter is what a hand presses that wants a dialog to go away, so it says no
    there. Everything else is confirmed by Enter, too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", show=False),
        Binding("n,escape,q", "answer(False)", "no", show=False),
        Binding("left,right,tab,shift+tab", "app.focus_next", "other", show=False),
        Binding("c", "copy", "copy", show=False, tooltip="Copy the command"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def title_text(self) -> str:
        """The question's."""
        return f"{self._question.title}?"

    def presses(self) -> Sequence[Press]:
        """Yes, no, and copying the command."""
        asked = self._question
        copy = [Press("copy", "c", "copy the command", by_enter=False)] if asked.commands else []
        return (Press("yes", "y", asked.yes, by_enter=not asked.grave), Press("no", "n", "no"), *copy)

    def on_mount(self) -> None:
        """Write it down."""
        super().on_mount()
        asked = self._question
        warning = [cell(f"! {asked.warning}", Role.WARN), ()] if asked.warning else []
        commands = [(Span("$ ", Role.DIM), Span(text)) for text in self._command_texts()]
        told = [(), cell("the same by the command line:", Role.DIM), *commands] if commands else []
        self.tell([*warning, *asked.lines, *told])
        self.query_one("#press-no" if asked.grave else "#press-yes").focus()

    def on_press_pressed(self, event: Press.Pressed) -> None:
        """A word was pressed."""
        event.stop()
        if event.name == "copy":
            self.action_copy()
        else:
            self.action_answer(event.name == "yes")

    def action_answer(self, yes: bool) -> None:
        """Answer."""
        self.dismiss(yes)

    def action_copy(self) -> None:
        """Copy the commands."""
        if self._question.commands:
            self.app.copy_to_clipboard("\n".join(shlex.join(words) for words in self._question.commands))
            self.app.post_message(Said("copied the command"))

    def _command_texts(self) -> list[str]:
        return [plain(shlex.join(words), _COMMAND_CHARS) for words in self._question.commands]
