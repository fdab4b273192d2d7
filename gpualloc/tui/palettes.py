"""The colours of the themes, before they are turned into themes: as many as a terminal has, sixteen, or none."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.tui.cells import HEATS, Role

NO_STYLE = "none"
NO_BACKGROUND = "transparent"


class Paint(Struct, frozen=True):
    """How a span, or a row, looks."""

    colour: str
    style: str = NO_STYLE
    """Words of a text style, such as `bold`."""
    background: str = NO_BACKGROUND


class Palette(Struct, frozen=True):
    """One theme: what its name means in colours. Colours are `#rrggbb`, or `ansi_...` for those of the terminal."""

    name: str
    dark: bool
    ground: str
    """Behind everything."""
    bar: str
    """Behind the header, headings and the line of keys."""
    text: str
    quiet: str
    """Text that may be passed over."""
    edge: str
    """Scroll bars and lines between panes."""
    cursor: Paint
    """The row under the cursor of a list that has not the focus."""
    focus: Paint
    """The row under the cursor of the list that has it."""
    strong: Paint
    """A row that heads others."""
    good: Paint
    warn: Paint
    bad: Paint
    key: Paint
    banner: Paint
    utilization: str
    memory: str
    track: str
    heat: tuple[str, str, str, str, str, str]
    """From idle to full, in one hue: a GPU in full use is not in trouble."""
    select: Paint
    curve: str
    curve_band: str
    forecast: str
    forecast_band: str
    quiet_style: str = NO_STYLE
    title_style: str = "bold"
    ansi: bool = False
    """Whether its colours are the terminal's own."""

    @property
    def paints(self) -> Mapping[Role, Paint]:
        """How each role looks."""
        quiet = Paint(self.quiet, self.quiet_style)
        return {
            Role.PLAIN: Paint(self.text),
            Role.NAME: Paint(self.text, "bold"),
            Role.DIM: quiet,
            Role.GOOD: self.good,
            Role.WARN: self.warn,
            Role.BAD: self.bad,
            Role.KEY: self.key,
            Role.BANNER: self.banner,
            Role.UTILIZATION: Paint(self.utilization),
            Role.MEMORY: Paint(self.memory),
            Role.TRACK: Paint(self.track, self.quiet_style),
            **{role: Paint(colour) for role, colour in zip(HEATS, self.heat, strict=True)},
            Role.FAULT: self.bad,
            Role.STALE: quiet,
            Role.UNKNOWN: quiet,
            Role.SELECT: self.select,
            Role.CURVE: Paint(self.curve),
            Role.CURVE_BAND: Paint(self.curve_band, self.quiet_style),
            Role.FORECAST: Paint(self.forecast),
            Role.FORECAST_BAND: Paint(self.forecast_band, self.quiet_style),
            Role.AXIS: quiet,
        }


_DARK = Palette(
    name="dark",
    dark=True,
    ground="#121416",
    bar="#1d2023",
    text="#d5dae0",
    quiet="#949da7",
    edge="#3b434c",
    cursor=Paint("#d5dae0", background="#282b2f"),
    focus=Paint("#e8ecf0", background="#172a52"),
    strong=Paint("#d5dae0", background="#191b1e"),
    good=Paint("#76b781"),
    warn=Paint("#dcab55"),
    bad=Paint("#f07d85", "bold"),
    key=Paint("#84b6dc", "bold"),
    banner=Paint("#101418", "bold", "#dcab55"),
    utilization="#65b3aa",
    memory="#9aa5e0",
    track="#434b55",
    heat=("#616a73", "#3f7f79", "#4b9f97", "#61bfb4", "#93dccf", "#d6f7ef"),
    select=Paint("#d9a6e8", "bold"),
    curve="#6cbcd0",
    curve_band="#4a6d7a",
    forecast="#e0a868",
    forecast_band="#7d6443",
)
_LIGHT = Palette(
    name="light",
    dark=False,
    ground="#f7f7f4",
    bar="#e8e8e3",
    text="#24282d",
    quiet="#565d65",
    edge="#b9bcb9",
    cursor=Paint("#24282d", background="#e2e2dc"),
    focus=Paint("#14181c", background="#c8dcee"),
    strong=Paint("#24282d", background="#eeeeea"),
    good=Paint("#1f6630"),
    warn=Paint("#6b4500"),
    bad=Paint("#ab1f2d", "bold"),
    key=Paint("#1b5482", "bold"),
    banner=Paint("#1a1400", "bold", "#f2b84b"),
    utilization="#14635c",
    memory="#4a4ba3",
    track="#c3c6c4",
    heat=("#868c8a", "#4f8a83", "#35807a", "#1c6a64", "#0c524d", "#043733"),
    select=Paint("#7a2a8c", "bold"),
    curve="#17627a",
    curve_band="#7fa5b2",
    forecast="#94500a",
    forecast_band="#bf9a6e",
)
_HIGH_CONTRAST = Palette(
    name="high-contrast",
    dark=True,
    ground="#000000",
    bar="#000000",
    text="#ffffff",
    quiet="#d0d0d0",
    edge="#8a8a8a",
    cursor=Paint("#ffffff", "bold", "#303030"),
    focus=Paint("#ffffff", "bold", "#002a70"),
    strong=Paint("#ffffff", "bold", "#1c1c1c"),
    good=Paint("#7dff8a"),
    warn=Paint("#ffd84d"),
    bad=Paint("#ffffff", "bold", "#8f0000"),
    key=Paint("#a5dcff", "bold"),
    banner=Paint("#000000", "bold", "#ffd84d"),
    utilization="#5ffff0",
    memory="#c8ccff",
    track="#6c6c6c",
    heat=("#8a8a8a", "#2fa59a", "#40cfc2", "#50e8da", "#a0fff4", "#ffffff"),
    select=Paint("#ffb8ff", "bold"),
    curve="#8fe8ff",
    curve_band="#7a9aa4",
    forecast="#ffc070",
    forecast_band="#a98c63",
    title_style="bold underline",
)
# After Okabe and Ito: blue, yellow and vermillion stay apart whichever kind of cone is missing.
_COLOUR_BLIND = replace(
    _DARK,
    name="colour-blind",
    good=Paint("#56b4e9"),
    warn=Paint("#f0e442"),
    bad=Paint("#f06e38", "bold"),
    key=Paint("#d5dae0", "bold underline"),
    banner=Paint("#101418", "bold", "#f0e442"),
    utilization="#56b4e9",
    memory="#d59abd",
    heat=("#616a73", "#417ba8", "#4790c4", "#5fb2e6", "#96d0f5", "#d8f0ff"),
    select=Paint("#f0b6d8", "bold"),
    curve="#56b4e9",
    curve_band="#3f6a86",
    forecast="#f0b030",
    forecast_band="#806a2e",
)
_MONO = Palette(
    name="mono",
    dark=True,
    ground="ansi_default",
    bar="ansi_default",
    text="ansi_default",
    quiet="ansi_default",
    edge="ansi_default",
    cursor=Paint("ansi_default", "underline"),
    focus=Paint("ansi_default", "reverse"),
    strong=Paint("ansi_default", "bold"),
    good=Paint("ansi_default"),
    warn=Paint("ansi_default", "underline"),
    bad=Paint("ansi_default", "bold underline"),
    key=Paint("ansi_default", "bold"),
    banner=Paint("ansi_default", "bold reverse"),
    utilization="ansi_default",
    memory="ansi_default",
    track="ansi_default",
    heat=("ansi_default",) * 6,
    select=Paint("ansi_default", "bold reverse"),
    curve="ansi_default",
    curve_band="ansi_default",
    forecast="ansi_default",
    forecast_band="ansi_default",
    quiet_style="dim",
    title_style="bold underline",
    ansi=True,
)
# With sixteen colours the terminal says what each is, and dim is often black on black: only bright ones on black, and
# the row under the cursor turned round, so that every colour on it stays readable.
_DARK_16 = Palette(
    name="dark",
    dark=True,
    ground="ansi_black",
    bar="ansi_black",
    text="ansi_white",
    quiet="ansi_white",
    edge="ansi_white",
    cursor=Paint("ansi_white", "underline", "ansi_black"),
    focus=Paint("ansi_white", "reverse", "ansi_black"),
    strong=Paint("ansi_bright_white", "bold", "ansi_black"),
    good=Paint("ansi_bright_green"),
    warn=Paint("ansi_bright_yellow"),
    bad=Paint("ansi_bright_red", "bold"),
    key=Paint("ansi_bright_cyan"),
    banner=Paint("ansi_black", background="ansi_white"),
    utilization="ansi_bright_cyan",
    memory="ansi_bright_magenta",
    track="ansi_white",
    heat=("ansi_white", "ansi_cyan", "ansi_cyan", "ansi_bright_cyan", "ansi_bright_cyan", "ansi_bright_white"),
    select=Paint("ansi_bright_magenta", "bold"),
    curve="ansi_bright_cyan",
    curve_band="ansi_cyan",
    forecast="ansi_bright_yellow",
    forecast_band="ansi_yellow",
    title_style="bold underline",
    ansi=True,
)
_LIGHT_16 = replace(
    _DARK_16,
    name="light",
    dark=False,
    ground="ansi_white",
    bar="ansi_white",
    text="ansi_black",
    quiet="ansi_black",
    edge="ansi_black",
    cursor=Paint("ansi_black", "underline", "ansi_white"),
    focus=Paint("ansi_black", "reverse", "ansi_white"),
    strong=Paint("ansi_black", "bold", "ansi_white"),
    good=Paint("ansi_black"),
    warn=Paint("ansi_black", "underline"),
    bad=Paint("ansi_bright_white", "bold", "ansi_red"),
    key=Paint("ansi_blue", "underline"),
    banner=Paint("ansi_bright_white", "bold", "ansi_blue"),
    utilization="ansi_blue",
    memory="ansi_blue",
    track="ansi_black",
    heat=("ansi_black", "ansi_black", "ansi_black", "ansi_blue", "ansi_blue", "ansi_blue"),
    select=Paint("ansi_bright_white", background="ansi_blue"),
    curve="ansi_blue",
    curve_band="ansi_black",
    forecast="ansi_red",
    forecast_band="ansi_black",
)
_HIGH_CONTRAST_16 = replace(
    _DARK_16,
    name="high-contrast",
    text="ansi_bright_white",
    strong=Paint("ansi_bright_white", "bold underline", "ansi_black"),
    bad=Paint("ansi_bright_white", "bold", "ansi_red"),
    focus=Paint("ansi_bright_white", "reverse", "ansi_black"),
)
_COLOUR_BLIND_16 = replace(
    _DARK_16,
    name="colour-blind",
    good=Paint("ansi_bright_cyan"),
    bad=Paint("ansi_bright_white", "bold", "ansi_red"),
    key=Paint("ansi_bright_white", "underline"),
)

WITH_MANY = (_DARK, _LIGHT, _HIGH_CONTRAST, _COLOUR_BLIND, _MONO)
"""For terminals with 256 colours or more."""
WITH_SIXTEEN = (_DARK_16, _LIGHT_16, _HIGH_CONTRAST_16, _COLOUR_BLIND_16, _MONO)
WITHOUT = (_MONO,)
