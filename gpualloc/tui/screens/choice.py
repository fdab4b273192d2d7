"""A dialog in which some of many are chosen, in an order: columns, or sort keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from gpualloc.tui.cells import Cell, Role, cell
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.widgets.lines import Lines
from gpualloc.tui.widgets.table import Table


class Choice(Struct, frozen=True):
    """Something that can be chosen."""

    name: str
    title: str
    what: str


class Chosen(Struct, frozen=True):
    """Something that is chosen."""

    name: str
    descends: bool = False


class _Row(Struct, frozen=True):
    choice: Choice
    chosen: Chosen | None
    place: int


class ChoiceTable(Table[_Row]):
    """The choices, those chosen first."""

    def __init__(self, *, directions: bool) -> None:
        super().__init__(id="choices")
        self._directions = directions

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """A mark, the name, and what it is."""
        mark = Column("mark", "", least=6 if self._directions else 3, most=6, priority=0)
        name = Column("name", "NAME", least=12, most=18, priority=1)
        return (mark, name, Column("what", "WHAT IT IS", least=20, most=80, priority=2))

    def key_of(self, row: _Row) -> str:
        """The choice's name."""
        return row.choice.name

    def draw(self, row: _Row, placed: PlacedColumn) -> Cell:
        """One cell."""
        if placed.column.key == "mark":
            if row.chosen is None:
                return cell("[ ]", Role.DIM)
            if self._directions:
                return cell(f"[{row.place}] {'▼' if row.chosen.descends else '▲'}", Role.KEY)
            return cell("[x]", Role.KEY)
        if placed.column.key == "name":
            return cell(row.choice.name, Role.PLAIN if row.chosen else Role.DIM)
        return cell(row.choice.what, Role.DIM)


class ChoiceScreen(ModalScreen[list[Chosen] | None]):
    """Asks which of the choices, in which order; None when it is left.

    Args:
        title: what is chosen.
        choices: all there are.
        chosen: those chosen so far, in their order.
        directions: whether each has a direction too.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "leave it", show=False),
        Binding("enter", "accept", "accept", show=False, priority=True),
        Binding("space,x", "choose", "choose", show=False),
        Binding("less_than_sign,minus,h,left", "shift(-1)", "earlier", show=False),
        Binding("greater_than_sign,plus,l,right", "shift(1)", "later", show=False),
        Binding("r", "turn", "direction", show=False),
        Binding("q,ctrl+c", "app.quit", "quit", show=False),
    ]

    def __init__(
        self, title: str, choices: Sequence[Choice], chosen: Sequence[Chosen], *, directions: bool = False
    ) -> None:
        super().__init__()
        self._heading = title
        self._choices = {choice.name: choice for choice in choices}
        self._chosen = list(chosen)
        self._directions = directions

    def compose(self) -> ComposeResult:
        """A title, the choices, and the keys."""
        with Vertical(classes="window tall"):
            yield Lines(classes="window-title")
            yield ChoiceTable(directions=self._directions)
            yield Lines(classes="window-keys")

    def on_mount(self) -> None:
        """Draw them."""
        self.query_one(".window-title", Lines).show([cell(self._heading, Role.NAME)])
        keys = "Space chooses  < > move  " + ("r turns  " if self._directions else "") + "Enter accepts  Esc leaves"
        self.query_one(".window-keys", Lines).show([cell(keys, Role.DIM)])
        self.query_one(ChoiceTable).focus()
        self.call_after_refresh(self._draw)

    def on_resize(self) -> None:
        """Fit it in."""
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        names = [one.name for one in self._chosen]
        rows = [_Row(self._choices[one.name], one, at + 1) for at, one in enumerate(self._chosen)]
        rows += [_Row(choice, None, 0) for choice in self._choices.values() if choice.name not in names]
        self.query_one(ChoiceTable).show(rows)

    @property
    def _current(self) -> str:
        row = self.query_one(ChoiceTable).current
        return "" if row is None else row.choice.name

    def _place(self) -> int | None:
        return next((at for at, one in enumerate(self._chosen) if one.name == self._current), None)

    def action_choose(self) -> None:
        """Choose it, or no longer."""
        at = self._place()
        if at is None:
            self._chosen.append(Chosen(self._current))
        else:
            del self._chosen[at]
        self._draw()

    def action_shift(self, by: int) -> None:
        """Move it among the chosen ones."""
        at = self._place()
        if at is not None and 0 <= at + by < len(self._chosen):
            self._chosen[at], self._chosen[at + by] = self._chosen[at + by], self._chosen[at]
            self._draw()

    def action_turn(self) -> None:
        """Turn its direction round."""
        at = self._place()
        if at is not None and self._directions:
            self._chosen[at] = replace(self._chosen[at], descends=not self._chosen[at].descends)
            self._draw()

    def action_accept(self) -> None:
        """Take what is chosen."""
        self.dismiss(self._chosen)

    def on_table_opened(self, event: Table.Opened) -> None:
        """A double click chooses."""
        event.stop()
        self.action_choose()
