"""Aligned columns that fit a width. rich would do it too, at many times the start-up cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gpualloc.views.look import Look, Role
from gpualloc.views.text import cells, shorten

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    right: bool = False
    least: int | None = None
    """Columns it may be cut down to when the table is too wide; None means never cut."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Printable text with its meaning."""

    text: str
    role: Role | None = None


def table(columns: Sequence[Column], rows: Sequence[Sequence[str | Cell]], look: Look, *, indent: int = 0) -> str:
    """Title line and rows; the widest cuttable column gives way first. Ends without a newline."""
    body = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    widths = _fit(columns, body, look.width - indent)
    titles = [Cell(column.title, Role.QUIET) for column in columns]
    return "\n".join(" " * indent + _line(columns, row, widths, look) for row in (titles, *body))


def _fit(columns: Sequence[Column], body: Sequence[Sequence[Cell]], width: int) -> list[int]:
    widths = [max([cells(c.title), *(cells(row[i].text) for row in body)]) for i, c in enumerate(columns)]
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
