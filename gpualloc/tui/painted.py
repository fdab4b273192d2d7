"""What the command line's renderers paint, as cells: the dashboard shows the same words without writing them twice."""

from __future__ import annotations

import re

from gpualloc.tui.cells import Cell, Role, Span, cell
from gpualloc.views import look

_ROLES = {
    look.Role.GOOD: Role.GOOD,
    look.Role.BAD: Role.BAD,
    look.Role.WARN: Role.WARN,
    look.Role.QUIET: Role.DIM,
    look.Role.STRONG: Role.NAME,
}
_PAINTED = re.compile(r"\x1b\[(\d+)m(.*?)\x1b\[0m")


def painted(width: int) -> look.Look:
    """What to hand to a renderer whose text becomes cells of that width."""
    return look.Look(width=max(40, width), colour=True)


def cells_of(text: str) -> list[Cell]:
    """A renderer's text as lines of cells."""
    return [_line(line) for line in text.split("\n")]


def _line(text: str) -> Cell:
    spans: list[Span] = []
    at = 0
    for found in _PAINTED.finditer(text):
        if found.start() > at:
            spans.append(Span(text[at : found.start()]))
        spans.append(Span(found[2], _ROLES.get(look.Role(found[1]), Role.PLAIN)))
        at = found.end()
    if at < len(text):
        spans.append(Span(text[at:]))
    return tuple(spans) or cell("")
