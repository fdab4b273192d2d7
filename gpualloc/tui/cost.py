"""What the dashboard itself costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    import psutil


_LOOK_FOR_CHILDREN = 10
"""Only each so many measurements it is looked for new children: that goes through all processes of the machine."""


class Cost(Struct, frozen=True):
    """Use of this machine by the dashboard and what it started, such as the node program and ssh."""

    cpu_ratio: float | None
    """CPU seconds per second since the last measurement, 1 is one core; None at the first."""
    rss_mib: int | None
    """None before the first measurement."""
    received_bytes_per_s: float | None = None
    """What nodes told, over the time since the last measurement; None at the first, and where nobody counts it."""


NOT_MEASURED = Cost(None, None)


class CostMeter(Protocol):
    """Measures what the dashboard costs."""

    @property
    def first(self) -> Cost:
        """What is told before the first measurement."""
        ...

    def measure(self, received_bytes: int | None) -> Cost:
        """The cost since the last call, given how much was received in all."""
        ...


class ProcessCostMeter:
    """Measures this process and its children through psutil."""

    first = NOT_MEASURED

    def __init__(self) -> None:
        self._measurements = 0
        self._processes: list[psutil.Process] = []
        self._received: tuple[float, int] | None = None

    def measure(self, received_bytes: int | None) -> Cost:
        """The cost since the last call; CPU is None at the first, whose window is too short to mean anything."""
        import psutil  # It takes a while, and the first drawing should not wait for it.

        if not self._processes:
            self._processes = [psutil.Process()]
        first = self._measurements == 0
        if self._measurements % _LOOK_FOR_CHILDREN == 1:
            self._look_for_children()
        self._measurements += 1
        percent, rss = 0.0, 0
        for process in tuple(self._processes):
            try:
                percent += process.cpu_percent(None)
                rss += process.memory_info().rss
            except psutil.Error:
                self._processes.remove(process)
        return Cost(None if first else percent / 100, rss >> 20, self._rate(received_bytes))

    def _look_for_children(self) -> None:
        own = self._processes[0]
        known = {process.pid for process in self._processes}
        self._processes += [process for process in own.children(recursive=True) if process.pid not in known]

    def _rate(self, received_bytes: int | None) -> float | None:
        before, now_s = self._received, time.monotonic()
        self._received = None if received_bytes is None else (now_s, received_bytes)
        if before is None or received_bytes is None or now_s <= before[0]:
            return None
        return max(0, received_bytes - before[1]) / (now_s - before[0])
