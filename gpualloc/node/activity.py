"""Real use of a GPU and of its MIG instances from the GPU's own counters (GPM): Hopper and later.

A figure is the mean between two samples of the counters, which must be at least 100 ms apart. The driver allots the
samples; they are given back with `Activity.close`.
"""

import time
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node.reading import Reading

if TYPE_CHECKING:
    from gpualloc.node.driver import Driver

_MIN_WINDOW_S = 0.1
_METRICS = {"sm_active_ratio": 2, "sm_occupancy_ratio": 3, "tensor_active_ratio": 5, "dram_active_ratio": 10}
"""The driver's number of each; it tells percent."""

FIELDS = tuple(_METRICS)


class Activity:
    """The samples of one opened GPU: of the whole (key None) or of GPU instances, by their number."""

    def __init__(self) -> None:
        self.supported: "bool | None" = None
        """Whether the GPU has such counters; None before it was asked."""
        self._samples: "dict[int | None, tuple[Any, float]]" = {}
        self._spare: "list[Any]" = []

    def read(self, driver: "Driver", instance: "int | None" = None) -> "Reading":
        """`activity` since the look before; `not yet` at the first.

        Args:
            driver: of the whole GPU.
            instance: number of a GPU instance; None for the whole GPU.
        """
        piece = Reading()
        try:
            if not self._is_supported(driver):
                return _missed(piece, "not supported")
            return self._since_before(piece, driver, instance)
        except pynvml.NVMLError as error:
            for name in _METRICS:
                piece.failed("activity." + name, error)
            return piece

    def keep_only(self, instances: "list[int | None]") -> None:
        """Give back the samples of GPU instances that are gone."""
        for gone in [key for key in self._samples if key is not None and key not in instances]:
            self._spare.append(self._samples.pop(gone)[0])

    def close(self) -> None:
        """Give all samples back to the driver."""
        for sample in [kept for kept, _ in self._samples.values()] + self._spare:
            try:
                pynvml.nvmlGpmSampleFree(sample)
            except pynvml.NVMLError:
                pass  # the library is not in use any more
        self._samples, self._spare = {}, []

    def _is_supported(self, driver: "Driver") -> bool:
        if self.supported is None:
            self.supported = bool(driver.ask("activity", "nvmlGpmQueryDeviceSupport").isSupportedDevice)
        return self.supported

    def _since_before(self, piece: "Reading", driver: "Driver", instance: "int | None") -> "Reading":
        before, before_s = self._samples.get(instance, (None, 0.0))
        if before is not None and time.monotonic() - before_s < _MIN_WINDOW_S:
            return _missed(piece, "not yet")
        now = self._spare.pop() if self._spare else pynvml.nvmlGpmSampleAlloc()
        try:
            driver.ask_of(driver.handle, "activity", _sampled, now, instance)
        except pynvml.NVMLError:
            self._spare.append(now)
            raise
        self._samples[instance] = now, time.monotonic()
        if before is None:
            return _missed(piece, "not yet")
        self._spare.append(before)
        told = driver.ask_of(None, "activity", _between, before, now)
        for name, number in _METRICS.items():
            piece.number("activity." + name, lambda m=told[number]: _ratio(m), 0, 1)  # type: ignore[misc]
        return piece


def _missed(piece: "Reading", reason: str) -> "Reading":
    for name in _METRICS:
        piece.miss("activity." + name, reason)
    return piece


def _sampled(handle: Any, sample: Any, instance: "int | None") -> None:
    if instance is None:
        pynvml.nvmlGpmSampleGet(handle, sample)
    else:
        pynvml.nvmlGpmMigSampleGet(handle, instance, sample)


def _between(_handle: None, before: Any, now: Any) -> "dict[int, Any]":
    """Each metric by its number, from two samples."""
    asked = pynvml.c_nvmlGpmMetricsGet_t()
    asked.version = pynvml.NVML_GPM_METRICS_GET_VERSION
    asked.numMetrics = len(_METRICS)
    asked.sample1, asked.sample2 = before, now
    for place, number in enumerate(_METRICS.values()):
        asked.metrics[place].metricId = number
    pynvml.nvmlGpmMetricsGet(asked)
    return {asked.metrics[place].metricId: asked.metrics[place] for place in range(len(_METRICS))}


def _ratio(metric: Any) -> float:
    if metric.nvmlReturn != pynvml.NVML_SUCCESS:
        raise pynvml.NVMLError(metric.nvmlReturn)
    return float(metric.value / 100.0)
