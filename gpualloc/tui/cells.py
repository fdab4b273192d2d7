"""What stands in a cell: spans of text with a role, whose colour the theme decides."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from rich.cells import cell_len

from gpualloc.tui import glyphs
from gpualloc.tui.text import clip


class Role(StrEnum):
    """What a span means; the theme says how each looks."""

    PLAIN = "plain"
    NAME = "name"
    DIM = "dim"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    KEY = "key"
    BANNER = "banner"
    UTILIZATION = "utilization"
    MEMORY = "memory"
    TRACK = "track"
    HEAT_0 = "heat-0"
    HEAT_1 = "heat-1"
    HEAT_2 = "heat-2"
    HEAT_3 = "heat-3"
    HEAT_4 = "heat-4"
    HEAT_5 = "heat-5"
    FAULT = "fault"
    STALE = "stale"
    UNKNOWN = "unknown"
    SELECT = "select"
    CURVE = "curve"
    CURVE_BAND = "curve-band"
    FORECAST = "forecast"
    FORECAST_BAND = "forecast-band"
    AXIS = "axis"


HEATS = (Role.HEAT_0, Role.HEAT_1, Role.HEAT_2, Role.HEAT_3, Role.HEAT_4, Role.HEAT_5)
"""From idle to full."""


class Span(Struct, frozen=True):
    """A piece of text without control characters."""

    text: str
    role: Role = Role.PLAIN


Cell = tuple[Span, ...]

_LITTLE = 0.005
NOTHING: Cell = ()


def cell(text: str, role: Role = Role.PLAIN) -> Cell:
    """One span."""
    return (Span(text, role),)


def width_of(content: Cell) -> int:
    """Width in terminal cells."""
    return sum(cell_len(span.text) for span in content)


def fitted(content: Cell, width: int, right: bool = False) -> Cell:
    """Cut or pad to exactly `width` terminal cells."""
    missing = width - width_of(content)
    if missing >= 0:
        pad = (Span(" " * missing),) if missing else ()
        return pad + content if right else content + pad
    spans: list[Span] = []
    left = width
    for span in content:
        taken = clip(span.text, left)
        spans.append(Span(taken, span.role))
        left -= cell_len(taken)
        if taken != span.text or left <= 0:
            break
    return (*spans, Span(" " * left)) if left else tuple(spans)


def dimmed(content: Cell) -> Cell:
    """The same text, all of it dim."""
    return tuple(Span(span.text, Role.TRACK if span.role is Role.TRACK else Role.DIM) for span in content)


def bar(ratio: float | None, width: int, role: Role) -> Cell:
    """A bar of blocks in halves of a cell over a thin track; unknown is an empty space without a track."""
    if ratio is None or width <= 0:
        return cell(" " * max(0, width))
    halves = round(min(1.0, max(0.0, ratio)) * width * 2)
    # A little use must not look like none, nor almost full like full; what a driver keeps for itself is none.
    halves = max(halves, 1) if ratio >= _LITTLE else halves
    halves = min(halves, width * 2 - 1) if ratio < 1 else halves
    drawn = glyphs.current()
    filled = drawn.full * (halves // 2) + drawn.half * (halves % 2)
    return (Span(filled, role), Span(drawn.track * (width - len(filled)), Role.TRACK))


def heat(ratio: float | None) -> Cell:
    """One cell whose form and colour say how much of a whole is in use; unknown is not idle."""
    drawn = glyphs.current()
    if ratio is None:
        return cell(drawn.unknown, Role.UNKNOWN)
    step = heat_step(ratio)
    return cell(drawn.heat[step], HEATS[step])


def heat_step(ratio: float) -> int:
    """Which of `HEATS` it is; the first is for idle alone, and what lies beyond 0..1 is taken for its end."""
    if ratio < _LITTLE:
        return 0
    last = len(HEATS) - 1
    return min(last, 1 + int(min(1.0, ratio) * last))


def percent(ratio: float | None, width: int = 4) -> Cell:
    """Right-aligned percent, or n/a."""
    return number(None if ratio is None else f"{ratio * 100:.0f}%", width)


def number(text: str | None, width: int) -> Cell:
    """Right-aligned text of a number, or a dim n/a."""
    if text is None:
        return cell("n/a".rjust(width), Role.DIM)
    return cell(text.rjust(width))


def gib(mib: int) -> str:
    """MiB as GiB: one decimal below 100, none above."""
    value = mib / 1024
    return f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def memory_pair(used_mib: int | None, total_mib: int | None) -> str | None:
    """`used/total` in GiB; None when both are unknown."""
    if used_mib is None and total_mib is None:
        return None
    used = "n/a" if used_mib is None else gib(used_mib)
    return f"{used}/{'n/a' if total_mib is None else gib(total_mib)}"


def memory_ratio(used_mib: int | None, total_mib: int | None) -> float | None:
    """Part in use, 0..1; None when unknown."""
    return used_mib / total_mib if used_mib is not None and total_mib else None


def watts(power_w: float) -> str:
    """Power in at most five cells."""
    return f"{power_w:.0f}W" if power_w < 9999.5 else f"{power_w / 1000:.0f}kW"
