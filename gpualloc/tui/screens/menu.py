"""A dialog with what can be done to what is selected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpualloc.tui.actions.action import Action
from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.keys import key_name
from gpualloc.tui.screens.dialog import fitting
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.table import Table


class ActionTable(Table[Action]):
    """The actions."""

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """Its key, its name, and what it does."""
        key = Column("key", "KEY", least=6, most=7, priority=1)
        name = Column("name", "ACTION", least=9, most=12, priority=0)
        return (key, name, Column("what", "WHAT IT DOES", least=12, most=80, priority=2))

    def key_of(self, row: Action) -> str:
        """The action's name."""
        return row.name

    def draw(self, row: Action, placed: PlacedColumn) -> Cell:
        """One cell."""
        if placed.column.key == "key":
            return cell("" if row.key is None else key_name(row.key), Role.KEY)
        if placed.column.key == "name":
            return cell(row.name, Role.NAME)
        return cell(row.what)


class MenuScreen(ModalScreen[str | None]):
    """Asks which of the actions; None when it is left.

    Args:
        about: what they would act upon, safe to draw.
        actions: those that fit.
        refusal: why none of them can be done, safe to draw; None when they can.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,a,q", "dismiss", "leave it", show=False),
        Binding("enter", "accept", "do it", show=False, priority=True),
        Binding("ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(self, about: str, actions: Sequence[Action], refusal: str | None) -> None:
        super().__init__()
        self._about = about
        self._actions = tuple(actions)
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
        self.query_one(".window-title", Lines).show([cell(f"What to do: {self._about}", Role.NAME)])
        refusal = self.query_one("#menu-refusal", Lines)
        refusal.display = self._refusal is not None
        refusal.show([cell(self._refusal or "", Role.WARN)])
        table = self.query_one(ActionTable)
        table.display = self._refusal is None
        table.styles.height = len(self._actions) + 1
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
            self.query_one(ActionTable).show(self._actions)

    def action_accept(self) -> None:
        """Do the one under the cursor."""
        row = self.query_one(ActionTable).current
        self.dismiss(row.name if row is not None and self._refusal is None else None)

    def on_key(self, event: events.Key) -> None:
        """An action's own key does it."""
        found = next((one for one in self._actions if one.key in (event.key, event.character)), None)
        if found is not None and self._refusal is None:
            event.stop()
            event.prevent_default()
            self.dismiss(found.name)

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click does it."""
        event.stop()
        self.action_accept()
