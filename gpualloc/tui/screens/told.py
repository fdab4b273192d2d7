"""A window with everything known of one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpualloc.tui.cells import Role, cell
from gpualloc.tui.section import Section
from gpualloc.tui.widgets.facts import Facts
from gpualloc.tui.widgets.lines import Lines

_REDRAW_S = 1.0


class ToldScreen(ModalScreen[None]):
    """Follows its subject until it is closed.

    Args:
        title: what it is.
        tell: what is known now; None once the subject is gone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss", "Back"),
        # A modal screen hides the bindings of the app.
        Binding("q,ctrl+c", "app.quit", "Quit", show=False),
    ]

    def __init__(self, title: str, tell: Callable[[], Sequence[Section] | None]) -> None:
        super().__init__()
        self._heading = title
        self._tell = tell

    def compose(self) -> ComposeResult:
        """A title and the sections."""
        with Vertical(classes="window tall"):
            yield Lines(classes="window-title")
            yield Facts(id="told")

    def on_mount(self) -> None:
        """Draw, and keep drawing."""
        self.query_one(Facts).focus()
        self.call_after_refresh(self._draw)
        self.set_interval(_REDRAW_S, self._draw)

    def on_resize(self) -> None:
        """Wrap anew."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        sections = self._tell()
        title = self.query_one(".window-title", Lines)
        if sections is None:
            title.show([cell(f"{self._heading}: it is gone.  Esc goes back", Role.WARN)])
            return
        title.show([(*cell(self._heading, Role.NAME), *cell("   Esc goes back", Role.DIM))])
        self.query_one(Facts).show(sections)
