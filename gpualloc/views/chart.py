"""Points over time drawn with braille dots, two columns and four rows to a character. Gaps stay empty."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import floor
from statistics import median
from typing import TypeVar

_T = TypeVar("_T")
Points = Sequence[tuple[float, float | None]]

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of the dots of a braille character, by row and column."""
_LEVELS = "▁▂▃▄▅▆▇█"
_GAP = 2.5
"""Two points that many usual distances apart have something missing between them."""
_LEAST_S = 1e-6
"""A shorter time is a moment."""


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
    slots = spread(points, width, mean)
    top = len(_LEVELS) - 1
    return "".join("·" if value is None else _LEVELS[round((value - low) / (high - low) * top)] for value in slots)


def value_range(known: Sequence[float]) -> tuple[float, float]:
    """From 0 (or lower) to the highest, so that bars can be compared; never empty, however large the values."""
    low, high = min(0.0, *known), max(known)
    return low, high if high > low else low + max(1.0, -low)


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
    for x, value in enumerate(spread(points, columns * 2, mean)):
        if value is not None:
            y = rows - round((value - low) / (high - low) * rows)
            grid[y // 4][x // 2] |= DOTS[y % 4][x % 2]
    return grid


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    return sum(values) / len(values)


def spread(
    points: Points,
    count: int,
    of: Callable[[Sequence[float]], _T],
    window: tuple[float, float] | None = None,
    apart_s: float | None = None,
) -> list[_T | None]:
    """One value for each of `count` equal parts of a time; None where nothing is known.

    An empty part between two neighbouring points takes the value of the earlier one, unless there is a gap there.

    Args:
        points: (epoch seconds, value or None), oldest first.
        count: parts, at least 1.
        of: what the known values in one part come to.
        window: epoch seconds at which the time begins and ends; None: at the first and the last point.
        apart_s: points further apart than that have a gap between them; None: two and a half usual distances.
    """
    slots: list[_T | None] = [None] * count
    if not points:
        return slots
    start, end = window or (points[0][0], points[-1][0])
    span = max(end - start, _LEAST_S)
    if apart_s is None and len(points) > 1:
        apart_s = _GAP * median(later[0] - earlier[0] for earlier, later in pairwise(points))
    parts: dict[int, list[float]] = {}
    for at_s, value in points:
        if value is not None and start <= at_s <= end:
            parts.setdefault(min(count - 1, int((at_s - start) / span * count)), []).append(value)
    for (at_s, value), (next_s, _) in pairwise(points):
        first, last = (floor((moment - start) / span * count) for moment in (at_s, next_s))
        held = range(max(0, first + 1), min(last, count))
        if held and value is not None and (apart_s is None or next_s - at_s <= apart_s):
            slots[held.start : held.stop] = [of([value])] * len(held)
    for part, values in parts.items():
        slots[part] = of(values)
    return slots
