"""The colours of roles, for widgets that draw cells."""

from __future__ import annotations

from collections.abc import Iterable

from rich.style import Style
from rich.text import Text
from textual.widget import Widget

from gpualloc.tui.cells import Cell, Role

ROLE_CLASSES = {f"role--{role.value}" for role in Role}
"""Component classes of a widget that draws cells; the style sheet gives each its colour."""


def role_style(widget: Widget, role: Role) -> Style:
    """What the style sheet says of a role, without the background it inherits."""
    return widget.get_component_rich_style(f"role--{role.value}", partial=True)


def coloured(widget: Widget, lines: Iterable[Cell]) -> Text:
    """Lines of cells as one text; nothing in it is read as markup."""
    text = Text(no_wrap=True, overflow="ellipsis", end="")
    for at, line in enumerate(lines):
        if at:
            text.append("\n")
        for span in line:
            text.append(span.text, role_style(widget, span.role))
    return text
