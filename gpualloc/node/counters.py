"""Counters of the kernel, and the rates that two readings of them make."""

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MIN_WINDOW_S = 0.05
"""Ticks are 10 ms: a rate over less than this would be noise."""

MAX_WINDOW_S = 3600.0
"""A mean over more than this says nothing of how the host stands."""

_MAX_COUNTERS = 8192


class Counters:
    """Counters by name, all read at one moment.

    Args:
        at_s: that moment, monotonic; now when None.
        values: the counters; one that cannot be read is left out.
    """

    def __init__(self, values: "dict[str, int]", at_s: "float | None" = None) -> None:
        self.at_s = time.monotonic() if at_s is None else at_s
        self.values = values

    def passed(self, name: str, before: "Counters") -> "int | None":
        """By how much the counter rose; None when it is not in both, or went back, as that of a replaced device."""
        if name not in self.values or name not in before.values:
            return None
        passed = self.values[name] - before.values[name]
        return passed if passed >= 0 else None

    def rate(self, name: str, before: "Counters") -> "float | None":
        """How much the counter rose in a second; None as for `passed`, and where no time is known to have passed."""
        passed, elapsed_s = self.passed(name, before), self.at_s - before.at_s
        return None if passed is None or elapsed_s <= 0 else passed / elapsed_s

    def kept(self) -> "dict[str, Any]":
        """For a file; `from_kept` reads it back."""
        return {"at_s": self.at_s, "values": dict(list(self.values.items())[:_MAX_COUNTERS])}


def from_kept(content: Any, now_s: float) -> "Counters | None":
    """The counters that an earlier program of this boot kept; None when they are no such thing, or too old."""
    try:
        at_s, values = float(content["at_s"]), content["values"]
        fits = 0 <= now_s - at_s <= MAX_WINDOW_S and 0 < len(values) <= _MAX_COUNTERS
        return Counters({name: int(values[name]) for name in values}, at_s) if fits else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None  # another version wrote it; the next look writes it anew


def total(rates: "Iterable[float | None]") -> "float | None":
    """Sum of rates; None when there are none, or one of them is not known."""
    known = list(rates)
    return sum(rate for rate in known if rate is not None) if known and None not in known else None
