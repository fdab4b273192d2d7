"""The clock on the wall."""

from __future__ import annotations

import time


class WallClock:
    """`ports.Clock` over the system's own time."""

    def now_s(self) -> float:
        """Epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Block for that many seconds."""
        time.sleep(seconds)
