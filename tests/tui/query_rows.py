"""Rows and fields to filter."""

from __future__ import annotations

from dataclasses import dataclass, field

from tui.fleet_fixture import NOW_S, TICKS_S

from gpualloc.tui.fields import Field, Unit, Value
from gpualloc.tui.query import parse
from gpualloc.tui.rows import Moment

MOMENT = Moment(TICKS_S, NOW_S, 2.0)


@dataclass
class Row:
    """A row that tells what it is given, and counts who asks."""

    told: dict[str, Value]
    asked: list[str] = field(default_factory=list)


def _field(name: str, unit: Unit | None = None) -> Field[Row]:
    def value(row: Row, _: Moment) -> Value:
        row.asked.append(name)
        return row.told.get(name)

    return Field(name, name.upper(), f"the {name}", value, unit)


FIELDS = (
    _field("node"),
    _field("model"),
    _field("state"),
    _field("user"),
    _field("gpu", Unit.COUNT),
    _field("util", Unit.RATIO),
    _field("mem", Unit.RATIO),
    _field("memory", Unit.MIB),
    _field("memory_total", Unit.MIB),
    _field("power", Unit.WATT),
    _field("temp", Unit.CELSIUS),
    _field("clock", Unit.MHZ),
    _field("age", Unit.SECONDS),
    _field("started", Unit.EPOCH),
    _field("net", Unit.BYTES_PER_S),
)
GPU: dict[str, Value] = {
    "node": "gpu03",
    "model": "NVIDIA H100 80GB HBM3",
    "state": "busy",
    "user": ("ann", "Bob Lee"),
    "gpu": 2,
    "util": 0.07,
    "mem": 0.504,
    "memory": 40_000,
    "memory_total": 81_559,
    "power": 301.6,
    "temp": 66,
    "clock": 1410,
    "age": 330.0,
    "started": NOW_S - 7200,
    "net": 12_000_000,
}


def kept(text: str, told: dict[str, Value] | None = None) -> bool:
    """Whether a filter keeps the row that tells this; `GPU` unless told otherwise."""
    return parse(text).over(FIELDS)(Row(GPU if told is None else told), MOMENT)
