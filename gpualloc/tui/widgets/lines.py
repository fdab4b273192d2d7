"""A block of text lines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.widgets import Static

from gpualloc.tui.cells import Cell
from gpualloc.tui.widgets.roles import coloured


class Lines(Static):
    """Lines of cells; redrawn only when they change.

    Args:
        id: name for the style sheet.
        classes: likewise.
        folds: whether a line that is too long goes on below instead of being cut.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None, folds: bool = False) -> None:
        super().__init__(id=id, classes=classes, markup=False)
        self._folds = folds
        self._lines: tuple[Cell, ...] = ()

    def show(self, lines: Sequence[Cell]) -> None:
        """Draw these lines from now on."""
        if tuple(lines) != self._lines:
            grown = len(lines) != len(self._lines)
            self._lines = tuple(lines)
            self.update(self._text(), layout=grown or self._folds)

    @property
    def lines(self) -> tuple[Cell, ...]:
        """What is drawn."""
        return self._lines

    def notify_style_update(self) -> None:
        """Colours are baked into the text, so a change of theme draws it anew."""
        super().notify_style_update()
        if self._lines:
            self.update(self._text(), layout=False)

    def _text(self) -> Text:
        text = coloured(self, self._lines)
        if self._folds:
            text.no_wrap, text.overflow = False, "fold"
        return text
