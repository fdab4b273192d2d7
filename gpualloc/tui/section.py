"""Titled lists of names and values, and how they become lines."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from rich.cells import cell_len, chop_cells

from gpualloc.tui.cells import Cell, Role, Span, cell, fitted, width_of

_LABEL_WIDTH = 17


class Section(Struct, frozen=True):
    """A titled list of names and values."""

    title: str
    entries: tuple[tuple[str, Cell], ...]


def section_lines(sections: Sequence[Section], width: int) -> list[Cell]:
    """Sections as lines of at most `width`; long values go on below themselves."""
    lines: list[Cell] = []
    for section in sections:
        if lines:
            lines.append(())
        lines.append(cell(section.title, Role.NAME))
        for label, value in section.entries:
            lines += _entry_lines(label, value, width)
    return lines


def _entry_lines(label: str, value: Cell, width: int) -> list[Cell]:
    room = max(10, width - _LABEL_WIDTH - 2)
    head = fitted(cell(f"  {label}", Role.DIM), _LABEL_WIDTH + 2)
    if width_of(value) <= room:
        return [(*head, *value)]
    role = value[0].role if value else Role.PLAIN
    pieces = _pieces("".join(span.text for span in value), room)
    indent = Span(" " * (_LABEL_WIDTH + 2))
    return [(*head, Span(pieces[0], role)), *((indent, Span(piece, role)) for piece in pieces[1:])]


def _pieces(text: str, room: int) -> list[str]:
    """The text cut at blanks where there are some, else anywhere."""
    lines, line = [], ""
    for word in text.split(" "):
        for piece in chop_cells(word, room) or [""]:
            if line and cell_len(line) + 1 + cell_len(piece) > room:
                lines.append(line)
                line = piece
            else:
                line = f"{line} {piece}" if line else piece
    return [*lines, line]
