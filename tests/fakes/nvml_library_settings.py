"""The calls of the Python-backed driver library that read and set power, clocks, compute mode and persistence."""

from __future__ import annotations

import ctypes

import pynvml
from fakes.nvml_library_base import Code, Handles, known, write

COMPUTE_MODES = {
    "default": pynvml.NVML_COMPUTEMODE_DEFAULT,
    "exclusive-process": pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS,
    "prohibited": pynvml.NVML_COMPUTEMODE_PROHIBITED,
}


class SettingsCalls(Handles):
    """Reads and changes what is set on a whole GPU."""

    def _nvmlDeviceGetPowerManagementLimit(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, round(known(self._whole(handle).power_limit_w) * 1000))

    def _nvmlDeviceGetPowerManagementLimitConstraints(self, handle: int, low: int, high: int) -> None:
        kind = self._whole(handle).kind
        write(ctypes.c_uint, low, round(known(kind.power_limit_min_w) * 1000))
        write(ctypes.c_uint, high, round(known(kind.power_limit_w) * 1000))

    def _nvmlDeviceGetPowerManagementDefaultLimit(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, round(known(self._whole(handle).kind.power_limit_w) * 1000))

    def _nvmlDeviceSetPowerManagementLimit(self, handle: int, milliwatts: int) -> None:
        self._changing("nvmlDeviceSetPowerManagementLimit")
        self._whole(handle).change_settings(power_limit_w=milliwatts / 1000)

    def _nvmlDeviceSetGpuLockedClocks(self, handle: int, low: int, high: int) -> None:
        self._changing("nvmlDeviceSetGpuLockedClocks")
        self._whole(handle).change_settings(sm_clock_min_mhz=low, sm_clock_max_mhz=high)

    def _nvmlDeviceResetGpuLockedClocks(self, handle: int) -> None:
        self._changing("nvmlDeviceResetGpuLockedClocks")
        self._whole(handle).change_settings(sm_clock_min_mhz=0, sm_clock_max_mhz=0)

    def _nvmlDeviceGetComputeMode(self, handle: int, out: int) -> None:
        gpu = self._whole(handle)
        if gpu.mig_enabled:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        write(ctypes.c_uint, out, COMPUTE_MODES[gpu.settings.compute_mode])

    def _nvmlDeviceSetComputeMode(self, handle: int, mode: int) -> None:
        self._changing("nvmlDeviceSetComputeMode")
        words = {number: word for word, number in COMPUTE_MODES.items()}
        if mode not in words:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        self._whole(handle).change_settings(compute_mode=words[mode])

    def _nvmlDeviceGetPersistenceMode(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, int(self._whole(handle).settings.persistence))

    def _nvmlDeviceSetPersistenceMode(self, handle: int, on: int) -> None:
        self._changing("nvmlDeviceSetPersistenceMode")
        self._whole(handle).change_settings(persistence=bool(on))
