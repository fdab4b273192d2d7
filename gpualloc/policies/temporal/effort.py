"""How much a search may do: by counted work, so that equal problems have equal answers, and until a deadline."""

from __future__ import annotations

from collections.abc import Callable


class Effort:
    """What a search has done, and whether it has to end.

    Args:
        most: numbers that may be looked at.
        deadline: reading of the clock at which to end; None: none.
        clock: seconds; needed with a deadline.
    """

    def __init__(self, most: int, deadline: float | None = None, clock: Callable[[], float] | None = None) -> None:
        if deadline is not None and clock is None:
            raise ValueError("a deadline needs a clock")
        self._most, self._deadline, self._clock = most, deadline, clock
        self._done = 0
        self.late = False
        """Whether the deadline has ended the search."""

    def add(self, numbers: int) -> None:
        """So many numbers are looked at."""
        self._done += numbers

    def spent(self) -> bool:
        """Whether it is over."""
        if self._deadline is not None and self._clock is not None and self._clock() >= self._deadline:
            self.late = True
        return self.late or self._done >= self._most
