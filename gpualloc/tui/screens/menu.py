"""A dialog with what can be done to what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpualloc.tui.actions.offers import Offer, told
from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.keys import key_name
from gpualloc.tui.screens.dialog import fitting
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.table import Table

_MOST_ON = 28
"""So much of what an action would act upon is told whole even where it is narrow."""


class ActionTable(Table[Offer]):
    """The actions, each with what it would act upon."""

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """Its key, its name, what it acts upon, and what it does."""
        key = Column("key", "KEY", least=6, most=6, priority=2)
        name = Column("name", "ACTION", least=9, most=9, priority=0)
        widest = max((len(told(row.targets)) for row in self.rows if row.targets), default=0)
        on = Column("on", "ON", least=max(12, min(widest, _MOST_ON)), most=max(12, min(widest, 60)), priority=1)
        return (key, name, on, Column("what", "WHAT IT DOES", least=12, most=80, priority=3))

    def key_of(self, row: Offer) -> str:
        """The action's name, and what it acts upon."""
        return f"{row.action.name} {told(row.targets)}"

    def draw(self, row: Offer, placed: PlacedColumn) -> Cell:
        """One cell."""
        action = row.action
        if placed.column.key == "key":
            return cell(key_name(action.key) if action.key is not None and row.is_first else "", Role.KEY)
        if placed.column.key == "name":
            return cell(action.name, Role.NAME)
        if placed.column.key == "on":
            return cell(told(row.targets) if row.targets else "")
        return cell(action.what)


class MenuScreen(ModalScreen[Offer | None]):
    """Asks which of the actions; None when it is left.

    Args:
        about: what is selected, safe to draw.
        found: the actions that fit, each with what it would act upon.
        refusal: why none of them can be done, safe to draw; None when they can.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,a,q", "dismiss", "leave it", show=False),
        Binding("enter", "accept", "do it", show=False, priority=True),
        Binding("ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, about: str, found: Sequence[Offer], refusal: str | None) -> None:
        super().__init__()
        self._about = about
        self._offers = tuple(found)
        self._refusal = refusal

    def compose(self) -> ComposeResult:
        """What they act upon, the actions, and the keys."""
        with Vertical(classes="window menu"):
            yield Lines(classes="window-title")
            yield Lines(id="menu-refusal", folds=True)
            yield ActionTable(id="actions")
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Draw them."""
        title = (Span("What to do", Role.NAME), Span(f"  selected: {self._about}", Role.DIM))
        self.query_one(".window-title", Lines).show([title])
        refusal = self.query_one("#menu-refusal", Lines)
        refusal.display = self._refusal is not None
        refusal.show([cell(self._refusal or "", Role.WARN)])
        table = self.query_one(ActionTable)
        table.display = self._refusal is None
        table.styles.height = len(self._offers) + 1
        table.focus()
        self.query_one(".window-keys", Lines).show([cell("Enter or its key does it  Esc leaves", Role.DIM)])
        self.call_after_refresh(self._draw)

    def on_resize(self, event: events.Resize) -> None:
        """Fit it in."""
        tight, room = fitting(event.size.height)
        self.set_class(tight, "tight")
        self.query_one(ActionTable).styles.max_height = room
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        if self._refusal is None:
            self.query_one(ActionTable).show(self._offers)

    def action_accept(self) -> None:
        """Do the one under the cursor."""
        row = self.query_one(ActionTable).current
        self.dismiss(row if self._refusal is None else None)

    def on_key(self, event: events.Key) -> None:
        """An action's own key does it."""
        pressed = (event.key, event.character)
        found = next((one for one in self._offers if one.is_first and one.action.key in pressed), None)
        if found is not None and self._refusal is None:
            event.stop()
            event.prevent_default()
            self.dismiss(found)

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click does it."""
        event.stop()
        self.action_accept()
