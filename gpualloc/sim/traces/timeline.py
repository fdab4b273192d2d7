"""Mean values over equal parts of a time, of something that stays the same between events."""

from __future__ import annotations


class Timeline:
    """Adds up what holds for how long.

    Args:
        ends_s: where the time ends; it begins at 0. What lies beyond is passed over.
        parts: into how many equal parts it is divided, 1 or more.
    """

    def __init__(self, ends_s: float, parts: int) -> None:
        self._width_s = ends_s / parts
        self._sums = [0.0] * parts

    def hold(self, from_s: float, to_s: float, value: float) -> None:
        """Note that the value held from one moment to another."""
        if not self._width_s or not value:
            return
        part = int(from_s / self._width_s)
        while part < len(self._sums) and from_s < to_s:
            until_s = min(to_s, (part + 1) * self._width_s)
            self._sums[part] += value * max(0.0, until_s - from_s)
            from_s, part = until_s, part + 1

    def means(self) -> tuple[float, ...]:
        """The mean of each part; 0 throughout when the time has no length."""
        return tuple(total / self._width_s if self._width_s else 0.0 for total in self._sums)
