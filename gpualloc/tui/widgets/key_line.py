"""The bottom line: what the keys do; a click on one presses it."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message

from gpualloc.tui.cells import Cell, Role, Span, width_of
from gpualloc.tui.widgets.lines import Lines

_ALL_KEYS = "question_mark"


class KeyLine(Lines):
    """Keys from the left, as many as fit; the one that lists all keys is always there."""

    class Pressed(Message):
        """A key was clicked on."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ends: list[tuple[int, str]] = []

    def show_keys(self, keys: Sequence[tuple[str, str, str]]) -> None:
        """Draw them: the key to press, the key as people read it, what it does."""
        entries: list[tuple[str, Cell]] = [
            (key, (Span(name, Role.KEY), Span(f" {what}  ", Role.DIM))) for key, name, what in keys
        ]
        # What stands behind the last one is blank and may be cut off.
        room = self.size.width
        while len(entries) > 1 and sum(width_of(entry) for _, entry in entries) > room:
            del entries[-1 if entries[-1][0] != _ALL_KEYS else -2]
        line: Cell = (Span(" "),)
        self._ends = []
        for key, entry in entries:
            line = (*line, *entry)
            self._ends.append((width_of(line), key))
        self.show([line])

    def on_click(self, event: events.Click) -> None:
        """Press the key under the mouse."""
        for end, key in self._ends:
            if event.x < end:
                self.post_message(self.Pressed(key))
                return
