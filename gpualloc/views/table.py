"""Aligned columns that fit a width. rich would do it too, at many times the start-up cost."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.views.look import Look, Role
from gpualloc.views.text import cells, shorten

_GAP = "  "
_LONG = 24
"""A cuttable cell that is longer sends nothing below the row."""


class Column(Struct, frozen=True):
    """One column of a table."""

    title: str
    right: bool = False
    least: int | None = None
    """Columns it may be cut down to when the table is too wide; None means never cut."""
    below: bool = False
    """Of the last column: what it holds goes below its row, whole, when the table is too wide."""


class Cell(Struct, frozen=True):
    """Printable text with its meaning."""

    text: str
    role: Role | None = None


def table(columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], look: Look, *, indent: int = 0) -> str:
    """Title line and rows; the widest cuttable column gives way first. Ends without a newline."""
    body = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    below: Sequence[str] = ()
    if columns[-1].below and _needed(columns, body) > look.width - indent:
        *columns, last = columns
        below = [f"{last.title}: {row.pop().text}" if row[-1].text else row.pop().text for row in body]
    widths = _fit(columns, body, look.width - indent)
    titles = [Cell(column.title, Role.QUIET) for column in columns]
    lines = [" " * indent + _line(columns, row, widths, look) for row in (titles, *body)]
    for at in reversed(range(len(below))):
        margin = " " * (indent + len(_GAP))
        lines[at + 2 : at + 2] = textwrap.wrap(below[at], look.width, initial_indent=margin, subsequent_indent=margin)
    return "\n".join(lines)


def _natural(columns: Sequence[Column], body: Sequence[Sequence[Cell]]) -> list[int]:
    return [max([cells(c.title), *(cells(row[i].text) for row in body)]) for i, c in enumerate(columns)]


def _needed(columns: Sequence[Column], body: Sequence[Sequence[Cell]]) -> int:
    """Columns that the table takes when the last one is whole and no other needlessly long."""
    widths = _natural(columns, body)
    others = [
        width if column.least is None else min(width, max(column.least, _LONG))
        for column, width in zip(columns[:-1], widths, strict=False)
    ]
    return sum(others) + widths[-1] + len(_GAP) * (len(columns) - 1)


def _fit(columns: Sequence[Column], body: Sequence[Sequence[Cell]], width: int) -> list[int]:
    widths = _natural(columns, body)
    while sum(widths) + len(_GAP) * (len(columns) - 1) > width:
        room = [(widths[i] - c.least, i) for i, c in enumerate(columns) if c.least is not None and widths[i] > c.least]
        if not room:
            break
        widths[max(room)[1]] -= 1
    return widths


def _line(columns: Sequence[Column], row: Sequence[Cell], widths: Sequence[int], look: Look) -> str:
    parts = []
    for i, (column, cell, width) in enumerate(zip(columns, row, widths, strict=True)):
        text = shorten(cell.text, width)
        pad = " " * (width - cells(text))
        painted = look.paint(text, cell.role)
        last = i == len(columns) - 1
        parts.append(pad + painted if column.right else painted if last else painted + pad)
    return _GAP.join(parts).rstrip()
