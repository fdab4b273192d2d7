"""The table of a listing: filtered, sorted, with the columns and the selection that somebody chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.message import Message

from gpualloc.errors import UsageError
from gpualloc.tui.cells import Cell, Role, cell, dimmed
from gpualloc.tui.columns import Column, PlacedColumn
from gpualloc.tui.fields import Field
from gpualloc.tui.listing import Listing, Sort
from gpualloc.tui.order import arranged, in_tree_order
from gpualloc.tui.query import parse
from gpualloc.tui.query_help import explain
from gpualloc.tui.rows import Moment
from gpualloc.tui.shell import ListMemory
from gpualloc.tui.text import plain
from gpualloc.tui.values import value_cell
from gpualloc.tui.widgets.table import Table

Row = TypeVar("Row")

_ARRANGED_S = 5
"""Rows whose order hangs on the time alone are put in order that often, seconds."""


class ListTable(Table[Row]):
    """A listing on the screen.

    Args:
        listing: what it shows.
        memory: how it is wanted; changed by its keys.
        id: name for the style sheet.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "sort", "sort", tooltip="Sort by the next column"),
        Binding("r", "reverse", "reverse", show=False, tooltip="Turn the order round"),
        Binding("S", "choose_sorts", "sorts", show=False, tooltip="Sort by several keys"),
        Binding("C", "choose_columns", "columns", show=False, tooltip="Choose the columns"),
        Binding("space", "select", "select", show=False, tooltip="Select the row, or no longer"),
        Binding("ctrl+a", "select_all", "all", show=False, tooltip="Select every row in sight, or none"),
        Binding("y", "copy", "copy", show=False, tooltip="Copy what names the row"),
        Binding("Y", "copy_row", "copy row", show=False, tooltip="Copy the row with all it tells"),
        Binding("e", "export", "export", show=False, tooltip="Write the list to a file: .csv, .json or .svg"),
    ]

    class Wants(Message):
        """Something is wanted that the view does: `choose_sorts`, `choose_columns`, `export`, `copy_row`."""

        def __init__(self, table: ListTable[Any], what: str) -> None:
            super().__init__()
            self.table = table
            self.what = what

    def __init__(self, listing: Listing[Row], memory: ListMemory, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.listing = listing
        self.memory = memory
        self.selected: set[str] = set()
        """Keys of selected rows."""
        self._fields = {field.name: field for field in listing.fields}
        self._unknown: str | None = None
        self._all: Sequence[Row] = ()
        self._moment = Moment(0.0, 0.0, 0.0)
        self._arranged_as: tuple[object, ...] = ()
        self._arranged: tuple[Row, ...] = ()
        self._keeps: Callable[[Row, Moment], bool] | None = None
        self._kept_as = ""
        self._strong = False

    # What its view tells it.

    def show_rows(self, rows: Sequence[Row], moment: Moment, *, unknown: str | None = None) -> None:
        """Draw these rows as they stand at that moment.

        Args:
            rows: in the listing's own order.
            moment: at which ages are told.
            unknown: why nobody knows what the rows are; None: that there is no row means that there is none.
        """
        self._unknown = unknown
        again, self._all, self._moment = rows is self._all, rows, moment
        self._strong = self.listing.tree is not None and in_tree_order(self.listing.tree, self.sorts)
        wanted = (self.memory.filter, self.sorts, int(moment.ticks_s) // _ARRANGED_S)
        if not again or wanted != self._arranged_as:
            self._arranged_as = wanted
            self._arranged = arranged(self.listing, rows, self._filter(), self.sorts, moment)
            if self.selected:
                self.selected &= {self.listing.key(row) for row in rows}
        self.show(self._arranged, self.sorts)

    def show_again(self) -> None:
        """Draw the same rows after the filter, the order or the columns changed."""
        self.show_rows(self._all, self._moment)

    @property
    def sorts(self) -> tuple[Sort, ...]:
        """The order in force."""
        if self.memory.sorts is None:
            return self.listing.sorts
        # What is remembered may be of a version with other fields.
        return tuple(sort for sort in self.memory.sorts if sort.field in self._fields)

    @property
    def moment(self) -> Moment:
        """That of the rows."""
        return self._moment

    @property
    def all_rows(self) -> Sequence[Row]:
        """Every row, those included that the filter leaves out."""
        return self._all

    @property
    def chosen(self) -> tuple[Row, ...]:
        """What is selected, else what the cursor is on."""
        if self.selected:
            return tuple(row for row in self._all if self.listing.key(row) in self.selected)
        return () if self.current is None else (self.current,)

    def check_filter(self, text: str) -> str:
        """Why the text is no filter of this list; empty when it is one."""
        try:
            parse(text).over(self.listing.fields)
        except UsageError as error:
            return error.message
        return ""

    def filter_words(self, text: str) -> str:
        """What a filter keeps, in plain words with the unit of each number; empty when it is none of this list."""
        try:
            return explain(parse(text), self.listing.fields) if text.strip() else ""
        except UsageError:
            return ""

    def _filter(self) -> Callable[[Row, Moment], bool] | None:
        if self.memory.filter != self._kept_as:
            self._kept_as = self.memory.filter
            try:
                self._keeps = parse(self._kept_as).over(self.listing.fields) if self._kept_as.strip() else None
            except UsageError:
                # A view made it of a name that is longer than filters can be.
                self._keeps = lambda _row, _moment: False
        return self._keeps

    # What the table asks.

    @property
    def absent(self) -> str:
        """Why there is no row."""
        if self._all and self.memory.filter.strip():
            words = plain(self.filter_words(self.memory.filter), 80)
            said = f" ({words})" if words else ""
            return f"no row passes the filter {plain(self.memory.filter, 60)}{said}; Esc clears it"
        return self.listing.absent if self._unknown is None else f"n/a: {plain(self._unknown)}"

    def columns(self, width: int) -> Sequence[Column]:  # noqa: ARG002 (the same in every width)
        """The chosen fields."""
        return [
            Column(field.name, field.title, field.least, field.most, field.priority, field.right)
            for field in self.listing.chosen(self.memory.columns)
        ]

    def key_of(self, row: Row) -> str:
        """The listing's key."""
        return self.listing.key(row)

    def mark_of(self, row: Row) -> Cell:
        """Whether it is selected."""
        return cell("*", Role.KEY) if self.listing.key(row) in self.selected else ()

    def is_strong(self, row: Row) -> bool:
        """A heading stands out over what is below it."""
        return self._strong and self.listing.tree is not None and self.listing.tree.heading(row)

    def draw(self, row: Row, placed: PlacedColumn) -> Cell:
        """One cell."""
        field: Field[Any] = self._fields[placed.column.key]
        if field.draw is not None:
            content = field.draw(row, self._moment, placed.width)
        else:
            content = value_cell(field, field.value(row, self._moment), self._moment)
        return content if field.keeps or not self.listing.stale(row, self._moment) else dimmed(content)

    # Keys.

    def action_sort(self) -> None:
        """Sort by the next column."""
        names = [placed.column.key for placed in self._placed]
        if names:
            now = self.sorts[0].field if self.sorts else ""
            self.sort_by(names[(names.index(now) + 1) % len(names)] if now in names else names[0])

    def sort_by(self, name: str, *, more: bool = False) -> None:
        """Sort by a field, or the other way round if that is so already; `more` keeps the keys before it."""
        before = [sort for sort in self.sorts if sort.field != name] if more else []
        found = next((sort for sort in self.sorts if sort.field == name), None)
        descends = self.listing.field(name).descends if found is None else not found.descends
        self.memory.sorts = (*before, Sort(name, descends))
        self.show_again()

    def action_reverse(self) -> None:
        """Turn the first key round."""
        if self.sorts:
            first, *others = self.sorts
            self.memory.sorts = (Sort(first.field, not first.descends), *others)
            self.show_again()

    def action_select(self) -> None:
        """Select the row under the cursor, or no longer, and go to the next."""
        if self.current is not None:
            self.selected ^= {self.key_of(self.current)}
            self.action_move(1)
            self.show_again()

    def action_select_all(self) -> None:
        """Select every row that the filter keeps, or none."""
        keys = {self.key_of(row) for row in self.rows}
        self.selected = set() if keys <= self.selected else keys
        self.show_again()

    def action_choose_sorts(self) -> None:
        """Choose several sort keys."""
        self.post_message(self.Wants(self, "choose_sorts"))

    def action_choose_columns(self) -> None:
        """Choose the columns."""
        self.post_message(self.Wants(self, "choose_columns"))

    def action_export(self) -> None:
        """Write the list to a file."""
        self.post_message(self.Wants(self, "export"))

    def action_copy(self) -> None:
        """Copy what names the row."""
        self.post_message(self.Wants(self, "copy"))

    def action_copy_row(self) -> None:
        """Copy the row with all it tells."""
        self.post_message(self.Wants(self, "copy_row"))

    def on_table_heading_clicked(self, event: Table.HeadingClicked) -> None:
        """Sort by that column; with Shift or Ctrl as one more key."""
        event.stop()
        self.sort_by(event.column, more=event.more)
