"""Where in time the dashboard is: live, or at a moment of what is stored; pure."""

from __future__ import annotations

import math
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.errors import NotFoundError
from gpualloc.tui.text import age_text, date_time_text

Span = tuple[float, float]
"""Epoch seconds of the oldest and the newest moment that is stored."""

IN_A_ROW_S = 0.8
"""Presses of a key that follow each other within that time are in a row."""
_GROWS_AFTER = 10
"""So many presses in a row make the stride larger."""


class Stride(Enum):
    """How far a step goes; the value is seconds."""

    TICK = None
    """To the next moment of which anything is stored; how far that is, is known only where it is stored."""
    MINUTE = 60.0
    TEN_MINUTES = 600.0
    HOUR = 3600.0
    DAY = 86_400.0


_GROWING = (Stride.MINUTE, Stride.TEN_MINUTES, Stride.HOUR, Stride.DAY)


class Presses(Struct, frozen=True):
    """How often the key for a large step was pressed in a row: whoever holds it goes faster and faster."""

    direction: int = 0
    count: int = 0
    last_s: float = -math.inf
    """Ticks."""

    def pressed(self, direction: int, ticks_s: float) -> Presses:
        """Once more: -1 is back, 1 is forth."""
        goes_on = direction == self.direction and ticks_s - self.last_s <= IN_A_ROW_S
        return Presses(direction, self.count + 1 if goes_on else 1, ticks_s)

    @property
    def stride(self) -> Stride:
        """How far the press that was last goes."""
        return _GROWING[min(max(0, self.count - 1) // _GROWS_AFTER, len(_GROWING) - 1)]


class Timeline(Struct, frozen=True):
    """A place in time, never outside of what is stored."""

    span: Span | None = None
    """None: nothing is stored."""
    at_s: float | None = None
    """Epoch seconds; None is live."""

    @property
    def live(self) -> bool:
        """Whether it is now."""
        return self.at_s is None

    @property
    def edge(self) -> str | None:
        """Which end of what is stored it is at, in a word; None when at none."""
        if self.at_s is None or self.span is None:
            return None
        return "oldest" if self.at_s <= self.span[0] else "newest" if self.at_s >= self.span[1] else None

    def known(self, span: Span | None) -> Timeline:
        """With what is stored by now: it grows at one end, and is forgotten at the other."""
        return replace(self, span=span)._at(self.at_s)

    def to(self, at_s: float | None) -> Timeline:
        """At that moment, or the nearest end of what is stored; None is live.

        Raises:
            NotFoundError: nothing is stored.
        """
        if at_s is not None and self.span is None:
            raise NotFoundError("nothing is stored yet", hint="`gpualloc sample --every 10s` remembers what is seen")
        return self._at(at_s)

    def by(self, seconds: float) -> Timeline:
        """So much later, or earlier when below 0; from live it is counted from the newest moment that is stored.

        Beyond that moment it is live again.

        Raises:
            NotFoundError: nothing is stored.
        """
        if self.span is None:
            return self.to(0.0)
        at_s = (self.span[1] if self.at_s is None else self.at_s) + seconds
        return self.to(None if at_s > self.span[1] else at_s)

    def words(self, now_s: float, *, recorded: bool = False) -> str:
        """What stands in the banner; empty when it is live.

        `PAST 2026-11-20 14:30:10, 2h ago`; in a recording, whose end stands for now, `2h before its end`.
        """
        if self.at_s is None:
            return ""
        if recorded and self.span is not None:
            ago = f", {age_text(self.span[1] - self.at_s)} before its end" if self.edge != "newest" else ""
            end = {"oldest": ", its beginning", "newest": ", its end", None: ""}[self.edge]
            return f"PAST {date_time_text(self.at_s)}{ago}{end}"
        end = f", {self.edge} stored" if self.edge else ""
        return f"PAST {date_time_text(self.at_s)}, {age_text(max(0.0, now_s - self.at_s))} ago{end}"

    def _at(self, at_s: float | None) -> Timeline:
        if at_s is None or self.span is None:
            return replace(self, at_s=None)
        return replace(self, at_s=min(max(at_s, self.span[0]), self.span[1]))
