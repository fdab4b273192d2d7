"""GPM in the Python-backed driver library: samples that a program is allotted, fills, compares and gives back."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

import pynvml
from fakes.nvml_library_base import Code, Handles, write

_METRICS = (2, 3, 5, 10)
"""Numbers of the metrics of `Sensors.activity`, in its order."""
_LEAST_S = 0.1


@dataclass
class _Sample:
    """What a sample holds once it was filled."""

    of: tuple[int, int | None] | None = None
    at_s: float = 0.0
    percent: tuple[float, ...] = ()


class GpmCalls(Handles):
    """Tells `Sensors.activity` and `instance_activity`; `samples` are those not given back."""

    samples: dict[int, _Sample]

    def _nvmlGpmQueryDeviceSupport(self, handle: int, out: int) -> None:
        support = pynvml.c_nvmlGpmSupport_t.from_address(out)
        if support.version != pynvml.NVML_GPM_SUPPORT_VERSION:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        sensors = self._sensors(handle)
        support.isSupportedDevice = int(bool(sensors.activity or sensors.instance_activity))

    def _nvmlGpmSampleAlloc(self, out: int) -> None:
        number = max(self.samples, default=0) + 0x10
        self.samples[number] = _Sample()
        write(ctypes.c_void_p, out, number)

    def _nvmlGpmSampleFree(self, sample: int) -> None:
        self._sample(sample)
        del self.samples[sample]

    def _nvmlGpmSampleGet(self, handle: int, sample: int) -> None:
        self._fill(handle, None, self._sensors(handle).activity, sample)

    def _nvmlGpmMigSampleGet(self, handle: int, gi: int, sample: int) -> None:
        self._fill(handle, gi, dict(self._sensors(handle).instance_activity).get(gi), sample)

    def _nvmlGpmMetricsGet(self, out: int) -> None:
        asked = pynvml.c_nvmlGpmMetricsGet_t.from_address(out)
        if asked.version != pynvml.NVML_GPM_METRICS_GET_VERSION:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        first, second = (
            self._sample(ctypes.cast(each, ctypes.c_void_p).value) for each in (asked.sample1, asked.sample2)
        )
        if first.of is None or first.of != second.of or second.at_s - first.at_s < _LEAST_S:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        for metric in asked.metrics[: asked.numMetrics]:
            if metric.metricId not in _METRICS:
                metric.nvmlReturn = pynvml.NVML_ERROR_NOT_SUPPORTED
                continue
            metric.nvmlReturn = pynvml.NVML_SUCCESS
            metric.value = second.percent[_METRICS.index(metric.metricId)]

    def _sample(self, number: int | None) -> _Sample:
        if number not in self.samples:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.samples[number]

    def _fill(self, handle: int, gi: int | None, percent: tuple[float, ...] | None, sample: int) -> None:
        if percent is None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        kept = self._sample(sample)
        kept.of, kept.at_s, kept.percent = (self._number(self._gpu(handle)), gi), time.monotonic(), percent
