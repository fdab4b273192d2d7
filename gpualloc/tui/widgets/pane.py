"""A titled list in the lower half."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical

from gpualloc.tui.cells import Cell
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.table import Table


class Pane(Vertical):
    """A title over a table.

    Args:
        table: what is under the title.
        id: name for the style sheet.
    """

    def __init__(self, table: Table[Any], *, id: str) -> None:
        super().__init__(id=id)
        self._table = table
        self._title = Lines(classes="pane-title")

    def compose(self) -> ComposeResult:
        """The title, then the table."""
        yield self._title
        yield self._table

    def entitle(self, title: Cell) -> None:
        """Change the title."""
        self._title.show([title])
