"""How much a search may do: by counted work, so that equal problems have equal answers, and until a deadline."""

from __future__ import annotations

from collections.abc import Callable


class Effort:
    """What a search has done, and whether it has to end.

    Args:
        most: numbers that may be looked at.
        deadline: reading of the clock at which to end; None: none.
        clock: seconds; needed with a deadline.
        tell: told how many percent of them were looked at, when that changes.

    Raises:
        ValueError: there is a deadline and no clock.
    """

    def __init__(
        self,
        most: int,
        deadline: float | None = None,
        clock: Callable[[], float] | None = None,
        tell: Callable[[int], None] | None = None,
    ) -> None:
        if deadline is not None and clock is None:
            raise ValueError("a deadline needs a clock")
        self._most, self._deadline, self._clock, self._tell = most, deadline, clock, tell
        self._done = 0
        self.late = False
        """Whether the deadline has ended the search."""

    def add(self, numbers: int) -> None:
        """So many numbers are looked at."""
        before, self._done = self._done, self._done + numbers
        if self._tell is not None and 100 * before // self._most != 100 * self._done // self._most:
            self._tell(min(100, 100 * self._done // self._most))

    def spent(self) -> bool:
        """Whether it is over."""
        if self._deadline is not None and self._clock is not None and self._clock() >= self._deadline:
            self.late = True
        return self.late or self._done >= self._most
