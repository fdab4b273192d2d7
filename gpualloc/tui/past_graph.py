"""Charts of what is stored and was seen, with what happened meanwhile."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from gpualloc.engine.series import Past, Reading
from gpualloc.model.health import Event, Severity
from gpualloc.tui.cells import Role
from gpualloc.tui.fields import Unit
from gpualloc.tui.graph import Band, Curve, Graph, Mark

_UNITS = {unit.value: unit for unit in Unit}
_ROLES = {Severity.INFO: Role.DIM, Severity.WARNING: Role.WARN}


class Line(Struct, frozen=True):
    """One metric of a chart."""

    past: Past
    role: Role
    name: str = ""
    """As that of a curve; needed where there are several."""


def past_graph(
    title: str,
    lines: Sequence[Line],
    *,
    start_s: float,
    end_s: float,
    is_live: bool,
    high: float | None = None,
    marks: Sequence[Mark] = (),
) -> Graph:
    """A chart of metrics in the same unit; what is not a single reading has a band from its lowest to its highest.

    Args:
        title: what it is; where the unit has no sign of its own it is added.
        lines: at least one; all but the first are dashed.
        start_s: epoch seconds at which the chart begins.
        end_s: epoch seconds at which it ends.
        is_live: whether its end is now.
        high: the most it can be; None is not known. A ratio is drawn from 0 to 1 in any case.
        marks: what happened.
    """
    word = lines[0].past.metric.unit
    unit = unit_of(word)
    has_band = any(_is_wide(reading) for line in lines for reading in line.past.readings)
    return Graph(
        title if unit is not Unit.COUNT else f"{title}, {word}",
        unit,
        tuple(_curve(line, dashed=at > 0) for at, line in enumerate(lines)),
        start_s,
        end_s,
        bands=tuple(_band(line.past) for line in lines) if has_band else (),
        now_s=end_s if is_live else None,
        high=1.0 if unit is Unit.RATIO else high,
        marks=tuple(marks),
    )


def unit_of(word: str) -> Unit:
    """The unit that a metric or a forecast names; what has no sign is a count."""
    return _UNITS.get(word, Unit.COUNT)


def event_marks(events: Sequence[Event]) -> tuple[Mark, ...]:
    """What happened, for the bottom of a chart."""
    return tuple(Mark(event.at_s, event.what, _ROLES.get(event.severity, Role.BAD)) for event in events)


def _is_wide(reading: Reading) -> bool:
    return reading.low is not None and reading.low != reading.high


def _curve(line: Line, *, dashed: bool) -> Curve:
    points = [(reading.at_s, reading.mean) for reading in line.past.readings]
    # Its gaps are among its readings.
    return Curve(points, line.role, line.name, dashed, apart_s=math.inf)


def _band(past: Past) -> Band:
    points = [(reading.at_s, reading.low, reading.high) for reading in past.readings]
    return Band(points, Role.CURVE_BAND, apart_s=math.inf)
