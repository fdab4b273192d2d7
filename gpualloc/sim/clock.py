"""Virtual time: wall time, faster or slower, from an anchor on."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class VirtualClock(Struct, frozen=True):
    """Simulated time as a function of wall time. Both are epoch seconds."""

    anchor_wall_s: float
    anchor_s: float
    """Simulated time at the anchor."""
    speed: float = 1.0
    """Simulated seconds per wall second, above 0."""

    def at(self, wall_s: float) -> float:
        """Simulated time at that wall time; stands still while the wall clock is set back behind the anchor."""
        return self.anchor_s + max(0.0, wall_s - self.anchor_wall_s) * self.speed

    def with_speed(self, speed: float, wall_s: float) -> VirtualClock:
        """The same clock running at another speed from now on, without a jump."""
        return self if speed == self.speed else VirtualClock(wall_s, self.at(wall_s), speed)

    def to_plain(self) -> dict[str, float]:
        """As plain JSON."""
        return {"anchor_wall_s": self.anchor_wall_s, "anchor_s": self.anchor_s, "speed": self.speed}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> VirtualClock:
        """From plain JSON; raises KeyError, TypeError, ValueError."""
        return cls(float(plain["anchor_wall_s"]), float(plain["anchor_s"]), float(plain["speed"]))
