"""The line in which a filter is typed, and in which it stays in sight."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterLine(Input):
    """Hidden until asked for; filters while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "clear", "Clear the filter", show=False),
        Binding("enter,down,tab", "keep", "Keep the filter", show=False),
    ]

    class Edited(Message):
        """The filter is another one."""

        def __init__(self, needle: str) -> None:
            super().__init__()
            self.needle = needle

    class Left(Message):
        """The line was left; the filter stays."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="node, model, state, user or workload", compact=True, select_on_focus=False)
        self.cursor_blink = False
        self.display = False

    def ask(self) -> None:
        """Show the line and type into it."""
        self.display = True
        self.focus()

    def action_clear(self) -> None:
        """No filter, and out of sight."""
        self.value = ""
        self.display = False
        self.post_message(self.Left())

    def action_keep(self) -> None:
        """Back to the rows; an empty filter goes out of sight."""
        self.display = bool(self.value)
        self.post_message(self.Left())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen."""
        event.stop()
        self.post_message(self.Edited(event.value))

    def on_blur(self, _: events.Blur) -> None:
        """An empty line has nothing to show."""
        self.display = bool(self.value)
