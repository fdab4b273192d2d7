"""A dialog that asks what must be known before an action can be proposed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input

from gpualloc.errors import GpuallocError
from gpualloc.tui.actions.action import Answers, Ask
from gpualloc.tui.cells import Role, cell
from gpualloc.tui.screens.dialog import Dialog
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.field_line import FieldLine
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.press import Press


class FormScreen(Dialog[None]):
    """Asks; what is answered is handed over again and again until the form is closed.

    Args:
        title: what it is for, safe to draw.
        asks: what is asked; nothing: that is handed over at once, and the form shows why it takes time, or failed.
        answers: answers at first, by name; what is not there has its own.
        accept: gets the answers; then calls `complain`, or closes the form.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave it", show=False),
        Binding("enter", "accept", "accept", show=False),
        Binding("down,tab", "app.focus_next", "next field", show=False),
        Binding("up,shift+tab", "app.focus_previous", "field before", show=False),
    ]

    def __init__(
        self, title: str, asks: Sequence[Ask], answers: Mapping[str, str], accept: Callable[[Answers], None]
    ) -> None:
        super().__init__()
        self._heading = title
        self._fields = [FieldLine(ask, answers.get(ask.name, ask.initial)) for ask in asks]
        self._accept = accept

    def title_text(self) -> str:
        """What it is for."""
        return self._heading

    def presses(self) -> Sequence[Press]:
        """On, and back."""
        return (
            Press("accept", "Enter", "go on" if self._fields else "again", by_enter=False),
            Press("leave", "Esc", "leave", by_enter=False),
        )

    def content(self) -> ComposeResult:
        """The fields, and what is wrong with all of them."""
        yield from self._fields
        yield Lines(classes="dialog-text", folds=True)

    def on_mount(self) -> None:
        """Begin with the first field."""
        super().on_mount()
        self.tell([])
        if self._fields:
            self._fields[0].entry.focus()
        else:
            self.action_accept()

    def on_press_pressed(self, event: Press.Pressed) -> None:
        """A word was pressed."""
        event.stop()
        if event.name == "accept":
            self.action_accept()
        else:
            self.action_leave()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field; by then all that was typed before it is in there."""
        event.stop()
        self.action_accept()

    @property
    def asks(self) -> bool:
        """Whether there is anything to answer."""
        return bool(self._fields)

    @property
    def answers(self) -> dict[str, str]:
        """As they stand."""
        return {field.ask.name: field.answer for field in self._fields}

    def action_accept(self) -> None:
        """Hand the answers over."""
        for field in self._fields:
            field.complain("")
        self.tell([cell("looking what that would touch ...", Role.DIM)])
        self._accept(self.answers)

    def action_leave(self) -> None:
        """Give it up."""
        self.dismiss(None)

    def complain(self, error: GpuallocError | None) -> None:
        """Say what is wrong, at the field that it is about; None says nothing is."""
        self.tell([])
        if error is None:
            return
        hint = f"; {error.hint}" if error.hint else ""
        for field in self._fields:
            name = f"--{field.ask.name}"
            if error.message.startswith((f"{name} ", f"{name}:")):
                field.complain(plain(error.message.removeprefix(name).lstrip(": ") + hint))
                field.entry.focus()
                return
        self.tell([cell(plain(error.message + hint, 2000), Role.BAD)])
