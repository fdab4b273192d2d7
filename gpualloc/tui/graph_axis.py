"""The axes of a chart: where a value and a moment lie, round ticks on both, and values in words."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from itertools import count, pairwise

from msgspec import Struct

from gpualloc.tui.fields import Unit
from gpualloc.tui.text import age_text, time_text

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_TIME_STEPS_S = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE_S * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(_HOUR_S * hours for hours in (1, 2, 3, 6, 12)),
    *(_DAY_S * days for days in (1, 2, 7, 14, 28, 91, 364)),
)
_RELATIVE_BELOW = 24
"""With fewer columns than this only the ends of the time are written, as seen from now."""
_GAP = 2
"""Blank cells between two labels of the time."""
_MOST_TICKS = 6
"""Values on the axis of a high chart, about."""
_SIZES: dict[Unit, tuple[tuple[float, str], ...]] = {
    Unit.RATIO: ((0.01, "%"),),
    Unit.MIB: ((1, "MiB"), (1024, "GiB"), (1024**2, "TiB"), (1024**3, "PiB")),
    Unit.WATT: ((1, "W"), (1e4, "kW"), (1e7, "MW")),
    Unit.BYTES_PER_S: ((1, "B/s"), (1e3, "kB/s"), (1e6, "MB/s"), (1e9, "GB/s"), (1e12, "TB/s")),
    Unit.SECONDS: ((1, "s"), (120, "min"), (7200, "h"), (172_800, "d")),
    Unit.COUNT: ((1, ""), (1e4, "k"), (1e7, "M"), (1e10, "G")),
}
"""From which value on which unit is written; a unit that is not here is written as it is."""
_DIVISORS = {"min": 60.0, "h": 3600.0, "d": 86_400.0, "kW": 1e3, "MW": 1e6, "k": 1e3, "M": 1e6, "G": 1e9}
"""How much a written unit is, where that is not the value from which on it is written."""


class TimeTick(Struct, frozen=True):
    """A moment on the time axis."""

    column: int
    first: int
    """Column at which its label begins."""
    text: str


def amount(value: float, unit: Unit) -> str:
    """A value in two or three digits with its unit: `43 %`, `12.3 GiB`, `310 W`."""
    divisor, suffix = _size(abs(value), unit)
    shown = value / divisor
    large = 9.95 if unit is Unit.RATIO else 99.95
    decimals = 0 if abs(shown) >= large else 1 if abs(shown) >= 9.995 or unit is Unit.RATIO else 2
    text = _written(shown, decimals)
    return f"{text} {suffix}".rstrip()


class Scale(Struct, frozen=True):
    """Which value lies on which of some rows, the highest on row 0."""

    low: float
    high: float
    """Above `low`, so far that doubles can tell steps between them apart."""
    rows: int

    def row(self, value: float) -> int:
        """The nearest row; what is out of reach lies on the edge."""
        part = (value - self.low) / (self.high - self.low)
        return self.rows - 1 - round(min(1.0, max(0.0, part)) * (self.rows - 1))


def value_ticks(scale: Scale, lines: int, unit: Unit) -> list[tuple[int, str]]:
    """Round values between both ends of a scale, as many as can be read, by line from the top.

    Args:
        scale: the rows of dots.
        lines: of text that these rows are on.
        unit: of the values.
    """
    divisor, suffix = _size(max(abs(scale.low), abs(scale.high)), unit)
    apart = max(2, lines // _MOST_TICKS) if lines > 3 else 1
    for step, decimals in _steps((scale.high - scale.low) / divisor / max(1, lines)):
        first, last = math.ceil(scale.low / divisor / step - 1e-9), math.floor(scale.high / divisor / step + 1e-9)
        # Where the ends are far from 0 and close together, doubles cannot tell steps apart.
        if last - first > lines:
            continue
        values = [number * step for number in range(first, last + 1)]
        rows = [scale.row(value * divisor) * lines // scale.rows for value in values]
        if all(below - above >= apart for below, above in pairwise(rows)):
            return [
                (row, f"{_written(value, decimals)} {suffix}".rstrip()) for row, value in zip(rows, values, strict=True)
            ]
    raise AssertionError("steps never end")


def time_ticks(start_s: float, end_s: float, columns: int, now_s: float | None) -> list[TimeTick]:
    """Round local times on a time axis, as many as can be read; where it is narrow, only how far it reaches.

    Args:
        start_s: epoch seconds at the first column.
        end_s: epoch seconds at the last one.
        columns: of the chart.
        now_s: what narrow charts count from; None is the end.

    Returns:
        Ticks whose labels do not meet, in their order.
    """
    if columns < _RELATIVE_BELOW:
        return _ends(start_s, end_s, columns, now_s)
    span_s = end_s - start_s
    for step_s in _TIME_STEPS_S:
        if step_s / span_s * columns < _label_width(step_s) + _GAP:
            continue
        found = []
        for at_s in _round_times(start_s, end_s, step_s):
            column, text = column_at(at_s, start_s, end_s, columns), _label(at_s, step_s)
            first = column - len(text) // 2
            if 0 <= first <= columns - len(text):
                found.append(TimeTick(column, first, text))
        return found
    return _ends(start_s, end_s, columns, now_s)


def column_at(at_s: float, start_s: float, end_s: float, columns: int) -> int:
    """The column in which a moment lies; it may be beside the chart."""
    return columns - 1 if at_s == end_s else math.floor((at_s - start_s) / (end_s - start_s) * columns)


def moment_text(at_s: float, span_s: float) -> str:
    """A moment as it is told of a chart that spans so many seconds: with its day where it is long."""
    if span_s <= _DAY_S:
        return time_text(at_s)
    return time.strftime("%d %b %H:%M", time.localtime(at_s))


def _written(value: float, decimals: int) -> str:
    """At most so many decimals, none of them needless; what rounds to 0 has no sign."""
    text = f"{value:,.{decimals}f}"
    text = text.rstrip("0").rstrip(".") if decimals else text
    return "0" if text == "-0" else text


def _size(value: float, unit: Unit) -> tuple[float, str]:
    sizes = _SIZES.get(unit, ((1.0, str(unit.value)),))
    least, suffix = next((size for size in reversed(sizes) if value >= size[0]), sizes[0])
    return _DIVISORS.get(suffix, least), suffix


def _steps(least: float) -> Iterator[tuple[float, int]]:
    """Round steps from about `least` on, with the decimals that they need."""
    for power in count(math.floor(math.log10(least))):
        for digits in (1.0, 2.0, 2.5, 5.0):
            if digits != 2.5 or power > 0:
                yield digits * 10.0**power, max(0, -power)


def _label_width(step_s: int) -> int:
    return len("00:00:00") if step_s < _MINUTE_S else len("00 Jan")


def _label(at_s: float, step_s: int) -> str:
    moment = time.localtime(at_s)
    if step_s < _MINUTE_S:
        return time.strftime("%H:%M:%S", moment)
    is_midnight = not (moment.tm_hour or moment.tm_min)
    return time.strftime("%d %b" if step_s >= _DAY_S or is_midnight else "%H:%M", moment)


def _round_times(start_s: float, end_s: float, step_s: int) -> Iterator[float]:
    """Multiples of the step by the local clock, which may be set forward or back in between."""
    offset_s = time.localtime(start_s).tm_gmtoff
    for number in count(math.ceil((start_s + offset_s) / step_s)):
        # By the offset of the moment itself: midnight stays midnight.
        at_s = number * step_s - time.localtime(number * step_s - offset_s).tm_gmtoff
        if at_s > end_s:
            return
        if at_s >= start_s:
            yield float(at_s)


def _ends(start_s: float, end_s: float, columns: int, now_s: float | None) -> list[TimeTick]:
    """How far it reaches back and ahead, and now between them, as far as there is room."""
    now_s = end_s if now_s is None else min(max(now_s, start_s), end_s)
    now = column_at(now_s, start_s, end_s, columns)
    ahead = f"+{age_text(end_s - now_s)}" if end_s - now_s > (end_s - start_s) / columns else ""
    found: list[TimeTick] = []
    for column, text in ((0, f"-{age_text(now_s - start_s)}"), (now, "now"), (columns - 1, ahead)):
        first = max(0, min(column - len(text) // 2, columns - len(text)))
        end = found[-1].first + len(found[-1].text) if found else -1
        if text and first > end and first + len(text) <= columns:
            found.append(TimeTick(column, first, text))
    return found
