"""How much each process used a GPU in the driver's last window."""

from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

_WINDOW_US = 2_000_000
"""A sample that is so much older than the newest says nothing of now."""
_ATTEMPTS = 5


class Usage:
    """Remembers until when the samples of one opened GPU were seen."""

    def __init__(self) -> None:
        self._seen_us = 0

    def read(self, driver: "Driver") -> "dict[int, float]":
        """Share of time, 0 to 1, in which kernels of a pid ran; without those of whom the driver tells nothing new."""
        newest: "dict[int, Any]" = {}
        for sample in self._samples(driver):
            if sample.pid not in newest or newest[sample.pid].timeStamp < sample.timeStamp:
                newest[sample.pid] = sample
        last_us = max([sample.timeStamp for sample in newest.values()], default=self._seen_us)
        self._seen_us = max(self._seen_us, last_us)
        return {
            pid: sample.smUtil / 100.0
            for pid, sample in newest.items()
            if sample.smUtil <= 100 and sample.timeStamp > last_us - _WINDOW_US
        }

    def _samples(self, driver: "Driver") -> "list[Any]":
        for _ in range(_ATTEMPTS):
            try:
                found: "list[Any]" = driver.ask_of(
                    driver.handle, "process utilization", "nvmlDeviceGetProcessUtilization", self._seen_us
                )
            except pynvml.NVMLError as error:
                # More processes than at the size probe: once more. Anything else: nothing new, or not for us.
                if error.value != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
                    return []
            else:
                return found
        return []
