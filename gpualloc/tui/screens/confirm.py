"""A dialog that names what would be touched, and asks whether to go on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.text import plain
from gpualloc.tui.widgets.lines import Lines


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked."""

    title: str
    """Safe to draw."""
    lines: tuple[Cell, ...]
    """What will be touched."""
    yes: str
    """What yes does, in a word or two."""
    commands: tuple[tuple[str, ...], ...] = ()
    """Whole command lines that do the same."""
    warning: str | None = None
    grave: bool = False
    """Whether nothing but `y`, or the mouse, says yes."""


class ConfirmScreen(ModalScreen[bool]):
    """Asks; False when it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes", show=False),
        Binding("n,escape,q", "answer(False)", "no", show=False),
        Binding("ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """What is touched, the warning, the command, the keys."""
        with Vertical(classes="window confirm"):
            yield Lines(classes="window-title")
            with VerticalScroll():
                yield Lines(id="touches")
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Write it down."""
        asked = self._question
        warning = [cell(f"! {asked.warning}", Role.WARN), ()] if asked.warning else []
        commands = [(Span("$ ", Role.DIM), Span(plain(shlex.join(words)))) for words in asked.commands]
        self.query_one(".window-title", Lines).show([cell(f"{asked.title}?", Role.NAME)])
        self.query_one("#touches", Lines).show([*warning, *asked.lines, (), *commands])
        self.query_one(".window-keys", Lines).show([cell(f"y {asked.yes}  n or Esc leaves it", Role.DIM)])

    def action_answer(self, yes: bool) -> None:
        """Answer."""
        self.dismiss(yes)
