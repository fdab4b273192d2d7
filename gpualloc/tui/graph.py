"""Charts over time as data: lines, bands, what is expected, marks of events, and what they are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.views.chart import Points


class Curve(Struct, frozen=True):
    """A line through points; where nothing is known it has a gap."""

    points: Points
    role: Role
    name: str = ""
    """Stands in the title with its sign, where it is not empty; untrusted text."""
    dashed: bool = False
    """For what is expected, and to tell a second curve from the first without colour."""
    apart_s: float | None = None
    """Points further apart have a gap between them; None: two and a half times their usual distance."""


class Band(Struct, frozen=True):
    """What values lie between over time, drawn as a shade behind the curves."""

    points: Sequence[tuple[float, float | None, float | None]]
    """(epoch seconds, low, high), oldest first; None is unknown."""
    role: Role
    apart_s: float | None = None
    """As that of a curve."""


class Mark(Struct, frozen=True):
    """Something that happened at a moment."""

    at_s: float
    text: str
    """Untrusted text."""
    role: Role


class Graph(Struct, frozen=True):
    """A chart of values in one unit.

    The figures in its title are those of the first curve up to now; with the first band, the lowest and highest are
    that one's. Where curves meet in a character it has the role of the first of them; a curve hides the band behind it.
    """

    title: str
    """Untrusted text."""
    unit: Unit
    curves: tuple[Curve, ...]
    start_s: float
    end_s: float
    """Epoch seconds between which it is drawn; what lies outside is not."""
    bands: tuple[Band, ...] = ()
    now_s: float | None = None
    """Where a line parts what was from what is expected, if it is not the end; None: it is all past."""
    low: float | None = None
    high: float | None = None
    """The value at the bottom and the top; None: 0 (or the lowest if below), and the highest."""
    marks: tuple[Mark, ...] = ()


class Drawing(Struct, frozen=True):
    """The characters that charts are drawn with besides dots."""

    ascii_only: bool
    tick: str
    wall: str
    corner: str
    floor: str
    notch: str
    now: str
    cursor: str
    mark: str
    solid: str
    dashed: str
    levels: str
    """From low to high, of a line of blocks; the first one stands for unknown."""


UNICODE = Drawing(False, "┤", "│", "└", "─", "┴", "┊", "│", "▲", "━", "╍", "·▁▂▃▄▅▆▇█")
ASCII = Drawing(True, "+", "|", "+", "-", "+", ":", "|", "^", "*", "+", " ._-=+*#@")
