"""The calls of the Python-backed driver library that list processes and what they use."""

from __future__ import annotations

import ctypes
from typing import Any

import pynvml
from fakes.nvml_library_base import Code, Handles, write

from gpualloc.sim.gpu import GpuProcess

_ALL = 0xFFFFFFFF
_MIB = 1 << 20


class _LongProcess(ctypes.Structure):
    """A record of a few R535 drivers, longer than that of the same version before and after."""

    _fields_ = [*pynvml.c_nvmlProcessInfo_v3_t._fields_, ("usedGpuCcProtectedMemory", ctypes.c_ulonglong)]


class ProcessCalls(Handles):
    """Tells of processes; after each question how many there are, the next of `arriving` come."""

    arriving: dict[str, list[list[GpuProcess]]]
    long_processes: bool

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: int, count: int, out: int | None) -> None:
        self._list_processes(handle, count, out, _LongProcess if self.long_processes else pynvml.c_nvmlProcessInfo_v3_t)

    def _nvmlDeviceGetComputeRunningProcesses_v2(self, handle: int, count: int, out: int | None) -> None:
        self._list_processes(handle, count, out, pynvml.c_nvmlProcessInfo_v2_t)

    def _nvmlDeviceGetGraphicsRunningProcesses_v3(self, handle: int, count: int, _out: int | None) -> None:
        self._gpu(handle)
        # No simulated process draws: an empty list is the truth here.
        write(ctypes.c_uint, count, 0)

    _nvmlDeviceGetGraphicsRunningProcesses_v2 = _nvmlDeviceGetGraphicsRunningProcesses_v3

    def _nvmlDeviceGetProcessUtilization(self, handle: int, out: int | None, count: int, seen_us: int) -> None:
        if self._whole(handle).mig_enabled:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        use = [each for each in self._sensors(handle).use if each[2] > seen_us]
        if not use:
            raise Code(pynvml.NVML_ERROR_NOT_FOUND)
        room = ctypes.c_uint.from_address(count).value
        write(ctypes.c_uint, count, len(use))
        if len(use) > room or out is None:
            raise Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        for row, (pid, percent, at_us) in zip(
            (pynvml.c_nvmlProcessUtilizationSample_t * room).from_address(out), use, strict=False
        ):
            row.pid, row.smUtil, row.timeStamp = pid, percent, at_us

    def _list_processes(self, handle: int, count: int, out: int | None, record: Any) -> None:
        gpu, wanted = self._gpu(handle), self._instance(handle)
        found = [each for each in gpu.processes if wanted is None or each.instance == wanted.uuid]
        room = ctypes.c_uint.from_address(count).value
        write(ctypes.c_uint, count, len(found))
        if out is None and self.arriving.get(gpu.uuid):
            gpu.processes.extend(self.arriving[gpu.uuid].pop(0))
        if len(found) > room or (found and out is None):
            raise Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        if out is None:
            return
        for row, process in zip((record * room).from_address(out), found, strict=False):
            instance = gpu.instance(process.instance)
            row.pid, row.usedGpuMemory = process.pid, process.memory_mib * _MIB
            row.gpuInstanceId, row.computeInstanceId = (_ALL, _ALL) if instance is None else (instance.gi, 0)
