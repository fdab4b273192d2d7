"""What every key does, taken from the bindings themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.widgets.lines import Lines

_KEY_WIDTH = 14
_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "escape": "Esc",
    "enter": "Enter",
    "tab": "Tab",
    "shift+tab": "Shift+Tab",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "home": "Home",
    "end": "End",
    "down": "↓",
    "up": "↑",
    "ctrl+f": "Ctrl+F",
    "ctrl+b": "Ctrl+B",
    "ctrl+c": "Ctrl+C",
}
NOTES = (
    "n/a is a reading that nobody could take; Enter on the row tells why. It is never shown as 0.",
    "AGE is the time since the readings of a row were true. Rows that are no longer known to be true are dim.",
    "A stranger is a process that nobody booked; its GPU is not free.",
    "The filter looks for its text in node, model, state, user and workload.",
)


def key_name(key: str) -> str:
    """A key as it is printed on keyboards."""
    return _NAMES.get(key, key)


def help_lines(groups: Iterable[tuple[str, Sequence[BindingType]]]) -> list[Cell]:
    """One line per binding under the title of its group, then how to read the screen."""
    lines: list[Cell] = []
    for title, bindings in groups:
        lines.append(cell(title, Role.NAME))
        for binding in bindings:
            if isinstance(binding, Binding):
                keys = " ".join(key_name(key.strip()) for key in binding.key.split(","))
                lines.append((Span(f"  {keys:<{_KEY_WIDTH}}", Role.KEY), Span(binding.tooltip or binding.description)))
        lines.append(())
    lines.append(cell("Reading the screen", Role.NAME))
    lines += [cell(f"  {note}") for note in NOTES]
    return lines


class HelpScreen(ModalScreen[None]):
    """A window over the fleet with every key.

    Args:
        groups: title and bindings of each group of keys.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,enter", "dismiss", "Back"),
        # A modal screen hides the bindings of the app.
        Binding("q,ctrl+c", "app.quit", "Quit", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, groups: Sequence[tuple[str, Sequence[BindingType]]]) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        """A title and the keys."""
        with Vertical(classes="window"):
            yield Lines(id="help-title", classes="window-title")
            with VerticalScroll(id="help-body", can_focus=False):
                yield Lines(id="help-lines", classes="wrapped")

    def on_mount(self) -> None:
        """Draw once."""
        self.query_one("#help-title", Lines).show([(*cell("Keys", Role.NAME), *cell("   Esc goes back", Role.DIM))])
        self.query_one("#help-lines", Lines).show(help_lines(self._groups))

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one("#help-body").scroll_relative(y=by, animate=False)
