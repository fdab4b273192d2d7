"""The themes of the dashboard, and which of them a terminal can show.

Every colour is a variable of the theme: `$role-<role>`, `$role-<role>-style` and `$role-<role>-background` for each
`Role`, the same of `$row-cursor`, `$row-focus` and `$row-strong`, and those of `_grounds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from textual.app import App
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.theme import Theme

from gpualloc.tui import glyphs
from gpualloc.tui.palettes import WITH_MANY, WITH_SIXTEEN, WITHOUT, Paint, Palette

_NO_COLOURS = frozenset({"vt100", "vt102", "vt220", "dumb"})
_MANY_ENDINGS = ("-256color", "-kitty")


class Colours(StrEnum):
    """How many colours there are to draw with."""

    NONE = "none"
    SIXTEEN = "sixteen"
    """Those whose values the terminal decides; some terminals have eight of them."""
    MANY = "many"


def colours_of(env: Mapping[str, str]) -> Colours:
    """What the terminal has, by the same variables from which Rich chooses how to write colours.

    Args:
        env: the process environment. With NO_COLOR there are none; an empty one counts too, as it does for Textual.
    """
    term = env.get("TERM", "").strip().lower()
    if "NO_COLOR" in env or term.partition("-")[0] in _NO_COLOURS or term.endswith("-m"):
        return Colours.NONE
    if env.get("COLORTERM", "").strip().lower() in ("truecolor", "24bit") or term.endswith(_MANY_ENDINGS):
        return Colours.MANY
    return Colours.SIXTEEN


def themes(colours: Colours) -> tuple[Theme, ...]:
    """The themes there are with so many colours, in the order in which a key goes through them; the first is usual."""
    palettes = {Colours.NONE: WITHOUT, Colours.SIXTEEN: WITH_SIXTEEN, Colours.MANY: WITH_MANY}[colours]
    return tuple(map(_theme, palettes))


class _AsciiScrollBar(ScrollBarRender):
    """A scroll bar that begins and ends at whole cells."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * len(ScrollBarRender.VERTICAL_BARS)
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * len(ScrollBarRender.HORIZONTAL_BARS)


class ThemedApp(App[None]):
    """An application that wears the themes of its terminal.

    Where only ASCII is drawn it has the class `ascii`, by which the style sheet chooses borders.

    Args:
        theme: name of the first one; one that the terminal cannot show, or None, is the usual one.
        colours: what the terminal has.
    """

    def __init__(self, theme: str | None, colours: Colours) -> None:
        # Without colours Textual would turn the terminal's own ones into black on black, unless it may use them.
        super().__init__(ansi_color=True if colours is Colours.NONE else None)
        only_ascii = glyphs.current() is glyphs.ASCII
        self.set_class(only_ascii, "ascii")
        ScrollBar.renderer = _AsciiScrollBar if only_ascii else ScrollBarRender
        worn = themes(colours)
        self._theme_names = tuple(each.name for each in worn)
        for each in worn:
            self.register_theme(each)
        self.theme = theme if theme in self._theme_names else self._theme_names[0]

    @property
    def theme_names(self) -> tuple[str, ...]:
        """The themes that can be worn here."""
        return self._theme_names

    def action_next_theme(self) -> None:
        """Wear the next theme."""
        at = self._theme_names.index(self.theme)
        self.theme = self._theme_names[(at + 1) % len(self._theme_names)]


def _theme(palette: Palette) -> Theme:
    return Theme(
        name=palette.name,
        primary=palette.key.colour,
        secondary=palette.memory,
        warning=palette.warn.colour,
        error=palette.bad.colour,
        success=palette.good.colour,
        accent=palette.utilization,
        foreground=palette.text,
        background=palette.ground,
        surface=palette.bar,
        panel=palette.bar,
        dark=palette.dark,
        variables=_variables(palette),
        ansi=palette.ansi,
    )


def _variables(palette: Palette) -> dict[str, str]:
    found = _grounds(palette)
    rows = {"row-cursor": palette.cursor, "row-focus": palette.focus, "row-strong": palette.strong}
    for name, paint in [*rows.items(), *((f"role-{role}", paint) for role, paint in palette.paints.items())]:
        found |= _painted(name, paint)
    return found


def _painted(name: str, paint: Paint) -> dict[str, str]:
    return {name: paint.colour, f"{name}-style": paint.style, f"{name}-background": paint.background}


def _grounds(palette: Palette) -> dict[str, str]:
    """What is behind, around and between, and what Textual's own widgets take for quiet text."""
    return {
        "ground": palette.ground,
        "bar": palette.bar,
        "edge": palette.edge,
        "surface": palette.bar,
        "panel": palette.bar,
        "ansi-background": palette.ground,
        "ansi-foreground": palette.text,
        "title-style": palette.title_style,
        "foreground-muted": palette.quiet,
        "text-muted": palette.quiet,
        "text-disabled": palette.quiet,
        # Textual's widgets ask for these, and its own themes for terminal colours lack them.
        "foreground-disabled": palette.quiet,
        "surface-active": palette.bar,
    }
