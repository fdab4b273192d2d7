"""Lines over an axis as SVG, to stand inside an HTML page. Everything foreign is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH, HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 16, 12, 40
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
"""Told apart by people who see colours differently (Okabe and Ito)."""
_DASHES = ("", "7 3", "2 3", "9 3 2 3")


class Line(Struct, frozen=True):
    """One line, or single points of it."""

    label: str
    points: tuple[tuple[float, float], ...]
    """x and y, x ascending."""
    hue: int
    """What has the same number has the same colour, and the same dashes."""
    dots: bool = False
    """Points by themselves, without a line between them."""


def plot(lines: Sequence[Line], x_title: str, y_title: str) -> str:
    """An `svg` element with axes, the lines, and a legend below in words.

    Args:
        lines: at least one with a point.
        x_title: what the x axis is.
        y_title: what the y axis is.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    frame = _Frame(min(xs), max(*xs, min(xs) + 1), 0.0, max(*ys, 1.0))
    legend_rows = -(-len(lines) // 3)
    height = HEIGHT + 20 * legend_rows
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(y_title)} over {escape(x_title)}">',
        *_axes(frame, x_title, y_title),
        *(part for line in lines for part in _drawn(frame, line)),
        *(part for number, line in enumerate(lines) for part in _legend(line, number)),
        "</svg>",
    ]
    return "\n".join(parts)


class _Frame(Struct, frozen=True):
    """Which values lie where."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return _LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - _BOTTOM - (value - self.y_low) / (self.y_high - self.y_low) * (HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame, x_title: str, y_title: str) -> list[str]:
    parts = []
    for value in _ticks(frame.y_low, frame.y_high):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in _ticks(frame.x_low, frame.x_high):
        x = frame.x(value)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - _BOTTOM + 16}" text-anchor="middle">{value:g}</text>'
        )
    turned = f'transform="translate(14 {(HEIGHT - _BOTTOM) / 2}) rotate(-90)"'
    parts.append(
        f'<text class="title" x="{(WIDTH + _LEFT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_title)}</text>'
    )
    parts.append(f'<text class="title" {turned} text-anchor="middle">{escape(y_title)}</text>')
    return parts


def _ticks(low: float, high: float) -> list[float]:
    """Some six round values from low to high."""
    span = high - low
    step = next(s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, span) if span / s <= 8)
    first = -(-low // step) * step
    return [round(first + step * number, 6) for number in range(int((high - first) / step + 1e-9) + 1)]


def _drawn(frame: _Frame, line: Line) -> list[str]:
    colour = _colour(line.hue)
    at = [(frame.x(x), frame.y(y)) for x, y in line.points]
    if line.dots:
        ring = f'r="4" fill="none" stroke="{colour}" stroke-width="2"'
        return [f'<circle cx="{x:.1f}" cy="{y:.1f}" {ring}/>' for x, y in at]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{_dash(line.hue)}/>']


def _legend(line: Line, number: int) -> list[str]:
    x = _LEFT + number % 3 * (WIDTH - _LEFT) // 3
    y = HEIGHT + 14 + 20 * (number // 3)
    colour = _colour(line.hue)
    if line.dots:
        mark = f'<circle cx="{x + 12}" cy="{y - 4}" r="4" fill="none" stroke="{colour}" stroke-width="2"/>'
    else:
        ends = f'x1="{x}" y1="{y - 4}" x2="{x + 26}" y2="{y - 4}"'
        mark = f'<line {ends} stroke="{colour}" stroke-width="2"{_dash(line.hue)}/>'
    return [mark, f'<text class="tick" x="{x + 32}" y="{y}">{escape(line.label)}</text>']


def _colour(hue: int) -> str:
    return _COLOURS[hue % len(_COLOURS)]


def _dash(hue: int) -> str:
    dash = _DASHES[hue // len(_COLOURS) % len(_DASHES)]
    return f' stroke-dasharray="{dash}"' if dash else ""
