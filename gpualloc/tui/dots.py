"""A picture of lines, shades and rules in characters: braille dots, or one ASCII character for each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from gpualloc.tui.cells import Cell, Role, Span
from gpualloc.views.chart import DOTS

_EMPTY = 0x2800
_SOLID, _DASHED, _SHADED = "*", "+", "."
_HALF = 0x01 | 0x04 | 0x10 | 0x80
"""Every other dot of a braille character, as on a board of chess."""
_ALL = 0xFF
Extent = tuple[int, int] | None
"""The highest and the lowest row of dots that a column takes; None is a gap."""
_Style = tuple[str, Role]
"""The ASCII character of a mark, and its role."""


class _Layer:
    """Dots of one kind: bits by line and column, with the style of what was drawn there first."""

    def __init__(self, columns: int, lines: int) -> None:
        self.bits = [[0] * columns for _ in range(lines)]
        self.styles: list[list[_Style]] = [[("", Role.PLAIN)] * columns for _ in range(lines)]

    def put(self, line: int, column: int, bits: int, style: _Style) -> None:
        """Add dots."""
        if not self.bits[line][column]:
            self.styles[line][column] = style
        self.bits[line][column] |= bits


class Dots:
    """Lines over rules over shades: a character shows only the first of them that is there.

    Where two lines share a character, both are seen, in the role of the one that was drawn first.

    Args:
        columns: characters of a line.
        lines: how many.
        ascii_only: whether braille cannot be shown; a dot is a character then.
    """

    def __init__(self, columns: int, lines: int, *, ascii_only: bool) -> None:
        self._ascii = ascii_only
        self._across, self._down = (1, 1) if ascii_only else (2, 4)
        self.width, self.height = columns * self._across, lines * self._down
        """In dots."""
        self._drawn, self._shaded = _Layer(columns, lines), _Layer(columns, lines)
        self._rules: dict[int, _Style] = {}

    def line(self, extents: Sequence[Extent], role: Role, *, dashed: bool = False) -> None:
        """Draw a line through extents, one for each column of dots; neighbours are joined.

        A dashed line leaves every third character out.
        """
        style = (_DASHED if dashed else _SOLID, role)
        before: Extent = None
        for x, extent in enumerate(extents):
            if extent is not None and not (dashed and not self._ascii and x // self._across % 3 == 2):
                top, bottom = extent
                if before is not None:
                    top, bottom = min(top, before[1] + 1), max(bottom, before[0] - 1)
                self._fill(self._drawn, x, (top, bottom), _ALL, style)
            before = extent

    def shade(self, extents: Sequence[Extent], role: Role) -> None:
        """Fill extents, one for each column of dots, with every other dot."""
        for x, extent in enumerate(extents):
            if extent is not None:
                self._fill(self._shaded, x, extent, _HALF, (_SHADED, role))

    def rule(self, column: int, char: str, role: Role) -> None:
        """Draw a vertical line of characters; the last one in a column stays."""
        self._rules[column] = char, role

    def lines(self) -> list[Cell]:
        """What was drawn, line by line from the top."""
        return [self._row(y) for y in range(len(self._drawn.bits))]

    def _fill(self, layer: _Layer, x: int, extent: tuple[int, int], pattern: int, style: _Style) -> None:
        """A column of dots from the highest to the lowest row, as far as the pattern has them."""
        column, (top, bottom) = x // self._across, extent
        for line in range(top // self._down, bottom // self._down + 1):
            if self._ascii:
                layer.put(line, column, 1, style)
                continue
            first, last = max(top - line * 4, 0), min(bottom - line * 4, 3)
            bits = _COLUMNS[x % 2][first][last] & pattern
            if bits:
                layer.put(line, column, bits, style)

    def _row(self, y: int) -> Cell:
        drawn = [self._at(y, column) for column in range(self.width // self._across)]
        return tuple(Span("".join(char for char, _ in run), role) for role, run in groupby(drawn, key=itemgetter(1)))

    def _at(self, y: int, column: int) -> tuple[str, Role]:
        for layer in (self._drawn, self._shaded):
            if layer is self._shaded and column in self._rules:
                return self._rules[column]
            bits = layer.bits[y][column]
            if bits:
                mark, role = layer.styles[y][column]
                return (mark if self._ascii else chr(_EMPTY | bits)), role
        return " ", Role.PLAIN


def _column_bits(side: int, first: int, last: int) -> int:
    return sum(row[side] for row in DOTS[first : last + 1])


_COLUMNS = [[[_column_bits(side, first, last) for last in range(4)] for first in range(4)] for side in range(2)]
"""Bits of a part of a column of a braille character, by side, first and last row."""
