"""The line in which a filter is typed, and in which it stays in sight."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input

from gpualloc.tui.cells import Role, Span
from gpualloc.tui.widgets.lines import Lines


class FilterLine(Horizontal):
    """Hidden until asked for; filters while it is typed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # With priority, so that a key typed fast after them is not taken for text of the filter.
        Binding("escape", "clear", "Clear the filter", show=False, priority=True),
        Binding("enter,down,tab", "keep", "Keep the filter", show=False, priority=True),
    ]

    class Edited(Message):
        """The filter is another one."""

        def __init__(self, needle: str) -> None:
            super().__init__()
            self.needle = needle

    class Left(Message):
        """The line was left; the filter stays."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(placeholder="node, model, state, user or workload", compact=True, select_on_focus=False)
        self._input.cursor_blink = False
        self.display = False

    def compose(self) -> ComposeResult:
        """What the line is, the text, and the way out."""
        yield Lines(id="filter-label")
        yield self._input
        yield Lines(id="filter-hint")

    def on_mount(self) -> None:
        """Write the fixed parts."""
        self.query_one("#filter-label", Lines).show([(Span(" filter ", Role.KEY),)])
        self.query_one("#filter-hint", Lines).show([(Span("Enter keeps it, Esc clears it ", Role.DIM),)])

    def ask(self) -> None:
        """Show the line and type into it."""
        self.display = True
        self._input.focus()

    def action_clear(self) -> None:
        """No filter, and out of sight."""
        self._input.value = ""
        self.action_keep()

    def action_keep(self) -> None:
        """Back to the rows; an empty filter goes out of sight."""
        self.display = bool(self._input.value)
        self.screen.set_focus(None)
        self.post_message(self.Left())

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell the screen."""
        event.stop()
        self.post_message(self.Edited(event.value))

    def on_descendant_blur(self, _: events.DescendantBlur) -> None:
        """An empty line has nothing to show."""
        self.display = bool(self._input.value)
