"""A dialog that names what will be touched and the command that does the same, before anything is."""

from __future__ import annotations

import shlex
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.tui.actions.action import Change
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines


class ConfirmScreen(ModalScreen[bool]):
    """Asks whether a change is to be made; only `y` makes it.

    Args:
        change: what would be done.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "confirm", "do it", show=False),
        Binding("n,escape", "refuse", "leave it", show=False),
        Binding("ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.change = change

    def compose(self) -> ComposeResult:
        """What is done, what is touched, the warning, the command, the keys."""
        with Vertical(classes="window confirm"):
            yield Lines(classes="window-title")
            with VerticalScroll():
                yield Lines(id="touches")
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Draw it."""
        change = self.change
        lines: list[Cell] = list(change.touches)
        if change.warning is not None:
            lines += [(), cell(change.warning, Role.WARN)]
        command = " ".join(shlex.quote(plain(word)) for word in change.command)
        lines += [(), (Span("as  ", Role.DIM), Span(command, Role.NAME))]
        self.query_one(".window-title", Lines).show([cell(change.title, Role.NAME)])
        self.query_one("#touches", Lines).show(lines)
        self.query_one(".window-keys", Lines).show([cell("y does it  n or Esc leaves it", Role.DIM)])

    def action_confirm(self) -> None:
        """Make the change."""
        self.dismiss(True)

    def action_refuse(self) -> None:
        """Leave everything as it is."""
        self.dismiss(False)
