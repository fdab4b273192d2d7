"""Everything known of one node, device, process or workload."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.tui.cells import Role, cell
from gpualloc.tui.detail import Detail
from gpualloc.tui.section import section_lines
from gpualloc.tui.widgets.lines import Lines

REDRAW_S = 1.0


class DetailScreen(ModalScreen[None]):
    """A window over the fleet that follows its subject until it is closed.

    Args:
        describe: what is known now; None once the subject is gone.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "dismiss", "Back"),
        # A modal screen hides the bindings of the app.
        Binding("q,ctrl+c", "app.quit", "Quit", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("up,k", "scroll(-1)", "Up", show=False),
    ]

    def __init__(self, describe: Callable[[], Detail | None]) -> None:
        super().__init__()
        self._describe = describe

    def compose(self) -> ComposeResult:
        """A title, the sections, and the way back."""
        with Vertical(classes="window"):
            yield Lines(id="detail-title", classes="window-title")
            with VerticalScroll(id="detail-body", can_focus=False):
                yield Lines(id="detail-lines")

    def on_mount(self) -> None:
        """Draw, and keep drawing."""
        self.call_after_refresh(self._redraw)
        self.set_interval(REDRAW_S, self._redraw)

    def on_resize(self) -> None:
        """Wrap anew."""
        self.call_after_refresh(self._redraw)

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one("#detail-body").scroll_relative(y=by, animate=False)

    def _redraw(self) -> None:
        detail = self._describe()
        title = self.query_one("#detail-title", Lines)
        if detail is None:
            title.show([cell("It is gone.  Esc goes back", Role.WARN)])
            return
        title.show([(*cell(detail.title, Role.NAME), *cell("   Esc goes back", Role.DIM))])
        body = self.query_one("#detail-body")
        self.query_one("#detail-lines", Lines).show(section_lines(detail.sections, body.size.width))
