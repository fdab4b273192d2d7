"""Numbers of a filter, as people type them for each unit."""

from __future__ import annotations

import re

from msgspec import Struct

from gpualloc.errors import UsageError
from gpualloc.model.units import parse_duration_s, parse_memory_mib
from gpualloc.tui.fields import Unit
from gpualloc.views.text import memory

EXPECTED = {
    Unit.COUNT: "a number",
    Unit.RATIO: "a percentage such as 50 or 50% (0.5 is half a percent)",
    Unit.MIB: "a size in GiB such as 40, or with its unit such as 512m or 40GiB",
    Unit.WATT: "watts, such as 300",
    Unit.CELSIUS: "degrees Celsius, such as 80",
    Unit.MHZ: "MHz, such as 1410",
    Unit.SECONDS: "a time up to 366d, such as 90s, 5m, 2h or 3d",
    Unit.EPOCH: "how long ago, up to 366d, such as 90s, 5m, 2h or 3d",
    Unit.BYTES_PER_S: "bytes per second, such as 500k, 10M or 1.5G",
}
"""What a number of each unit looks like."""

_SCALES = {
    Unit.COUNT: {"": 1.0},
    Unit.RATIO: {"": 0.01, "%": 0.01},
    Unit.WATT: {"": 1.0, "w": 1.0},
    Unit.CELSIUS: {"": 1.0, "c": 1.0, "°c": 1.0},
    Unit.MHZ: {"": 1.0, "mhz": 1.0},
    Unit.BYTES_PER_S: {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12},
}
_WORDS = {Unit.RATIO: " %", Unit.WATT: " W", Unit.CELSIUS: " °C", Unit.MHZ: " MHz", Unit.BYTES_PER_S: "B/s"}
_NUMBER = re.compile(r"(\d{1,15}(?:\.(\d{1,9}))?)\s*([^\s\d]*)")
_PART = re.compile(r"\d+(?:\.(\d{1,9}))?\s*(ms|[smhdw]?)", re.IGNORECASE)
_ZERO = re.compile(r"0+(?:\.0+)?\s*(?:ms|[smhdw])?", re.IGNORECASE)
_MAX_CHARS = 40


class Amount(Struct, frozen=True):
    """A number that was typed, in the unit of its field."""

    value: float
    """Of a moment: seconds ago, negative while it is still to come."""
    least: float
    below: float
    """Sizes from `least` up to, without, `below` look the same at the digits that were typed."""
    words: str
    """As a person reads it, with its unit."""

    def equals(self, found: float) -> bool:
        """Whether a number is this one at the digits that were typed: sizes rounded, times cut off."""
        return self.least <= (-found if self.value < 0 else found) < self.below


def amount_of(text: str, unit: Unit) -> Amount | None:
    """Read a number of a unit; None when it is not one (`EXPECTED` says what one looks like)."""
    if len(text) > _MAX_CHARS:
        return None
    sign = -1 if text.startswith("-") else 1
    size = text.removeprefix("-")
    try:
        if unit in (Unit.SECONDS, Unit.EPOCH):
            return _time(size, sign) if size.isascii() else None
        number = _NUMBER.fullmatch(size)
        return None if number is None else _number(number, unit, sign)
    except UsageError:
        return None


def _number(number: re.Match[str], unit: Unit, sign: int) -> Amount | None:
    digits, decimals, suffix = number[1], len(number[2] or ""), number[3].lower()
    if unit is Unit.MIB:
        value, scale = _size_mib(float(digits), digits, suffix or "g")
        words = memory(sign * value)
    elif (known := _SCALES[unit].get(suffix)) is not None:
        scale = known
        # Divided rather than multiplied: 7 / 100 is the number that 0.07 is, 7 * 0.01 is not.
        value = float(digits) / 100 if unit is Unit.RATIO else float(digits) * scale
        prefix = f" {suffix.upper()}" if unit is Unit.BYTES_PER_S else ""
        words = f"{'-' if sign < 0 else ''}{digits}{prefix}{_WORDS.get(unit, '')}"
    else:
        return None
    half = 0.5 * scale / 10**decimals
    return Amount(sign * value, value - half, value + half, words)


def _size_mib(value: float, digits: str, suffix: str) -> tuple[float, float]:
    """MiB of a size and of one of its unit."""
    scale = float(parse_memory_mib(f"1{suffix}"))
    return (float(parse_memory_mib(digits + suffix)) if value else 0.0), scale


def _time(size: str, sign: int) -> Amount:
    value = 0.0 if _ZERO.fullmatch(size) else parse_duration_s(size)
    decimals, unit = _PART.findall(size)[-1]
    step = parse_duration_s(f"1{unit or 's'}") / 10 ** len(decimals)
    return Amount(sign * value, value, value + step, f"{'-' if sign < 0 else ''}{size}{'' if unit else 's'}")
