"""The colours of roles, for widgets that draw cells.

They are taken from the variables of the theme rather than from component classes of each widget: a class for each of
so many roles in each of so many widgets takes longer to style than all else takes to start.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from rich.style import Style
from rich.text import Text
from textual.color import Color
from textual.widget import Widget

from gpualloc.tui import glyphs
from gpualloc.tui.cells import Cell, Role


def role_style(widget: Widget, role: Role) -> Style:
    """How the theme draws a role; what it says nothing of is left to what is drawn upon."""
    if role is Role.PLAIN:
        return Style.null()
    variables = widget.app.theme_variables
    name = f"role-{role}"
    return _style(variables[name], variables[f"{name}-style"], variables[f"{name}-background"])


def coloured(widget: Widget, lines: Iterable[Cell]) -> Text:
    """Lines of cells as one text; nothing in it is read as markup."""
    text = Text(no_wrap=True, overflow="ellipsis", end="")
    for at, line in enumerate(lines):
        if at:
            text.append("\n")
        for span in line:
            text.append(glyphs.drawn(span.text), role_style(widget, span.role))
    return text


@cache
def _style(colour: str, words: str, background: str) -> Style:
    behind = Color.parse(background)
    return Style.parse(words) + Style(
        color=Color.parse(colour).rich_color, bgcolor=None if behind.is_transparent else behind.rich_color
    )
