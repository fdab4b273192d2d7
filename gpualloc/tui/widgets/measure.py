"""Heights that depend on what is shown."""

from __future__ import annotations

from typing import Literal

from textual.css.scalar import Scalar
from textual.widget import Widget


def set_measure(widget: Widget, name: Literal["height", "max_height"], value: int | str | None) -> None:
    """Give a widget a measure of its own, if it has another one.

    Textual lays everything out anew and draws all of it whenever a measure is set, be it to what it is already.

    Args:
        widget: whose.
        name: which.
        value: lines, or a text as in a style sheet; None is what the style sheet says.
    """
    wanted = None if value is None else Scalar.parse(str(value))
    if widget.styles.inline.get_rule(name, None) != wanted:
        setattr(widget.styles, name, wanted)
