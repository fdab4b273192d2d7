"""Points over time drawn with braille dots, two columns and four rows to a character. Gaps stay empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median

Points = Sequence[tuple[float, float | None]]

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_LEVELS = "▁▂▃▄▅▆▇█"
_GAP = 2.5
"""Two points that many usual distances apart have something missing between them."""


def chart(points: Points, width: int, height: int, number: Callable[[float], str]) -> list[str]:
    """Lines of a chart with a value axis on the left.

    Args:
        points: (epoch seconds, value or None), oldest first.
        width: columns of the whole chart, axis included; at least 20.
        height: lines; at least 2.
        number: writes a value on the axis.

    Returns:
        `height` lines; a single line when no value is known.
    """
    known = [value for _, value in points if value is not None]
    if not known:
        return ["no value is known in this time"]
    low, high = value_range(known)
    labels = {0: number(high), height - 1: number(low)}
    margin = max(len(label) for label in labels.values())
    columns = width - margin - 2
    grid = plot(points, columns, height, low, high)
    return [
        f"{labels.get(row, ''):>{margin}} ┤{''.join(map(chr, cells)).rstrip('⠀')}" for row, cells in enumerate(grid)
    ]


def sparkline(points: Points, width: int) -> str:
    """One line of blocks; a dot where nothing is known."""
    known = [value for _, value in points if value is not None]
    if not known:
        return "·" * width
    low, high = value_range(known)
    slots = _spread(points, width)
    top = len(_LEVELS) - 1
    return "".join("·" if value is None else _LEVELS[round((value - low) / (high - low) * top)] for value in slots)


def value_range(known: Sequence[float]) -> tuple[float, float]:
    """From 0 (or lower) to the highest, so that bars can be compared; never empty."""
    low, high = min(0.0, *known), max(known)
    return low, high if high > low else low + 1


def _slots(points: Points, count: int) -> list[float | None]:
    """The mean of the known values in each of `count` equal parts of the time; None where none is known."""
    start, end = points[0][0], points[-1][0]
    span = (end - start) or 1.0
    parts: list[list[float]] = [[] for _ in range(count)]
    for at_s, value in points:
        if value is not None:
            parts[min(count - 1, int((at_s - start) / span * count))].append(value)
    return [sum(part) / len(part) if part else None for part in parts]


def plot(points: Points, columns: int, height: int, low: float, high: float) -> list[list[int]]:
    """Code points of braille characters, line by line from the top, over the whole time of the points.

    Args:
        points: (epoch seconds, value or None), oldest first.
        columns: characters of a line.
        height: lines.
        low: value at the bottom; none of the points is below.
        high: value at the top; none is above, and it is above `low`.
    """
    grid = [[0x2800] * columns for _ in range(height)]
    rows = height * 4 - 1
    for x, value in enumerate(_spread(points, columns * 2)):
        if value is not None:
            y = rows - round((value - low) / (high - low) * rows)
            grid[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return grid


def _spread(points: Points, count: int) -> list[float | None]:
    """As `_slots`, with the empty parts between two neighbouring points filled by the earlier one.

    Points further apart than usual have a gap between them, which stays empty.
    """
    slots = _slots(points, count)
    if len(points) < 2:
        return slots
    start, end = points[0][0], points[-1][0]
    span = (end - start) or 1.0
    usual_s = median(later[0] - earlier[0] for earlier, later in pairwise(points))
    for (at_s, value), (next_s, _) in pairwise(points):
        if next_s - at_s > _GAP * usual_s:
            continue
        first, last = (int((moment - start) / span * count) for moment in (at_s, next_s))
        for slot in range(first + 1, min(last, count)):
            slots[slot] = value
    return slots
