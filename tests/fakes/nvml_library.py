"""NVML as ctypes callbacks over `GpuModel`, put under the real nvidia-ml-py in this process.

    with installed(NvmlLibrary([gpu])) as library:
        pynvml.nvmlInit()
        ...

The binding's own code runs: size probes, struct versions, text conversion, error classes. `without` drops symbols, as
older drivers lack them; `fail` plans errors; `block` makes a call last until it is let go. What is not modelled is
absent, and what the model does not tell is NOT_SUPPORTED.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml
from fakes.nvml_library_base import GPU, MIG, Code, known, write, write_text
from fakes.nvml_library_calls import SIGNATURES, TYPES
from fakes.nvml_library_gpm import GpmCalls
from fakes.nvml_library_links import LinkCalls
from fakes.nvml_library_mig import MigCalls
from fakes.nvml_library_processes import ProcessCalls
from fakes.nvml_library_sensors import SensorCalls
from fakes.nvml_library_settings import SettingsCalls
from fakes.nvml_sensors import Sensors

from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess, GpuRefusal, Readings

_MIB = 1 << 20

_FAULT_CODES = {
    FaultKind.LOST: pynvml.NVML_ERROR_GPU_IS_LOST,
    FaultKind.NEEDS_RESET: pynvml.NVML_ERROR_RESET_REQUIRED,
    FaultKind.NO_PERMISSION: pynvml.NVML_ERROR_NO_PERMISSION,
}
_REFUSAL_CODES = {
    "not supported": pynvml.NVML_ERROR_NOT_SUPPORTED,
    "invalid argument": pynvml.NVML_ERROR_INVALID_ARGUMENT,
    "insufficient resources": pynvml.NVML_ERROR_INSUFFICIENT_RESOURCES,
    "in use": pynvml.NVML_ERROR_IN_USE,
    "not found": pynvml.NVML_ERROR_NOT_FOUND,
}
_ERROR_TEXTS = {
    pynvml.NVML_ERROR_IN_USE: "In use by another client",
    pynvml.NVML_ERROR_INSUFFICIENT_RESOURCES: "Insufficient Resources",
}
_IDENTITY = frozenset({"nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetIndex", "nvmlDeviceGetMinorNumber"})
"""Answered from a cache by drivers: what a sick GPU, unless lost, still tells."""


@dataclass
class _Planned:
    """An error that a function answers for a while."""

    code: int
    after: int
    times: int | None


class NvmlLibrary(MigCalls, SettingsCalls, SensorCalls, LinkCalls, GpmCalls, ProcessCalls):
    """What nvidia-ml-py takes for the loaded library.

    Args:
        gpus: by index; changed through the library or by the test, at any time.
        driver: driver version.
        without: functions that this driver lacks.
        privileged: whether this process may change anything.
        sensors: what each GPU tells beside its load, by UUID.
        long_processes: whether lists of processes have the longer records of some R535 drivers.
    """

    def __init__(
        self,
        gpus: Sequence[GpuModel],
        *,
        driver: str = "570.133.20",
        without: Iterable[str] = (),
        privileged: bool = True,
        sensors: Mapping[str, Sensors] | None = None,
        long_processes: bool = False,
    ) -> None:
        self.gpus = list(gpus)
        self.sensors = dict(sensors or {})
        self.long_processes = long_processes
        self.load: dict[str, Readings] = {}
        """By UUID: what is told of the load in place of what the model has."""
        self.lost_after: dict[str, int] = {}
        """By UUID: after so many more calls about it, the GPU is lost."""
        self.arriving: dict[str, list[list[GpuProcess]]] = {}
        """By UUID: processes that begin just after a program asked how many there are, one list for each time."""
        self.samples: dict[int, Any] = {}
        """GPM samples that were allotted and not given back."""
        self.registered = list(self.gpus)
        """Every GPU there was, by the number in its handles."""
        self.driver = driver
        self.privileged = privileged
        self.at_s = 0.0
        """Time of the readings."""
        self.faults: dict[int, FaultKind] = {}
        """What is wrong with GPUs, by index; HUNG is done by `block`."""
        self.opened_by_others: set[int] = set()
        """Indices of GPUs that another program has open."""
        self.passed_through: set[int] = set()
        """Indices of GPUs in a virtual machine, which cannot be reset from inside."""
        self.changed: list[str] = []
        """Names of the functions called that change something, in order."""
        self.calls: dict[str, int] = {}
        """How often each function was called."""
        self._without = frozenset(without)
        self.inits = 0
        """How often the library is open."""
        self._planned: dict[str, _Planned] = {}
        self._blocked: dict[str, threading.Event] = {}
        self._hung: dict[str, threading.Event] = {}
        self._functions: dict[str, Any] = {}

    def fail(self, function: str, code: int, *, after: int = 0, times: int | None = None) -> None:
        """Let a function answer `code` after that many more calls, that many times (None: for ever)."""
        self._planned[function] = _Planned(code, after, times)

    def block(self, function: str) -> threading.Event:
        """Make a function wait until the event returned is set."""
        return self._blocked.setdefault(function, threading.Event())

    def hang(self, uuid: str) -> threading.Event:
        """Make every call about a GPU wait until the event returned is set."""
        return self._hung.setdefault(uuid, threading.Event())

    def __getattr__(self, name: str) -> Any:
        """The function as ctypes sees it; raises AttributeError like a library without that symbol."""
        if name == "nvmlErrorString":
            return _error_string
        if name not in SIGNATURES or name in self._without:
            raise AttributeError(f"undefined symbol: {name}")
        if name not in self._functions:
            types = [TYPES[letter] for letter in SIGNATURES[name]]
            self._functions[name] = ctypes.CFUNCTYPE(ctypes.c_int, *types)(self._callback(name))
        return self._functions[name]

    def _callback(self, name: str) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self._blocked:
                self._blocked[name].wait()
            try:
                self._check(name, arguments)
                getattr(self, "_" + name)(*arguments)
            except Code as answer:
                return answer.code
            except GpuRefusal as refusal:
                return _REFUSAL_CODES[refusal.reason]
            return int(pynvml.NVML_SUCCESS)

        return call

    def _check(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self.inits and not name.startswith("nvmlInit"):
            raise Code(pynvml.NVML_ERROR_UNINITIALIZED)
        planned = self._planned.get(name)
        if planned is not None:
            if planned.after > 0:
                planned.after -= 1
            elif planned.times != 0:
                planned.times = None if planned.times is None else planned.times - 1
                raise Code(planned.code)
        if SIGNATURES[name].startswith("h"):
            gpu = self._gpu(arguments[0])
            self._suffer(gpu)
            fault = self.faults.get(gpu.index)
            if fault is not None and (fault is FaultKind.LOST or name not in _IDENTITY):
                raise Code(_FAULT_CODES[fault])

    def _suffer(self, gpu: GpuModel) -> None:
        if gpu.uuid in self._hung:
            self._hung[gpu.uuid].wait()
        left = self.lost_after.get(gpu.uuid)
        if left is None:
            return
        if left <= 0:
            raise Code(pynvml.NVML_ERROR_GPU_IS_LOST)
        self.lost_after[gpu.uuid] = left - 1

    # ---- start

    def _nvmlInitWithFlags(self, _flags: int) -> None:
        self.inits += 1

    def _nvmlInit_v2(self) -> None:
        self.inits += 1

    def _nvmlShutdown(self) -> None:
        self.inits -= 1

    def _nvmlSystemGetNVMLVersion(self, out: int, length: int) -> None:
        write_text(out, length, "12." + self.driver)

    def _nvmlSystemGetDriverVersion(self, out: int, length: int) -> None:
        write_text(out, length, self.driver)

    # ---- inventory

    def _nvmlDeviceGetCount_v2(self, out: int) -> None:
        write(ctypes.c_uint, out, len(self.gpus))

    def _nvmlDeviceGetHandleByIndex_v2(self, index: int, out: int) -> None:
        if index >= len(self.gpus):
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        gpu = self.gpus[index]
        if self.faults.get(index) is FaultKind.LOST or self.lost_after.get(gpu.uuid) == 0:
            raise Code(pynvml.NVML_ERROR_GPU_IS_LOST)
        write(ctypes.c_void_p, out, GPU | self._number(gpu))

    def _nvmlDeviceGetHandleByUUID(self, uuid: bytes, out: int) -> None:
        for gpu in self.gpus:
            names = {gpu.uuid: GPU | self._number(gpu)}
            names.update({each.uuid: MIG | each.gi << 8 | self._number(gpu) for each in gpu.mig_devices})
            if uuid.decode() in names:
                write(ctypes.c_void_p, out, names[uuid.decode()])
                return
        raise Code(pynvml.NVML_ERROR_NOT_FOUND)

    def _nvmlDeviceGetName(self, handle: int, out: int, length: int) -> None:
        instance = self._instance(handle)
        part = "" if instance is None else f" MIG {instance.profile.name}"
        write_text(out, length, self._gpu(handle).kind.product + part)

    def _nvmlDeviceGetUUID(self, handle: int, out: int, length: int) -> None:
        instance = self._instance(handle)
        write_text(out, length, self._gpu(handle).uuid if instance is None else instance.uuid)

    def _nvmlDeviceGetIndex(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, self._gpu(handle).index)

    def _nvmlDeviceGetMinorNumber(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, self._whole(handle).index)

    def _nvmlDeviceGetArchitecture(self, handle: int, out: int) -> None:
        name = f"NVML_DEVICE_ARCH_{self._gpu(handle).kind.generation.upper()}"
        write(ctypes.c_uint, out, getattr(pynvml, name))

    def _nvmlDeviceGetPciInfo_v3(self, handle: int, out: int) -> None:
        gpu = self._whole(handle)
        info = pynvml.nvmlPciInfo_t.from_address(out)
        info.bus = gpu.index + 1
        info.busId = self._pci_bus_id(gpu).encode()

    # ---- readings

    def _nvmlDeviceGetMemoryInfo(self, handle: int, out: int) -> None:
        gpu, instance = self._gpu(handle), self._instance(handle)
        total = gpu.kind.memory_total_mib if instance is None else instance.profile.memory_mib
        used = gpu.memory_used_mib(None if instance is None else instance.uuid)
        if instance is None and gpu.uuid in self.load:
            used = self.load[gpu.uuid].memory_used_mib
        memory = out if isinstance(out, pynvml.c_nvmlMemory_v2_t) else pynvml.c_nvmlMemory_t.from_address(out)
        memory.total, memory.used, memory.free = total * _MIB, used * _MIB, max(0, total - used) * _MIB

    def _nvmlDeviceGetMemoryInfo_v2(self, handle: int, out: int) -> None:
        memory = pynvml.c_nvmlMemory_v2_t.from_address(out)
        if memory.version != pynvml.nvmlMemory_v2:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        self._nvmlDeviceGetMemoryInfo(handle, memory)

    def _nvmlDeviceGetUtilizationRates(self, handle: int, out: int) -> None:
        readings = self._load(handle)
        rates = pynvml.c_nvmlUtilization_t.from_address(out)
        rates.gpu = round(known(readings.gpu_utilization_ratio) * 100)
        rates.memory = round(known(readings.memory_utilization_ratio) * 100)

    def _nvmlDeviceGetPowerUsage(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, round(known(self._load(handle).power_w) * 1000))

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle: int, out: int) -> None:
        self._nvmlDeviceGetPowerManagementLimit(handle, out)

    # ---- load

    def _nvmlDeviceGetTemperature(self, handle: int, _sensor: int, out: int) -> None:
        write(ctypes.c_uint, out, self._load(handle).temperature_c)

    def _nvmlDeviceGetTemperatureV(self, handle: int, out: int) -> None:
        reading = pynvml.c_nvmlTemperature_v1_t.from_address(out)
        if reading.version != pynvml.nvmlTemperature_v1:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        reading.temperature = self._load(handle).temperature_c

    def _nvmlDeviceGetClockInfo(self, handle: int, clock: int, out: int) -> None:
        if clock == pynvml.NVML_CLOCK_MEM:
            write(ctypes.c_uint, out, round(known(self._sensors(handle).memory_clock_mhz)))
        elif clock in (pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_SM):
            write(ctypes.c_uint, out, round(known(self._load(handle).sm_clock_mhz)))
        else:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)


@contextmanager
def installed(library: NvmlLibrary) -> Iterator[NvmlLibrary]:
    """Let nvidia-ml-py use this library; its two private names are put back afterwards."""
    before, cached = pynvml.nvmlLib, dict(pynvml._nvmlGetFunctionPointer_cache)
    pynvml.nvmlLib = library
    pynvml._nvmlGetFunctionPointer_cache.clear()
    try:
        yield library
    finally:
        pynvml.nvmlLib = before
        pynvml._nvmlGetFunctionPointer_cache.clear()
        pynvml._nvmlGetFunctionPointer_cache.update(cached)


def _error_string(code: int) -> bytes:
    return _ERROR_TEXTS.get(code, f"NVML code {code}").encode()
