"""Sizes, durations and counts as people type them, turned into the numbers the model holds.

The model holds memory in MiB, time in seconds and ratios in 0..1; text with units lives in `views`.
"""

from __future__ import annotations

import math
import re

from gpualloc.errors import UsageError

MAX_MEMORY_MIB = 1 << 40
"""Largest size accepted, in MiB (one EiB): anything above is a typing error."""

MAX_DURATION_S = 366 * 24 * 3600.0
"""Longest duration accepted, in seconds (a year and a day)."""

_MIB_PER_UNIT = {
    "b": 1 / (1 << 20),
    "kb": 1000 / (1 << 20),
    "mb": 1000**2 / (1 << 20),
    "gb": 1000**3 / (1 << 20),
    "tb": 1000**4 / (1 << 20),
    "kib": 1 / 1024,
    "mib": 1.0,
    "gib": 1024.0,
    "tib": 1024.0**2,
    "k": 1 / 1024,
    "m": 1.0,
    "g": 1024.0,
    "t": 1024.0**2,
}
_SECONDS_PER_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE | re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|[smhdw])", re.IGNORECASE | re.ASCII)


def parse_memory_mib(text: str) -> int:
    """Turn "20GiB", "512M" or "1.5 TiB" into whole MiB, rounded up; a unit is required.

    One-letter units are binary, as in cgroups and Slurm.

    Raises:
        UsageError: no number, no known unit, zero, negative, or above `MAX_MEMORY_MIB`.
    """
    match = _SIZE.fullmatch(text)
    if match is None or match[2].lower() not in _MIB_PER_UNIT:
        raise UsageError(
            f"{text!r} is not a size", hint="write a positive number with its unit, such as 512MiB or 20GiB"
        )
    mib = float(match[1]) * _MIB_PER_UNIT[match[2].lower()]
    if not 0 < mib <= MAX_MEMORY_MIB:
        raise UsageError(f"{text!r} is not a usable size", hint="a size is more than 0 and at most 1EiB")
    return -int(-mib // 1)


def parse_duration_s(text: str) -> float:
    """Turn "90s", "4h", "1h30m" or "250ms" into seconds; a plain number counts as seconds.

    Raises:
        UsageError: not a duration, zero, negative, or above `MAX_DURATION_S`.
    """
    stripped = text.strip()
    parts = _DURATION_PART.findall(stripped)
    if re.fullmatch(r"\d+(?:\.\d+)?", stripped):
        seconds = float(stripped)
    elif parts and _DURATION_PART.sub("", stripped).strip() == "":
        seconds = sum(float(number) * _SECONDS_PER_UNIT[unit.lower()] for number, unit in parts)
    else:
        raise UsageError(f"{text!r} is not a duration", hint="write 90s, 15m, 4h, 1h30m or 2d")
    if not 0 < seconds <= MAX_DURATION_S:
        raise UsageError(f"{text!r} is not a usable duration", hint="a duration is more than 0 and at most 366d")
    return seconds


def whole_number(flag: str, text: str) -> int:
    """A whole number.

    Raises:
        UsageError: names the flag and the text.
    """
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a whole number") from error


def number(flag: str, text: str) -> float:
    """A finite number.

    Raises:
        UsageError: names the flag and the text.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a number") from error
    if not math.isfinite(value):
        raise UsageError(f"{flag} {text!r} is not a usable number")
    return value
