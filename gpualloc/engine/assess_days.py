"""Figures by day, and how far they can be trusted: days drawn again and again. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from gpualloc.model.assessment import Span

LEAST_DAYS = 3
"""With fewer days, each known at least half as well as the best, no spread is told."""
_DRAWS = 1000
_LOW, _HIGH = 0.05, 0.95


class Daily:
    """A cautious and a hopeful figure for each day."""

    def __init__(self, days: int) -> None:
        self.low = [0.0] * days
        self.high = [0.0] * days

    def add(self, day: int, low: float, high: float) -> None:
        """Add to both figures of a day."""
        self.low[day] += low
        self.high[day] += high

    def at_least_cautious(self) -> None:
        """Let no hopeful figure be below the cautious one, whose way is open to it as well."""
        self.high = [max(low, high) for low, high in zip(self.low, self.high, strict=True)]

    def within(self, most: Sequence[float]) -> None:
        """Let no figure of a day be above that day's."""
        self.high = [min(value, limit) for value, limit in zip(self.high, most, strict=True)]
        self.low = [min(value, limit) for value, limit in zip(self.low, self.high, strict=True)]

    @property
    def span(self) -> Span:
        """Of all days together."""
        return Span(sum(self.low), sum(self.high))


def a_week(daily: Daily, known_h: Sequence[float], week_h: float, seed: int) -> Span | None:
    """What a whole week would come to if it were like the time that is known.

    Both figures are told by the hour that is known, so that days of which little is known count little.

    Args:
        daily: the figures.
        known_h: hours that are known, by day.
        week_h: hours of a week.
        seed: of the draws.

    Returns:
        from the 5 % point of the cautious figure to the 95 % point of the hopeful one; None with too few days.
    """
    if sum(1 for hours in known_h if hours > 0 and hours >= max(known_h) / 2) < LEAST_DAYS:
        return None
    days = [day for day, hours in enumerate(known_h) if hours > 0]
    drawn = random.Random(seed)  # noqa: S311  nothing secret is drawn
    lows, highs = [], []
    for _ in range(_DRAWS):
        chosen = drawn.choices(days, k=len(days))
        hours = sum(known_h[day] for day in chosen)
        lows.append(sum(daily.low[day] for day in chosen) / hours * week_h)
        highs.append(sum(daily.high[day] for day in chosen) / hours * week_h)
    return Span(sorted(lows)[int(_LOW * _DRAWS)], sorted(highs)[int(_HIGH * _DRAWS) - 1])
