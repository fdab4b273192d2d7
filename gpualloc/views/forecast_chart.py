"""What was, as a line of dots, and what is expected, as a shaded band with its median as a line: one chart."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from gpualloc.model.forecast import Band
from gpualloc.views.chart import DOTS, Points, plot, value_range
from gpualloc.views.look import Look, Role

Bands = Sequence[tuple[float, Band]]
_EMPTY = 0x2800


def band_chart(
    history: Points, bands: Bands, height: int, look: Look, number: Callable[[float], str]
) -> tuple[list[str], int]:
    """Lines of a chart with a value axis on the left, as wide as the look, and the column of the latest value.

    Args:
        history: (epoch seconds, value or None), oldest first; at least one.
        bands: (epoch seconds, band), oldest first, all after the history; may be empty.
        height: lines, at least 2.
        look: how wide, and whether the band is painted.
        number: writes a value on the axis.
    """
    known = [value for _, value in history if value is not None]
    edges = [edge for _, band in bands for edge in (band.low, band.median, band.high)]
    if not known and not edges:
        return ["no value is known in this time"], 0
    low, high = value_range([*known, *edges])
    labels = {0: number(high), height - 1: number(low)}
    margin = max(len(label) for label in labels.values())
    columns = look.width - margin - 2
    start_s, now_s = history[0][0], history[-1][0]
    end_s = bands[-1][0] if bands else now_s
    line = plot([*history, (end_s, None)] if bands else history, columns, height, low, high)
    shade = [[_EMPTY] * columns for _ in range(height)]
    if bands:
        moments = [start_s + (end_s - start_s) * (x + 0.5) / (2 * columns) for x in range(2 * columns)]
        course = course_of(history, bands, moments)
        expected = [(start_s, None), *((at_s, band.median) for at_s, band in course), (end_s, bands[-1][1].median)]
        _add(line, plot(expected, columns, height, low, high), columns - (len(course) + 1) // 2)
        shade = _shade([band for _, band in course], columns, height, low, high)
    drawn = [
        f"{labels.get(row, ''):>{margin}} ┤{_row(dots, shades, look)}"
        for row, (dots, shades) in enumerate(zip(line, shade, strict=True))
    ]
    return drawn, margin + 2 + round((now_s - start_s) / ((end_s - start_s) or 1.0) * columns)


def course_of(history: Points, bands: Bands, moments: Sequence[float]) -> list[tuple[float, Band]]:
    """The band at each moment after the history, straight between the horizons, from the latest value on."""
    now_s, latest = history[-1]
    knots = [*([(now_s, Band(latest, latest, latest))] if latest is not None else []), *bands]
    times = [at_s for at_s, _ in knots]
    return [(at_s, _between(knots, bisect_right(times, at_s), at_s)) for at_s in moments if at_s > times[0]]


def _between(knots: Bands, after: int, at_s: float) -> Band:
    if after >= len(knots):
        return knots[-1][1]
    (left_s, left), (right_s, right) = knots[after - 1], knots[after]
    part = (at_s - left_s) / (right_s - left_s)
    ends = ((left.low, right.low), (left.median, right.median), (left.high, right.high))
    return Band(*(one + part * (other - one) for one, other in ends))


def _add(line: list[list[int]], more: list[list[int]], first: int) -> None:
    """Draw `more` into `line`, from that column on."""
    for cells, added in zip(line, more, strict=True):
        cells[first:] = [one | other for one, other in zip(cells[first:], added[first:], strict=True)]


def _shade(course: Sequence[Band], columns: int, height: int, low: float, high: float) -> list[list[int]]:
    """Every other dot between the edges of the bands, which take the last columns of dots."""
    grid = [[_EMPTY] * columns for _ in range(height)]
    rows = 4 * height - 1
    first = 2 * columns - len(course)
    for x, band in enumerate(course, first):
        top, bottom = (rows - round((edge - low) / (high - low) * rows) for edge in (band.high, band.low))
        for y in range(top, bottom + 1):
            if (x + y) % 2 == 0:
                grid[y // 4][x // 2] |= DOTS[y % 4][x % 2]
    return grid


def _row(dots: Sequence[int], shades: Sequence[int], look: Look) -> str:
    """Characters of a line: those that hold nothing but shade are quiet."""
    text, quiet = "", ""
    for dot, shade in zip(dots, shades, strict=True):
        if dot == _EMPTY and shade != _EMPTY:
            quiet += chr(shade)
            continue
        text, quiet = text + look.paint(quiet, Role.QUIET) + chr(dot | shade), ""
    return (text + look.paint(quiet, Role.QUIET)).rstrip(chr(_EMPTY))
