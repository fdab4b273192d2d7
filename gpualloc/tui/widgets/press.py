"""A word to press: by its key, by the mouse, or by Enter while it has the focus."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from gpualloc.tui.cells import Role, Span
from gpualloc.tui.widgets.lines import Lines


class Press(Lines):
    """A button of one line.

    Args:
        name: names it in its message.
        key: the key that does the same, as people read it.
        label: what it does.
        by_enter: whether it can have the focus, and Enter then presses it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,space", "press", "press", show=False)]

    class Pressed(Message):
        """It was pressed."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, name: str, key: str, label: str, *, by_enter: bool = True) -> None:
        super().__init__(id=f"press-{name}", classes="press")
        self.can_focus = by_enter
        self._named = name
        self._words = (key, label)

    def on_mount(self) -> None:
        """Draw it."""
        self.entitle(*self._words)

    def entitle(self, key: str, label: str) -> None:
        """Say what it does from now on."""
        self.show([(Span("[ "), Span(key, Role.KEY), Span(f" {label} ]"))])

    def on_click(self, event: events.Click) -> None:
        """Press it."""
        event.stop()
        self.action_press()

    def action_press(self) -> None:
        """Tell the dialog."""
        self.post_message(self.Pressed(self._named))
