"""A table that formats only the lines in view and redraws only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, NamedTuple, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gpualloc.tui import glyphs
from gpualloc.tui.cells import Cell, Role, cell, fitted
from gpualloc.tui.columns import GAP, MARGIN, Column, PlacedColumn, fit
from gpualloc.tui.listing import Sort
from gpualloc.tui.text import clip
from gpualloc.tui.widgets.roles import role_style

Row = TypeVar("Row")


class _Line(NamedTuple):
    key: str
    is_current: bool
    mark: Cell
    cells: tuple[Cell, ...]


class Table(ScrollView, Generic[Row], can_focus=True):
    """Rows under a fixed heading, with a cursor that stays on its row when the order changes."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "table--head",
        "table--sorted",
        "table--cursor",
        "table--strong",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Next row", show=False),
        Binding("up,k", "move(-1)", "Previous row", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "Next page", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "Previous page", show=False),
        Binding("home,g", "first", "First row", show=False),
        Binding("end,G", "last", "Last row", show=False),
        Binding("enter", "open", "details", tooltip="Everything known of the row, with the reason of each n/a"),
    ]

    class Moved(Message):
        """The cursor stands on another row."""

        def __init__(self, table: Table[Row], key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

    class Opened(Message):
        """A row was opened."""

        def __init__(self, table: Table[Row], key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

    class HeadingClicked(Message):
        """The heading of a column was clicked on; `more` with Shift or Ctrl held."""

        def __init__(self, table: Table[Row], column: str, *, more: bool) -> None:
            super().__init__()
            self.table = table
            self.column = column
            self.more = more

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._keys: list[str] = []
        self._cursor = 0
        self._sorted_by: Sequence[Sort] = ()
        self._placed: tuple[PlacedColumn, ...] = ()
        # What stands on each line of the screen, to redraw only what differs.
        self._drawn: dict[int, _Line] = {}

    # What a subclass says of its rows.

    def columns(self, width: int) -> Sequence[Column]:
        """The columns that the table may show in that width."""
        raise NotImplementedError

    def key_of(self, row: Row) -> str:
        """Names a row for as long as it exists."""
        raise NotImplementedError

    def draw(self, row: Row, placed: PlacedColumn) -> Cell:
        """The content of one cell; it is cut or padded to the width."""
        raise NotImplementedError

    def mark_of(self, row: Row) -> Cell:  # noqa: ARG002 (only lists whose rows can be selected have marks)
        """What stands in the margin before the row, one cell wide; nothing is a blank."""
        return ()

    def is_strong(self, row: Row) -> bool:  # noqa: ARG002 (only some tables have headings among their rows)
        """Whether the row stands out as the heading of those below it."""
        return False

    @property
    def absent(self) -> str:
        """What stands there when there is no row."""
        return ""

    # What its owner tells it.

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows in their order."""
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    def show(self, rows: Sequence[Row], sorted_by: Sequence[Sort] = ()) -> None:
        """Draw these rows from now on.

        Args:
            rows: in their order.
            sorted_by: what they are sorted by, the first key first; marked in the headings.
        """
        before = self.current
        key = None if before is None else self.key_of(before)
        was_in_view = self._line_of(self._cursor) in range(1, self.size.height)
        if rows is self._rows and sorted_by == self._sorted_by:
            self._resized(heading_changed=False)
            self._redraw_changed()
            return
        self._rows = tuple(rows)
        keys = self._keys = [self.key_of(row) for row in self._rows]
        self._cursor = keys.index(key) if key in keys else max(0, min(self._cursor, len(keys) - 1))
        heading_changed = sorted_by != self._sorted_by
        self._sorted_by = sorted_by
        self._resized(heading_changed)
        if was_in_view:
            self._bring_into_view()
        self._redraw_changed()
        after = keys[self._cursor] if keys else None
        if after != key:
            self.post_message(self.Moved(self, after))

    def move_to(self, key: str) -> None:
        """Put the cursor on the row of that key, if there is one."""
        if key in self._keys:
            self._put_cursor(self._keys.index(key))

    # Drawing.

    def render_line(self, y: int) -> Strip:
        """One line on the screen: the heading, a row, or nothing."""
        if y == 0:
            return self._heading()
        at = self._index_of(y)
        if at >= len(self._rows):
            self._drawn.pop(y, None)
            return self._absent() if y == 1 and not self._rows else Strip.blank(self.size.width, self.rich_style)
        line = self._line(at)
        self._drawn[y] = line
        return self._strip(line, self._row_style(at))

    def _absent(self) -> Strip:
        style = self.rich_style + role_style(self, Role.DIM)
        return Strip([Segment(clip(f"  {self.absent}", self.size.width), style)]).adjust_cell_length(
            self.size.width, style
        )

    def _heading(self) -> Strip:
        style = self.get_component_rich_style("table--head")
        sorted_style = self.get_component_rich_style("table--sorted")
        segments = [Segment(" " * MARGIN, style)]
        for placed in self._placed:
            title = placed.column.title
            at, sort = next(
                ((at, one) for at, one in enumerate(self._sorted_by) if one.field == placed.column.key), (0, None)
            )
            if sort is not None:
                signs = glyphs.current()
                title += (signs.descending if sort.descends else signs.ascending) + (str(at + 1) if at else "")
            text = "".join(glyphs.drawn(span.text) for span in fitted(cell(title), placed.width, placed.column.right))
            segments.append(Segment(text, sorted_style if sort is not None else style))
            segments.append(Segment(" " * GAP, style))
        return Strip(segments).adjust_cell_length(self.size.width, style)

    def _strip(self, line: _Line, base: Style) -> Strip:
        segments = [
            Segment(glyphs.drawn(span.text), base + role_style(self, span.role)) for span in fitted(line.mark, MARGIN)
        ]
        for content in line.cells:
            segments.extend(Segment(glyphs.drawn(span.text), base + role_style(self, span.role)) for span in content)
            segments.append(Segment(" " * GAP, base))
        return Strip(segments).adjust_cell_length(self.size.width, base).simplify()

    def _line(self, at: int) -> _Line:
        row = self._rows[at]
        cells = tuple(fitted(self.draw(row, placed), placed.width, placed.column.right) for placed in self._placed)
        return _Line(self._keys[at], at == self._cursor, self.mark_of(row), cells)

    def _row_style(self, at: int) -> Style:
        if at == self._cursor:
            return self.get_component_rich_style("table--cursor")
        if self.is_strong(self._rows[at]):
            return self.get_component_rich_style("table--strong")
        return self.rich_style

    def _redraw_changed(self) -> None:
        for y in range(1, self.size.height):
            at = self._index_of(y)
            new = self._line(at) if at < len(self._rows) else None
            old = self._drawn.get(y)
            if new == old:
                continue
            if new is None or old is None or new[:3] != old[:3]:
                self.refresh(Region(0, y, self.size.width, 1))
                continue
            changed = [
                placed
                for placed, before, after in zip(self._placed, old.cells, new.cells, strict=True)
                if before != after
            ]
            # One region: Textual writes a line from its beginning for every region on it.
            end = changed[-1].x + changed[-1].width
            self.refresh(Region(changed[0].x, y, end - changed[0].x, 1))

    def _resized(self, heading_changed: bool) -> None:
        width = self.scrollable_content_region.width
        placed = fit(self.columns(width), width)
        size = Size(width, len(self._rows) + 1)
        if placed != self._placed or heading_changed:
            self._placed = placed
            self._drawn.clear()
            self.refresh()
        if size != self.virtual_size:
            self.virtual_size = size

    def _line_of(self, at: int) -> int:
        return at + 1 - self.scroll_offset.y

    def _index_of(self, y: int) -> int:
        return y - 1 + self.scroll_offset.y

    def _bring_into_view(self) -> None:
        page = max(1, self.size.height - 1)
        top = self.scroll_offset.y
        wanted = min(max(top, self._cursor - page + 1), self._cursor)
        if wanted != top:
            self.scroll_to(y=wanted, animate=False, force=True)

    def _put_cursor(self, at: int) -> None:
        at = max(0, min(at, len(self._rows) - 1))
        if not self._rows or at == self._cursor:
            return
        for line in (self._line_of(self._cursor), self._line_of(at)):
            if 0 < line < self.size.height:
                self.refresh(Region(0, line, self.size.width, 1))
        self._cursor = at
        self._bring_into_view()
        self.post_message(self.Moved(self, self._keys[at]))

    # Events and keys.

    def on_resize(self) -> None:
        """Choose the columns anew."""
        self._resized(heading_changed=True)
        self._bring_into_view()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a double click opens; on the heading of a column it tells so."""
        at = self._index_of(event.y)
        if event.y == 0:
            self._click_heading(event)
        if event.y > 0 and at < len(self._rows):
            self._put_cursor(at)
            if event.chain == 2:
                self.action_open()

    def _click_heading(self, event: events.Click) -> None:
        for placed in self._placed:
            if placed.x <= event.x < placed.x + placed.width + GAP:
                self.post_message(self.HeadingClicked(self, placed.column.key, more=event.shift or event.ctrl))

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._put_cursor(self._cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a screenful."""
        self._put_cursor(self._cursor + by * max(1, self.size.height - 2))

    def action_first(self) -> None:
        """Go to the first row."""
        self._put_cursor(0)

    def action_last(self) -> None:
        """Go to the last row."""
        self._put_cursor(len(self._rows) - 1)

    def action_open(self) -> None:
        """Say that the row under the cursor was opened."""
        row = self.current
        if row is not None:
            self.post_message(self.Opened(self, self._keys[self._cursor]))
