"""Charts over time as cells of any size: title with figures, dots, axes with round ticks, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from rich.cells import cell_len

from gpualloc.tui.cells import Cell, Role, Span, cell, fitted, width_of
from gpualloc.tui.dots import Dots, Extent
from gpualloc.tui.graph import UNICODE, Band, Drawing, Graph, Mark
from gpualloc.tui.graph_axis import Scale, TimeTick, amount, column_at, moment_text, time_ticks, value_ticks
from gpualloc.tui.text import clip, plain
from gpualloc.views.chart import Points, mean, sparkline, spread, value_range

_HUGE = 1e18
"""What is further from 0 is no reading, and is not drawn."""
_LEAST_HEIGHT, _LEAST_COLUMNS = 4, 10
"""A chart that is smaller is a line of blocks."""
_RULED_HEIGHT, _TOLD_HEIGHT = 7, 11
"""From this height on the time axis is a line of its own, and what happened is written below it."""
_LEAST_TOLD = 6
"""Cells that the text of a mark needs."""


def graph_lines(
    graph: Graph,
    width: int,
    height: int,
    drawing: Drawing = UNICODE,
    *,
    cursor_s: float | None = None,
    least_left: int = 0,
) -> list[Cell]:
    """A chart as exactly `height` lines of exactly `width` cells; small ones are a title and a line of blocks.

    Args:
        graph: what to draw.
        width: terminal cells, 1 or more.
        height: lines, 1 or more.
        drawing: the characters to draw with.
        cursor_s: a moment to point at, whose values stand in the title in place of the figures; None points at none.
        least_left: cells left of the chart, as `left_of` tells them, so that charts below each other share their times.
    """
    picture = _Picture(graph, width, height, drawing, cursor_s=cursor_s, least_left=least_left)
    lines = picture.small() if picture.is_small else picture.whole()
    return [fitted(line, width) for line in [*lines, *([()] * (height - len(lines)))][:height]]


def left_of(graph: Graph, width: int, height: int, drawing: Drawing = UNICODE) -> int:
    """Cells left of the chart when it is drawn in that size: those of the value axis."""
    return _Picture(graph, width, height, drawing).left


def time_at(graph: Graph, width: int, left: int, x: int) -> float | None:
    """The moment that a column of cells shows, with so many cells left of the chart; None beside it."""
    columns = width - left
    if not left <= x < width:
        return None
    return graph.start_s + (x - left + 0.5) / columns * (_end_of(graph) - graph.start_s)


class _Picture:
    """A graph in one size."""

    def __init__(
        self,
        graph: Graph,
        width: int,
        height: int,
        drawing: Drawing,
        *,
        cursor_s: float | None = None,
        least_left: int = 0,
    ) -> None:
        self._graph, self._width, self._height, self._drawing = graph, width, height, drawing
        self.end_s = _end_of(graph)
        self._curves = [_drawable(curve.points) for curve in graph.curves]
        self._cursor_s = None if cursor_s is None else min(max(cursor_s, graph.start_s), self.end_s)
        self._has_rule = height >= _RULED_HEIGHT
        self._has_texts = bool(graph.marks) and height >= _TOLD_HEIGHT
        self._rows = max(1, height - 2 - self._has_rule - self._has_texts)
        down = 1 if drawing.ascii_only else 4
        self._scale = Scale(*_range(graph), self._rows * down)
        self._labels = dict(value_ticks(self._scale, self._rows, graph.unit))
        margin = max([least_left - 2, *map(len, self._labels.values())])
        self._margin = margin + 1 if margin > 0 and width - margin - 2 >= _LEAST_COLUMNS else 0
        self.is_small = height < _LEAST_HEIGHT or width - self._margin - 1 < _LEAST_COLUMNS
        self.left = 0 if self.is_small else self._margin + 1
        """Cells beside the chart."""
        self.columns = width - self.left

    def small(self) -> list[Cell]:
        """A title and a line of blocks, or half of each."""
        points = self._curves[0] if self._curves else []
        within = [(at_s, value) for at_s, value in points if self._graph.start_s <= at_s <= self.end_s]
        role = self._graph.curves[0].role if self._curves else Role.DIM
        if self._height > 1:
            return [self._title(self._width), cell(self._blocks(within, self._width), role)]
        room = self._width // 3
        title = fitted(self._title(self._width - room - 1), self._width - room - 1)
        return [(*title, Span(" "), Span(self._blocks(within, room), role)) if room else title]

    def whole(self) -> list[Cell]:
        """Title, chart, axes and what happened."""
        lines = [self._title(self._width), *self._chart()]
        ticks = time_ticks(self._graph.start_s, self.end_s, self.columns, self._graph.now_s)
        if self._has_rule:
            lines.append(self._rule(ticks))
        lines.append(_placed(self.left, [(tick.first, cell(tick.text, Role.DIM)) for tick in ticks]))
        if self._has_texts:
            lines.append(self._texts())
        return lines

    def _blocks(self, points: Points, width: int) -> str:
        text = sparkline(points, width)
        return text.translate(dict(zip(map(ord, "·▁▂▃▄▅▆▇█"), self._drawing.levels, strict=True)))

    # The chart.

    def _chart(self) -> list[Cell]:
        dots = Dots(self.columns, self._rows, ascii_only=self._drawing.ascii_only)
        for band in self._graph.bands:
            dots.shade(self._of_band(band, dots.width), band.role)
        for curve, points in zip(self._graph.curves, self._curves, strict=True):
            extents = spread(points, dots.width, self._extent_of, self._window, curve.apart_s)
            dots.line(extents, curve.role, dashed=curve.dashed)
        now_s = self._graph.now_s
        if now_s is not None and self._graph.start_s <= now_s < self.end_s:
            dots.rule(self._column(now_s), self._drawing.now, Role.DIM)
        if self._cursor_s is not None:
            dots.rule(self._column(self._cursor_s), self._drawing.cursor, Role.KEY)
        return [
            (Span(self._labels.get(row, "").rjust(self._margin - 1) + " " * bool(self._margin), Role.DIM), *line)
            for row, line in enumerate(self._walled(dots.lines()))
        ]

    def _walled(self, lines: Sequence[Cell]) -> list[Cell]:
        drawing = self._drawing
        return [
            (Span(drawing.tick if row in self._labels and self._margin else drawing.wall, Role.TRACK), *line)
            for row, line in enumerate(lines)
        ]

    def _of_band(self, band: Band, width: int) -> list[Extent]:
        lows, highs = _edges(band)
        rows = self._scale.row
        tops = spread(highs, width, lambda values: rows(max(values)), self._window, band.apart_s)
        bottoms = spread(lows, width, lambda values: rows(min(values)), self._window, band.apart_s)
        return [
            None if top is None or bottom is None else (top, bottom) for top, bottom in zip(tops, bottoms, strict=True)
        ]

    def _extent_of(self, values: Sequence[float]) -> tuple[int, int]:
        return self._scale.row(max(values)), self._scale.row(min(values))

    @property
    def _window(self) -> tuple[float, float]:
        return self._graph.start_s, self.end_s

    def _column(self, at_s: float) -> int:
        return column_at(at_s, self._graph.start_s, self.end_s, self.columns)

    # Below the chart.

    def _marks(self) -> list[tuple[int, Mark]]:
        within = [mark for mark in self._graph.marks if self._graph.start_s <= mark.at_s <= self.end_s]
        return sorted(((self._column(mark.at_s), mark) for mark in within), key=lambda placed: placed[0])

    def _rule(self, ticks: Sequence[TimeTick]) -> Cell:
        drawing = self._drawing
        chars = [Span(drawing.floor, Role.TRACK)] * self.columns
        for tick in ticks:
            chars[tick.column] = Span(drawing.notch, Role.TRACK)
        for column, mark in self._marks():
            chars[column] = Span(drawing.mark, mark.role)
        return (Span(" " * self._margin + drawing.corner, Role.TRACK), *chars)

    def _texts(self) -> Cell:
        placed = self._marks()
        ends = [*(column for column, _ in placed), self.columns][1:]
        told: list[tuple[int, Cell]] = []
        for (column, mark), end in zip(placed, ends, strict=False):
            room = end - column - 1
            text = clip(plain(mark.text), room + (end == self.columns))
            if room >= min(_LEAST_TOLD, len(mark.text)):
                told.append((column, cell(text, mark.role)))
        return _placed(self.left, told)

    # The title.

    def _title(self, width: int) -> Cell:
        """The name, and what there is room for: the first figure before the legend, that before the other figures."""
        figures = self._figures() if self._cursor_s is None else self._at_cursor()
        pieces = [*self._legend(), *figures]
        chosen, room = set[int](), width - min(width // 2, cell_len(plain(self._graph.title)))
        for at in sorted(range(len(pieces)), key=lambda at: at != len(pieces) - len(figures)):
            if width_of(pieces[at]) + 2 <= room:
                chosen.add(at)
                room -= width_of(pieces[at]) + 2
        title = clip(plain(self._graph.title), width - sum(width_of(pieces[at]) + 2 for at in chosen))
        return (Span(title, Role.NAME), *(span for at in sorted(chosen) for span in (Span("  "), *pieces[at])))

    def _legend(self) -> list[Cell]:
        signs = (self._drawing.solid, self._drawing.dashed)
        return [
            (Span(signs[curve.dashed], curve.role), Span(f" {plain(curve.name, 40)}", Role.DIM))
            for curve in self._graph.curves
            if curve.name
        ]

    def _figures(self) -> list[Cell]:
        if not self._curves:
            return []
        until_s = self.end_s if self._graph.now_s is None else min(self.end_s, self._graph.now_s)
        within = [value for at_s, value in self._curves[0] if self._graph.start_s <= at_s <= until_s]
        means = [value for value in within if value is not None]
        if not means:
            return [cell("nothing is known of this time" if not within else "n/a", Role.DIM)]
        low, high = min(means), max(means)
        for edges, pick in zip(_edges(self._graph.bands[0]) if self._graph.bands else (), (min, max), strict=False):
            found = [value for at_s, value in edges if value is not None and self._graph.start_s <= at_s <= until_s]
            low, high = (pick([low, *found]), high) if pick is min else (low, pick([high, *found]))
        latest = ("now" if self._graph.now_s is not None else "last", within[-1])
        return [self._told(*one) for one in (latest, ("min", low), ("mean", mean(means)), ("max", high))]

    def _at_cursor(self) -> list[Cell]:
        assert self._cursor_s is not None
        column = self._column(self._cursor_s)
        told = [cell(moment_text(self._cursor_s, self.end_s - self._graph.start_s), Role.KEY)]
        for curve, points in zip(self._graph.curves, self._curves, strict=True):
            value = spread(points, self.columns, mean, self._window, curve.apart_s)[column]
            if value is not None or not curve.dashed:
                told.append(self._told(plain(curve.name, 40), value))
        for band in self._graph.bands:
            low, high = (
                spread(edges, self.columns, of, self._window, band.apart_s)[column]
                for edges, of in zip(_edges(band), (min, max), strict=True)
            )
            if low is not None and high is not None:
                told.append(cell(f"{amount(low, self._graph.unit)} to {amount(high, self._graph.unit)}"))
        marks = [mark for at, mark in self._marks() if at == column]
        return [*told, *(cell(f"{self._drawing.mark} {plain(mark.text)}", mark.role) for mark in marks)]

    def _told(self, name: str, value: float | None) -> Cell:
        known = Span("n/a", Role.DIM) if value is None else Span(amount(value, self._graph.unit))
        return (Span(f"{name} ", Role.DIM), known) if name else (known,)


def _end_of(graph: Graph) -> float:
    """Where it ends, later than it begins."""
    return graph.end_s if graph.end_s > graph.start_s else graph.start_s + 1


def _drawable(points: Points) -> list[tuple[float, float | None]]:
    return [(at_s, value if value is not None and abs(value) <= _HUGE else None) for at_s, value in points]


def _edges(band: Band) -> tuple[Points, Points]:
    lows = _drawable([(at_s, low) for at_s, low, _ in band.points])
    return lows, _drawable([(at_s, high) for at_s, _, high in band.points])


def _range(graph: Graph) -> tuple[float, float]:
    """The value at the bottom and at the top."""
    drawn = [_drawable(curve.points) for curve in graph.curves]
    every = chain(*drawn, *(edges for band in graph.bands for edges in _edges(band)))
    values = [value for at_s, value in every if value is not None and graph.start_s <= at_s <= graph.end_s]
    low, high = value_range(values) if values else (0.0, 1.0)
    low, high = (own if fixed is None else fixed for own, fixed in ((low, graph.low), (high, graph.high)))
    # Doubles could tell no steps apart between values that are closer than that.
    return low, (high if high - low > 1e-9 * max(1.0, abs(low), abs(high)) else low + max(1.0, abs(low)))


def _placed(left: int, texts: Sequence[tuple[int, Cell]]) -> Cell:
    """Texts at their columns, each of which begins behind the one before."""
    line: Cell = (Span(" " * left),)
    for column, text in texts:
        line = (*fitted(line, left + column), *text)
    return line
