"""Charts over time, beside and below each other as there is room."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from gpualloc.tui.cells import Cell, Span
from gpualloc.tui.graph import UNICODE, Drawing, Graph
from gpualloc.tui.graph_lines import graph_lines, left_of, time_at
from gpualloc.tui.widgets.roles import role_style

_GOOD_HEIGHT, _GOOD_WIDTH = 8, 38
"""Lines and cells from which a chart can be read well; with less height they stand beside each other, if that wide."""
_BESIDE = 140
"""From this width on charts stand beside each other although they are high enough."""
_GAP = 2
"""Blank cells between charts beside each other."""


class Place(Struct, frozen=True):
    """Where a chart stands in the widget, in cells."""

    x: int
    y: int
    width: int
    height: int


class Graphs(Widget):
    """Several charts; redrawn only where they change.

    A moment can be pointed at in all of them at once: by a click, or with `point_at` and `move_pointer`. They are meant
    to be of the same time.
    """

    class Pointed(Message):
        """Another moment is pointed at."""

        def __init__(self, graphs: Graphs, at_s: float | None) -> None:
            super().__init__()
            self.graphs = graphs
            self.at_s = at_s

    def __init__(self, drawing: Drawing = UNICODE, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._drawing = drawing
        self._graphs: tuple[Graph, ...] = ()
        self._cursor_s: float | None = None
        self._lines: list[Cell] = []
        self._lefts: list[int] = []
        """Cells left of each chart that is shown; 0 of those that are only a line of blocks."""

    @property
    def lines(self) -> tuple[Cell, ...]:
        """What is drawn."""
        return tuple(self._lines)

    @property
    def pointed_s(self) -> float | None:
        """The moment that is pointed at, in epoch seconds; None is none."""
        return self._cursor_s

    def show(self, graphs: Sequence[Graph]) -> None:
        """Draw these from now on; what does not fit at all is left out."""
        if tuple(graphs) != self._graphs:
            self._graphs = tuple(graphs)
            self._draw()

    def point_at(self, at_s: float | None) -> None:
        """Point at a moment (epoch seconds) within the first chart, or at none."""
        if at_s is not None and self._graphs:
            at_s = min(max(at_s, self._graphs[0].start_s), self._graphs[0].end_s)
        if at_s != self._cursor_s:
            self._cursor_s = at_s
            self._draw()
            self.post_message(self.Pointed(self, at_s))

    def move_pointer(self, columns: int) -> None:
        """Point so many columns later (or earlier, below 0); where nothing was pointed at, from now or the end on."""
        shown_at = self._places()
        if not self._lefts or not shown_at:
            return
        first, width, left = self._graphs[0], shown_at[0].width, self._lefts[0]
        from_s = self._cursor_s
        if from_s is None:
            from_s = first.end_s if first.now_s is None else first.now_s
        shown = [at_s for x in range(width) if (at_s := time_at(first, width, left, x)) is not None]
        nearest = min(range(len(shown)), key=lambda at: abs(shown[at] - from_s))
        self.point_at(shown[min(max(nearest + columns, 0), len(shown) - 1)])

    def render_line(self, y: int) -> Strip:
        """One line of the screen."""
        line = self._lines[y] if y < len(self._lines) else ()
        base = self.rich_style
        segments = [Segment(span.text, base + role_style(self, span.role)) for span in line]
        return Strip(segments).adjust_cell_length(self.size.width, base).simplify()

    def on_resize(self) -> None:
        """Draw them for the new size."""
        self._draw()

    def on_click(self, event: events.Click) -> None:
        """Point at the moment under the mouse."""
        for graph, place, left in zip(self._graphs, self._places(), self._lefts, strict=False):
            if place.x <= event.x < place.x + place.width and place.y <= event.y < place.y + place.height:
                at_s = time_at(graph, place.width, left, event.x - place.x)
                self.point_at(at_s if at_s is not None else self._cursor_s)

    def _places(self) -> list[Place]:
        return places(len(self._graphs), self.size.width, self.size.height)

    def _draw(self) -> None:
        lines: list[Cell] = [()] * self.size.height
        shown = list(zip(self._graphs, self._places(), strict=False))
        lefts = [left_of(graph, place.width, place.height, self._drawing) for graph, place in shown]
        # One for all, so that what is below each other happened at the same time.
        self._lefts = [left and max(lefts) for left in lefts]
        for (graph, place), left in zip(shown, self._lefts, strict=True):
            drawn = graph_lines(
                graph,
                place.width,
                place.height,
                self._drawing,
                cursor_s=self._cursor_s,
                least_left=left,
            )
            for y, line in enumerate(drawn, place.y):
                lines[y] = (*lines[y], *((Span(" " * _GAP),) if place.x else ()), *line)
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        for y, (old, new) in enumerate(zip(before, lines, strict=True)):
            if old != new:
                self.refresh(Region(0, y, self.size.width, 1))


def places(count: int, width: int, height: int) -> list[Place]:
    """Where so many charts stand, in reading order; fewer when there is not a line for each row of them."""
    if not count or width < 1 or height < 1:
        return []
    beside = _beside(count, width, height)
    rows = min(-(-count // beside), height)
    wide = (width - _GAP * (beside - 1)) // beside
    found = []
    for row in range(rows):
        y, end = row * height // rows, (row + 1) * height // rows
        for column in range(min(beside, count - row * beside)):
            x = column * (wide + _GAP)
            found.append(Place(x, y, width - x if column == beside - 1 else wide, end - y))
    return found


def _beside(count: int, width: int, height: int) -> int:
    """How many stand beside each other: one, until they get too low or there is much room."""
    most = max(1, min(count, (width + _GAP) // (_GOOD_WIDTH + _GAP)))
    least = min(most, max(1, width // (_BESIDE // 2))) if width >= _BESIDE else 1
    for beside in range(least, most + 1):
        if height // -(-count // beside) >= _GOOD_HEIGHT:
            return beside
    return most
