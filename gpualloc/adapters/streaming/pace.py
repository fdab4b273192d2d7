"""When a node tells of itself within a period: spread over the fleet, and never near the border of two ticks."""

from __future__ import annotations

import zlib

from msgspec import Struct

_FIRST, _SPAN = 0.15, 0.5
"""Nodes tell in this part of the period, so that what is heard a little late still belongs to its tick."""
_EARLY, _LATE = 0.04, 0.9
"""Outside of these a node has drifted too far: its clock runs by another speed than ours."""
_SPARE_S = 2.0
"""How much longer than its period a node may need: a GPU that hangs costs it its deadline once."""


class Pace(Struct, frozen=True):
    """The period of a stream, seconds, and what follows from it."""

    every_s: float

    @property
    def stale_s(self) -> float:
        """After so much silence what is known of a node is stale."""
        return 1.5 * self.every_s + _SPARE_S

    @property
    def dead_s(self) -> float:
        """After so much silence the node program is taken for hung, and replaced."""
        return max(3 * self.every_s, 10.0) + _SPARE_S

    def delay_s(self, node: str, now_s: float) -> float:
        """Seconds from `now_s` (epoch) until the node should tell next, at least half a period away."""
        place = (zlib.crc32(node.encode()) % 1000) / 1000
        due_s = now_s // self.every_s * self.every_s + (_FIRST + _SPAN * place) * self.every_s
        while due_s < now_s + self.every_s / 2:
            due_s += self.every_s
        return due_s - now_s

    def drifted(self, now_s: float) -> bool:
        """Whether something heard at `now_s` (epoch) is too near the border of two ticks."""
        phase = now_s / self.every_s % 1.0
        return not _EARLY <= phase <= _LATE
