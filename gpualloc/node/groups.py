"""Groups of readings: what is read together, how often at most, and what was read of each last."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.reading import Reading

EVERY_S: "dict[str, float | None]" = {
    "count": 0.5,
    "opening": None,
    "mode": 0.5,
    "constants": 3600.0,
    "board": 3600.0,
    "peers": 3600.0,
    "settings": 10.0,
    "memory": None,
    "utilization": None,
    "power": None,
    "power limit": 10.0,
    "temperature": None,
    "clocks": None,
    "counters": None,
    "activity": 0.1,
    "instances": None,
    "processes": None,
    "process utilization": None,
    "ecc": 10.0,
    "pcie link": 10.0,
    "pcie throughput": 10.0,
    "nvlink": 10.0,
}
"""Seconds for which what was read of a group stands; None is read at each look."""


class Kept:
    """What was read last of each group of one opened GPU, until it is due again."""

    def __init__(self) -> None:
        self._pieces: "dict[str, tuple[Reading, float]]" = {}

    def piece(self, group: str, read: "Callable[[], Reading]") -> "Reading":
        """What was read of the group, read now if it is due. What failed, or waits for a second look, is due again."""
        every_s = EVERY_S[group]
        now_s = time.monotonic()
        if group in self._pieces and every_s is not None:
            piece, at_s = self._pieces[group]
            if now_s - at_s < every_s and piece.lasting:
                return piece
        piece = read()
        self._pieces[group] = piece, now_s
        return piece

    def drop(self, group: str) -> None:
        """Let the group be due."""
        self._pieces.pop(group, None)

    def forget(self) -> None:
        """Let every group be due: something was changed."""
        self._pieces = {}


class Pace:
    """When a group that is kept elsewhere is due."""

    def __init__(self, group: str) -> None:
        self._every_s = EVERY_S[group] or 0.0
        self._at_s = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is due; it then counts as read now."""
        now_s = time.monotonic()
        if now_s - self._at_s < self._every_s:
            return False
        self._at_s = now_s
        return True
