"""What the dashboard itself costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import psutil


@dataclass(frozen=True, slots=True)
class Cost:
    """Use of the head node's CPU and memory by this process."""

    cpu_ratio: float | None
    """CPU seconds per second since the last measurement, 1 is one core; None at the first."""
    rss_mib: int


class CostMeter(Protocol):
    """Measures what the dashboard costs."""

    def measure(self) -> Cost:
        """The cost since the last call."""
        ...


class ProcessCostMeter:
    """Measures this process through psutil."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent(None)
        self._measured = False

    def measure(self) -> Cost:
        """The cost since the last call; CPU is None at the first, whose window is too short to mean anything."""
        percent = self._process.cpu_percent(None)
        cpu_ratio = percent / 100 if self._measured else None
        self._measured = True
        return Cost(cpu_ratio, self._process.memory_info().rss >> 20)
