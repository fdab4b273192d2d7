"""The frame of a dialog that tells something: a title, text that scrolls, and words to press."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.press import Press

Result = TypeVar("Result")
_ROOMY_LINES = 16
"""Below this height nothing is left empty."""
_PART = 0.92
_FRAME_LINES = 6
"""Title, words to press, and what is left empty round them."""


class Dialog(ModalScreen[Result]):
    """A dialog over a view. What is long scrolls; the words to press are always in sight."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll(1)", "down", show=False, tooltip="One line down"),
        Binding("up,k", "scroll(-1)", "up", show=False, tooltip="One line up"),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False, tooltip="A screenful down"),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False, tooltip="A screenful up"),
        Binding("ctrl+c", "app.quit", "quit", show=False),
    ]

    def title_text(self) -> str:
        """What stands at the top, safe to draw."""
        raise NotImplementedError

    def presses(self) -> Sequence[Press]:
        """The words to press, from the left."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        with Vertical(classes="window dialog"):
            yield Lines(classes="window-title")
            with VerticalScroll(classes="dialog-body", can_focus=False):
                yield from self.content()
            with Horizontal(classes="dialog-presses"):
                yield from self.presses()

    def content(self) -> ComposeResult:
        """What is between the title and the words to press."""
        yield Lines(classes="dialog-text", folds=True)

    def on_mount(self) -> None:
        """Write the title."""
        self.query_one(".window-title", Lines).show([cell(self.title_text(), Role.NAME)])

    def on_resize(self, event: events.Resize) -> None:
        """Leave nothing empty where there is little room."""
        tight, room = fitting(event.size.height)
        self.set_class(tight, "tight")
        self.query_one(".dialog-body").styles.max_height = room

    def tell(self, lines: Sequence[Cell]) -> None:
        """Write the text."""
        text = self.query_one(".dialog-text", Lines)
        text.display = bool(lines)
        text.show(lines)

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one(".dialog-body").scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by a screenful."""
        body = self.query_one(".dialog-body")
        body.scroll_relative(y=by * max(1, body.size.height - 1), animate=False)


def fitting(height: int) -> tuple[bool, int]:
    """Whether a dialog on so many lines leaves nothing empty, and how many lines of it may scroll."""
    if height < _ROOMY_LINES:
        return True, max(1, height - 2)
    return False, int(height * _PART) - _FRAME_LINES
