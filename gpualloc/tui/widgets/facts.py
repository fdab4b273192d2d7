"""Sections of names and values that scroll."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from gpualloc.tui.section import Section, section_lines
from gpualloc.tui.widgets.lines import Lines


class Facts(VerticalScroll, can_focus=True):
    """Everything known of one thing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(1)", "down", show=False, tooltip="One line down"),
        Binding("up,k", "scroll_by(-1)", "up", show=False, tooltip="One line up"),
    ]

    def compose(self) -> ComposeResult:
        """The lines."""
        yield Lines()

    def show(self, sections: Sequence[Section]) -> None:
        """Draw these from now on."""
        self.query_one(Lines).show(section_lines(sections, self.scrollable_content_region.width))

    def action_scroll_by(self, by: int) -> None:
        """Scroll by lines."""
        self.scroll_relative(y=by, animate=False)
