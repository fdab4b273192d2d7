"""A picture of how something grows: panels side by side, both axes logarithmic, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#6a3d9a", "#444444")
WIDTH, HEIGHT = 360, 260
LEFT, RIGHT, TOP, BOTTOM = 52, 86, 44, 44


class Line(Struct, frozen=True):
    """What one policy takes."""

    name: str
    points: tuple[tuple[float, float], ...]


class Panel(Struct, frozen=True):
    """Lines over one axis."""

    title: str
    lines: tuple[Line, ...]


def chart(title: str, panels: Sequence[Panel]) -> str:
    """The whole picture."""
    width = WIDTH * len(panels)
    body = "\n".join(drawn(panel, WIDTH * number) for number, panel in enumerate(panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" '
        f'font-size="11">\n<title>{title}</title>\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="18" font-size="13">{title}</text>\n{body}\n</svg>\n'
    )


def drawn(panel: Panel, shift: int) -> str:
    """One panel, moved to the right."""
    points = [point for line in panel.lines for point in line.points]
    low_x, high_x = ends([x for x, _ in points])
    low_y, high_y = ends([y for _, y in points], whole=True)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - low_x) / (high_x - low_x)
        up = (math.log10(y) - low_y) / (high_y - low_y)
        return shift + LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = []
    for power in range(round(low_y), round(high_y) + 1):
        x, y = place(10**low_x, 10**power)
        parts.append(f'<path d="M{x:.1f} {y:.1f}h{WIDTH - LEFT - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10**power:,}</text>')
    for size in sorted({x for x, _ in points}):
        x, y = place(size, 10**low_y)
        parts.append(f'<path d="M{x:.1f} {y:.1f}v4" stroke="#444"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{size:,}</text>')
    x, y = place(10 ** ((low_x + high_x) / 2), 10**low_y)
    parts.append(f'<text x="{x:.1f}" y="{y + 34:.1f}" text-anchor="middle">{panel.title}</text>')
    ranked = sorted(panel.lines, key=lambda line: -line.points[-1][1])
    last = 0.0
    for colour, line in zip(COLOURS, ranked, strict=False):
        placed = [place(*point) for point in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        last = max(placed[-1][1], last + 13)  # names do not lie on each other
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{placed[-1][0] + 6:.1f}" y="{last + 4:.1f}" fill="{colour}">{line.name}</text>')
    return "\n".join(parts)


def ends(values: Sequence[float], *, whole: bool = False) -> tuple[float, float]:
    """Powers of ten at the ends of an axis."""
    low, high = math.log10(min(values)), math.log10(max(values))
    return (math.floor(low), math.ceil(high)) if whole else (low, high)
