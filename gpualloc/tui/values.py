"""Values of fields as people read them, and as exports carry them."""

from __future__ import annotations

import time

from gpualloc.tui.cells import Cell, Role, cell, gib, watts
from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import age_text, plain

UNKNOWN = "n/a"
Exported = float | str | list[str] | None
"""A value as files carry it."""


def value_text(value: Value, unit: Unit | None, moment: Moment) -> str:
    """One line, safe to draw; `n/a` of an unknown."""
    if value is None:
        return UNKNOWN
    if isinstance(value, tuple):
        return ", ".join(plain(text) for text in value)
    if isinstance(value, str):
        return plain(value)
    return number_text(value, unit, moment)


def number_text(value: float, unit: Unit | None, moment: Moment) -> str:
    """A number with its unit, as short as columns need it."""
    if unit is Unit.RATIO:
        return f"{value * 100:.0f}%"
    if unit is Unit.MIB:
        return f"{gib(round(value))}G"
    if unit is Unit.SECONDS:
        return age_text(value)
    if unit is Unit.EPOCH:
        return age_text(moment.now_s - value)
    if unit is Unit.BYTES_PER_S:
        return rate_text(value)
    if unit is Unit.WATT:
        return watts(value)
    if unit is Unit.CELSIUS:
        return f"{value:.0f}°C"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def rate_text(bytes_per_s: float) -> str:
    """Bytes per second in at most six cells."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if bytes_per_s >= size:
            scaled = bytes_per_s / size
            return f"{scaled:.1f}{unit}/s" if scaled < 9.95 else f"{scaled:.0f}{unit}/s"
    return f"{bytes_per_s:.0f}B/s"


def value_cell(field: Field[object], value: Value, moment: Moment) -> Cell:
    """The cell of a field that draws itself in no special way."""
    if value is None:
        return cell(field.absent, Role.DIM)
    return cell(value_text(value, field.unit, moment))


def exported(value: Value, unit: Unit | None) -> Exported:
    """As files carry it: bare numbers in the field's unit, moments as ISO time, None for an unknown."""
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, float | int) and unit is Unit.EPOCH:
        return _iso(value)
    return value


def _iso(at_s: float) -> float | str:
    try:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s))
    except (OverflowError, OSError, ValueError):
        return at_s
