"""When a clock of the kernel stood at 0, in epoch seconds: by it a time since the boot becomes a date."""

import time

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", 7)  # named from Python 3.7 on
_STEP_S = 0.1
"""A wall clock that differs by more was stepped; below that it is the noise of reading two clocks."""
_READINGS = 5


class Epoch:
    """The moment at which one clock stood at 0: the same at every look, until the wall clock is stepped.

    Slewing moves both clocks alike, so that only a step moves this moment; it is then told by the new wall clock.

    Args:
        clock: number of the clock, as `time.CLOCK_MONOTONIC`.
    """

    def __init__(self, clock: int) -> None:
        self._clock = clock
        self._at_s: "float | None" = None

    def at_s(self) -> float:
        """Epoch seconds."""
        now_s = self._read()
        if self._at_s is None or abs(now_s - self._at_s) > _STEP_S:
            self._at_s = now_s
        return self._at_s

    def _read(self) -> float:
        """From the reading between whose halves the least time passed."""
        readings = []
        for _ in range(_READINGS):
            before_s = time.clock_gettime(self._clock)
            wall_s = time.time()
            after_s = time.clock_gettime(self._clock)
            readings.append((after_s - before_s, wall_s - (before_s + after_s) / 2))
        return min(readings)[1]


BOOT = Epoch(_BOOTTIME)
"""When this host was booted; processes tell their start from here."""
LOG = Epoch(time.CLOCK_MONOTONIC)
"""Where the time stamps of the kernel log begin: as `BOOT`, but the log's clock stands still in suspension."""


def since_boot_s() -> float:
    """Seconds since the boot by the clock that start times of processes are told in."""
    return time.clock_gettime(_BOOTTIME)
