"""Which columns of a table fit into a width, and how wide each gets."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

GAP = 1
"""Blank cells between columns."""
MARGIN = 1
"""Blank cells left of the first column."""
_LONG = 80
"""A text that may be so wide gets twice the room that is to spare, one of 160 three times, and so on."""


class Column(Struct, frozen=True):
    """A column of a table."""

    key: str
    title: str
    least: int
    """Smallest width in cells; a column that does not get it is left out."""
    most: int
    priority: int
    """Lower stays longer when it gets narrow."""
    right: bool = False
    """Aligned right, title included."""


class PlacedColumn(Struct, frozen=True):
    """A column with its place on the line."""

    column: Column
    x: int
    width: int


def fit(columns: Sequence[Column], width: int) -> tuple[PlacedColumn, ...]:
    """Keep the columns of highest priority that fit, in their order, and share what is left among them."""
    kept: set[str] = set()
    used = MARGIN - GAP
    for column in sorted(columns, key=lambda column: column.priority):
        if used + column.least + GAP > width:
            break
        kept.add(column.key)
        used += column.least + GAP
    shown = [column for column in columns if column.key in kept]
    widths = _grown(shown, width - used)
    placed = []
    x = MARGIN
    for column, column_width in zip(shown, widths, strict=True):
        placed.append(PlacedColumn(column, x, column_width))
        x += column_width + GAP
    return tuple(placed)


def _grown(columns: Sequence[Column], spare: int) -> list[int]:
    """Widths that take up the room to spare: long texts, such as commands and reasons, grow faster than names do."""
    widths = [column.least for column in columns]
    while spare > 0:
        growing = [at for at, column in enumerate(columns) if widths[at] < column.most]
        if not growing:
            break
        for at in growing:
            step = min(spare, columns[at].most - widths[at], 1 + columns[at].most // _LONG)
            widths[at] += step
            spare -= step
    return widths
