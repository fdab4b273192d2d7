"""What the dashboard itself costs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


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
    """Measures this process as the kernel counts it; its children are not in it."""

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None
        """When it was measured last, and how much CPU time had gone by then, in seconds."""

    def measure(self) -> Cost:
        """The cost since the last call; CPU is None at the first, before which there is nothing to measure from."""
        now_s, cpu_s = time.monotonic(), time.process_time()
        before, self._before = self._before, (now_s, cpu_s)
        passed_s = 0.0 if before is None else now_s - before[0]
        cpu_ratio = None if before is None or passed_s <= 0 else (cpu_s - before[1]) / passed_s
        return Cost(cpu_ratio, _resident_bytes() >> 20)


def _resident_bytes() -> int:
    # The second number is what is resident, in pages.
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
