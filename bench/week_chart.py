"""The picture of a week: GPUs held, in use and waited for in each arm, and who waits."""

from __future__ import annotations

from collections.abc import Sequence

from week_run import Figures
from week_work import DAY_S
from week_world import TICK_S

WIDTH, HEIGHT, LEFT, RIGHT, TOP, GAP = 900, 150, 60, 150, 44, 34
HELD, USED, WAITING, SUSPENDED = "#9cc5e3", "#0072b2", "#d55e00", "#6a3d9a"
EVERY = 3
"""Ticks that are drawn as one point: their mean."""


def picture(found: Sequence[Figures]) -> str:
    """One panel for each arm over the same time and the same GPUs."""
    most = max(max(held, waiting) for each in found for held, waiting, _, _ in each.course)
    height = TOP + len(found) * (HEIGHT + GAP) + 10
    title = f"A week of 64 GPUs (seed {found[0].seed}): GPUs over time"
    body = "\n".join(_panel(each, TOP + number * (HEIGHT + GAP), most) for number, each in enumerate(found))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11">\n<title>{title}</title>\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="{LEFT}" y="18" font-size="13">{title}</text>\n{body}\n</svg>\n'
    )


def _panel(figures: Figures, top: float, most: float) -> str:
    days = len(figures.course) * TICK_S / DAY_S
    across = (WIDTH - LEFT - RIGHT) / days
    parts = [f'<text x="{LEFT}" y="{top - 6:.0f}" font-weight="bold">{figures.arm}</text>']
    step = 20 if most < 130 else 50
    for level in range(0, int(most) + 1, step):
        y = top + HEIGHT * (1 - level / most)
        parts.append(f'<path d="M{LEFT} {y:.1f}h{WIDTH - LEFT - RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{level}</text>')
    for day in range(int(days) + 1):
        parts.append(f'<path d="M{LEFT + day * across:.1f} {top + HEIGHT}v4" stroke="#444"/>')
        if day < days:
            name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[day % 7]
            x = LEFT + (day + min(1.0, days - day) / 2) * across
            parts.append(f'<text x="{x:.1f}" y="{top + HEIGHT + 14:.0f}" text-anchor="middle">{name}</text>')
    lines = [[course[n] for course in figures.course] for n in range(4)]
    parts.append(_area(lines[0], top, most, across, HELD))
    parts.append(_area(lines[3], top, most, across, USED))
    parts.append(_line(lines[1], top, most, across, WAITING))
    parts.append(_line(lines[2], top, most, across, SUSPENDED))
    values = figures.values
    legend = (
        (HELD, f"held, mean {values['held %']:.0f} %"),
        (USED, f"in use, mean {values['in use %']:.0f} %"),
        (WAITING, "waited for"),
        (SUSPENDED, "stand still"),
        (None, f"mean wait {values['mean wait, min']:.0f} min"),
        (None, f"missed {values['SLO missed %']:.1f} %"),
    )
    for number, (colour, text) in enumerate(legend):
        y = top + 12 + number * 17
        if colour is not None:
            parts.append(f'<rect x="{WIDTH - RIGHT + 10}" y="{y - 9}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 26}" y="{y}">{text}</text>')
    return "\n".join(parts)


def _points(values: Sequence[float], top: float, most: float, across: float) -> list[str]:
    means = [sum(values[n : n + EVERY]) / len(values[n : n + EVERY]) for n in range(0, len(values), EVERY)]
    step = EVERY * TICK_S / DAY_S * across
    return [f"{LEFT + number * step:.1f},{top + HEIGHT * (1 - value / most):.1f}" for number, value in enumerate(means)]


def _area(values: Sequence[float], top: float, most: float, across: float, colour: str) -> str:
    points = _points(values, top, most, across)
    last = points[-1].partition(",")[0]
    return f'<polygon points="{LEFT},{top + HEIGHT} {" ".join(points)} {last},{top + HEIGHT}" fill="{colour}"/>'


def _line(values: Sequence[float], top: float, most: float, across: float, colour: str) -> str:
    points = " ".join(_points(values, top, most, across))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.3"/>'
