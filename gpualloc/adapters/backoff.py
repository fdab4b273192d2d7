"""How long to leave a node alone that keeps failing."""

from __future__ import annotations

from gpualloc.adapters.link import Failure


class BackOff:
    """Doubles the pause after each failure in a row, up to a ceiling; the first one after an answer costs no pause.

    Args:
        first_s: shortest pause, seconds.
        ceiling_s: longest pause, seconds.
    """

    def __init__(self, first_s: float = 0.5, ceiling_s: float = 30.0) -> None:
        self._first_s = first_s
        self._ceiling_s = ceiling_s
        self._pause_s = 0.0
        self._until_s = 0.0
        self._failure: Failure | None = None
        self._answered = False
        self._failures = 0

    def failed(self, failure: Failure, now_s: float) -> None:
        """Note a failure at `now_s` on the monotonic clock."""
        self._failures += 1
        if self._answered:
            self._answered = False
            return
        self._pause_s = min(self._ceiling_s, 2 * self._pause_s or self._first_s)
        self._until_s = now_s + self._pause_s
        self._failure = failure

    def succeeded(self) -> None:
        """Note that the node answered."""
        self._failures = 0
        self._pause_s = 0.0
        self._failure = None
        self._answered = True

    @property
    def count(self) -> int:
        """Failures since the last answer."""
        return self._failures

    def left_s(self, now_s: float) -> float:
        """What is left of the pause, 0 when the node may be tried."""
        return max(0.0, self._until_s - now_s)

    def pending(self, now_s: float) -> Failure | None:
        """The last failure while the pause after it lasts; None when the node may be tried."""
        return self._failure if now_s < self._until_s else None
