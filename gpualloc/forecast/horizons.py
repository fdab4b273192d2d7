"""The horizons that forecasts are made and scored at."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.errors import UsageError

USUAL_S = {
    "5m": 300.0,
    "15m": 900.0,
    "30m": 1800.0,
    "1h": 3600.0,
    "2h": 7200.0,
    "6h": 21600.0,
    "12h": 43200.0,
    "24h": 86400.0,
}
"""Seconds by what people call them."""
LONGEST_S = USUAL_S["24h"]


class Horizon(Struct, frozen=True):
    """How far ahead."""

    name: str
    seconds: float
    ticks: int
    """On a grid, at least 1: the nearest tick."""


def up_to(longest_s: float, step_s: float) -> tuple[Horizon, ...]:
    """The usual horizons up to one, those left out that are shorter than three quarters of a tick.

    Args:
        longest_s: the longest, s.
        step_s: seconds between ticks.

    Raises:
        UsageError: none is left, or the longest is above `LONGEST_S`.
    """
    if longest_s > LONGEST_S:
        raise UsageError(f"a horizon of {longest_s / 3600:g} h is out of range", hint="24h at most")
    found = tuple(
        Horizon(name, seconds, max(1, round(seconds / step_s)))
        for name, seconds in USUAL_S.items()
        if 0.75 * step_s <= seconds <= longest_s
    )
    if not found:
        raise UsageError(
            f"no horizon is left up to {longest_s:g} s of series with a value every {step_s:g} s",
            hint=f"horizons are {', '.join(USUAL_S)}, and one step of the series at least",
        )
    return found
