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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pynvml

from gpualloc.sim.catalog import MigProfile, compute_profiles
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuRefusal, Instance

_GPU, _MIG, _GI, _CI = 0x1000, 0x2000, 0x4000, 0x8000
_ALL = 0xFFFFFFFF
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
_COMPUTE_MODES = {
    "default": pynvml.NVML_COMPUTEMODE_DEFAULT,
    "exclusive-process": pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS,
    "prohibited": pynvml.NVML_COMPUTEMODE_PROHIBITED,
}
_TYPES = {"h": ctypes.c_void_p, "u": ctypes.c_uint, "o": ctypes.c_void_p, "s": ctypes.c_char_p, "i": ctypes.c_int}

_SIGNATURES = {
    "nvmlInit_v2": "",
    "nvmlInitWithFlags": "u",
    "nvmlShutdown": "",
    "nvmlSystemGetDriverVersion": "ou",
    "nvmlSystemGetNVMLVersion": "ou",
    "nvmlDeviceGetCount_v2": "o",
    "nvmlDeviceGetHandleByIndex_v2": "uo",
    "nvmlDeviceGetHandleByUUID": "so",
    "nvmlDeviceGetName": "hou",
    "nvmlDeviceGetUUID": "hou",
    "nvmlDeviceGetIndex": "ho",
    "nvmlDeviceGetMinorNumber": "ho",
    "nvmlDeviceGetArchitecture": "ho",
    "nvmlDeviceGetPciInfo_v3": "ho",
    "nvmlDeviceGetMemoryInfo": "ho",
    "nvmlDeviceGetMemoryInfo_v2": "ho",
    "nvmlDeviceGetUtilizationRates": "ho",
    "nvmlDeviceGetPowerUsage": "ho",
    "nvmlDeviceGetEnforcedPowerLimit": "ho",
    "nvmlDeviceGetPowerManagementLimit": "ho",
    "nvmlDeviceGetPowerManagementLimitConstraints": "hoo",
    "nvmlDeviceGetPowerManagementDefaultLimit": "ho",
    "nvmlDeviceSetPowerManagementLimit": "hu",
    "nvmlDeviceSetGpuLockedClocks": "huu",
    "nvmlDeviceResetGpuLockedClocks": "h",
    "nvmlDeviceGetComputeMode": "ho",
    "nvmlDeviceSetComputeMode": "hu",
    "nvmlDeviceGetPersistenceMode": "ho",
    "nvmlDeviceSetPersistenceMode": "hu",
    "nvmlDeviceGetTemperature": "huo",
    "nvmlDeviceGetTemperatureV": "ho",
    "nvmlDeviceGetClockInfo": "huo",
    "nvmlDeviceGetComputeRunningProcesses_v2": "hoo",
    "nvmlDeviceGetComputeRunningProcesses_v3": "hoo",
    "nvmlDeviceGetMigMode": "hoo",
    "nvmlDeviceSetMigMode": "huo",
    "nvmlDeviceGetMaxMigDeviceCount": "ho",
    "nvmlDeviceGetMigDeviceHandleByIndex": "huo",
    "nvmlDeviceIsMigDeviceHandle": "ho",
    "nvmlDeviceGetDeviceHandleFromMigDeviceHandle": "ho",
    "nvmlDeviceGetGpuInstanceId": "ho",
    "nvmlDeviceGetGpuInstanceProfileInfo": "huo",
    "nvmlDeviceGetGpuInstanceProfileInfoV": "huo",
    "nvmlDeviceGetGpuInstancePossiblePlacements_v2": "huoo",
    "nvmlDeviceGetGpuInstanceRemainingCapacity": "huo",
    "nvmlDeviceGetGpuInstanceById": "huo",
    "nvmlGpuInstanceGetInfo": "ho",
    "nvmlDeviceCreateGpuInstance": "huo",
    "nvmlDeviceCreateGpuInstanceWithPlacement": "huoo",
    "nvmlGpuInstanceDestroy": "h",
    "nvmlDeviceGetGpuInstances": "huoo",
    "nvmlGpuInstanceGetComputeInstanceProfileInfo": "huuo",
    "nvmlGpuInstanceGetComputeInstanceProfileInfoV": "huuo",
    "nvmlGpuInstanceCreateComputeInstance": "huo",
    "nvmlGpuInstanceGetComputeInstances": "huoo",
    "nvmlComputeInstanceDestroy": "h",
}
"""Every modelled function and its arguments: h handle, u unsigned, o pointer to write to, s text."""

_IDENTITY = frozenset({"nvmlDeviceGetName", "nvmlDeviceGetUUID", "nvmlDeviceGetIndex", "nvmlDeviceGetMinorNumber"})
"""Answered from a cache by drivers: what a sick GPU, unless lost, still tells."""


class _Code(Exception):
    """A return code other than success."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Planned:
    """An error that a function answers for a while."""

    code: int
    after: int
    times: int | None


class NvmlLibrary:
    """What nvidia-ml-py takes for the loaded library.

    Args:
        gpus: by index; changed through the library or by the test, at any time.
        driver: driver version.
        without: functions that this driver lacks.
        privileged: whether this process may change anything.
    """

    def __init__(
        self,
        gpus: Sequence[GpuModel],
        *,
        driver: str = "570.133.20",
        without: Iterable[str] = (),
        privileged: bool = True,
    ) -> None:
        self.gpus = list(gpus)
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
        self._functions: dict[str, Any] = {}

    def fail(self, function: str, code: int, *, after: int = 0, times: int | None = None) -> None:
        """Let a function answer `code` after that many more calls, that many times (None: for ever)."""
        self._planned[function] = _Planned(code, after, times)

    def block(self, function: str) -> threading.Event:
        """Make a function wait until the event returned is set."""
        return self._blocked.setdefault(function, threading.Event())

    def __getattr__(self, name: str) -> Any:
        """The function as ctypes sees it; raises AttributeError like a library without that symbol."""
        if name == "nvmlErrorString":
            return _error_string
        if name not in _SIGNATURES or name in self._without:
            raise AttributeError(f"undefined symbol: {name}")
        if name not in self._functions:
            types = [_TYPES[letter] for letter in _SIGNATURES[name]]
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
            except _Code as answer:
                return answer.code
            except GpuRefusal as refusal:
                return _REFUSAL_CODES[refusal.reason]
            return int(pynvml.NVML_SUCCESS)

        return call

    def _check(self, name: str, arguments: tuple[Any, ...]) -> None:
        if not self.inits and not name.startswith("nvmlInit"):
            raise _Code(pynvml.NVML_ERROR_UNINITIALIZED)
        planned = self._planned.get(name)
        if planned is not None:
            if planned.after > 0:
                planned.after -= 1
            elif planned.times != 0:
                planned.times = None if planned.times is None else planned.times - 1
                raise _Code(planned.code)
        if _SIGNATURES[name].startswith("h"):
            fault = self.faults.get(self._gpu(arguments[0]).index)
            if fault is not None and (fault is FaultKind.LOST or name not in _IDENTITY):
                raise _Code(_FAULT_CODES[fault])

    # ---- handles: numbers that name a GPU, a MIG device or a GPU instance, used again like a driver's

    def _gpu(self, handle: int | None) -> GpuModel:
        index = (handle or 0) & 0xFF
        if not handle or index >= len(self.gpus):
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return self.gpus[index]

    def _instance(self, handle: int) -> Instance | None:
        """The MIG instance of a handle; None when it is a GPU's."""
        if handle < _MIG:
            return None
        gi = (handle >> 8) & 0xF
        found = [each for each in self._gpu(handle).instances if each.gi == gi]
        if not found or (handle & (_MIG | _CI) and not found[0].complete):
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return found[0]

    def _whole(self, handle: int) -> GpuModel:
        if self._instance(handle) is not None:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self._gpu(handle)

    # ---- start

    def _nvmlInitWithFlags(self, _flags: int) -> None:
        self.inits += 1

    def _nvmlInit_v2(self) -> None:
        self.inits += 1

    def _nvmlShutdown(self) -> None:
        self.inits -= 1

    def _nvmlSystemGetNVMLVersion(self, out: int, length: int) -> None:
        _write_text(out, length, "12." + self.driver)

    def _nvmlSystemGetDriverVersion(self, out: int, length: int) -> None:
        _write_text(out, length, self.driver)

    # ---- inventory

    def _nvmlDeviceGetCount_v2(self, out: int) -> None:
        _write(ctypes.c_uint, out, len(self.gpus))

    def _nvmlDeviceGetHandleByIndex_v2(self, index: int, out: int) -> None:
        if index >= len(self.gpus):
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if self.faults.get(index) is FaultKind.LOST:
            raise _Code(pynvml.NVML_ERROR_GPU_IS_LOST)
        _write(ctypes.c_void_p, out, _GPU | index)

    def _nvmlDeviceGetHandleByUUID(self, uuid: bytes, out: int) -> None:
        for gpu in self.gpus:
            names = {gpu.uuid: _GPU | gpu.index}
            names.update({each.uuid: _MIG | each.gi << 8 | gpu.index for each in gpu.mig_devices})
            if uuid.decode() in names:
                _write(ctypes.c_void_p, out, names[uuid.decode()])
                return
        raise _Code(pynvml.NVML_ERROR_NOT_FOUND)

    def _nvmlDeviceGetName(self, handle: int, out: int, length: int) -> None:
        instance = self._instance(handle)
        part = "" if instance is None else f" MIG {instance.profile.name}"
        _write_text(out, length, self._gpu(handle).kind.product + part)

    def _nvmlDeviceGetUUID(self, handle: int, out: int, length: int) -> None:
        instance = self._instance(handle)
        _write_text(out, length, self._gpu(handle).uuid if instance is None else instance.uuid)

    def _nvmlDeviceGetIndex(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, self._gpu(handle).index)

    def _nvmlDeviceGetMinorNumber(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, self._whole(handle).index)

    def _nvmlDeviceGetArchitecture(self, handle: int, out: int) -> None:
        name = f"NVML_DEVICE_ARCH_{self._gpu(handle).kind.generation.upper()}"
        _write(ctypes.c_uint, out, getattr(pynvml, name))

    def _nvmlDeviceGetPciInfo_v3(self, handle: int, out: int) -> None:
        info = pynvml.nvmlPciInfo_t.from_address(out)
        info.bus = self._whole(handle).index + 1
        info.busId = f"00000000:{info.bus:02X}:00.0".encode()

    # ---- readings

    def _nvmlDeviceGetMemoryInfo(self, handle: int, out: int) -> None:
        gpu, instance = self._gpu(handle), self._instance(handle)
        total = gpu.kind.memory_total_mib if instance is None else instance.profile.memory_mib
        used = gpu.memory_used_mib(None if instance is None else instance.uuid)
        memory = out if isinstance(out, pynvml.c_nvmlMemory_v2_t) else pynvml.c_nvmlMemory_t.from_address(out)
        memory.total, memory.used, memory.free = total * _MIB, used * _MIB, (total - used) * _MIB

    def _nvmlDeviceGetMemoryInfo_v2(self, handle: int, out: int) -> None:
        memory = pynvml.c_nvmlMemory_v2_t.from_address(out)
        if memory.version != pynvml.nvmlMemory_v2:
            raise _Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        self._nvmlDeviceGetMemoryInfo(handle, memory)

    def _nvmlDeviceGetUtilizationRates(self, handle: int, out: int) -> None:
        readings = self._whole(handle).readings(self.at_s)
        rates = pynvml.c_nvmlUtilization_t.from_address(out)
        rates.gpu = round(_known(readings.gpu_utilization_ratio) * 100)
        rates.memory = round(_known(readings.memory_utilization_ratio) * 100)

    def _nvmlDeviceGetPowerUsage(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, round(_known(self._whole(handle).readings(self.at_s).power_w) * 1000))

    def _nvmlDeviceGetEnforcedPowerLimit(self, handle: int, out: int) -> None:
        self._nvmlDeviceGetPowerManagementLimit(handle, out)

    # ---- settings

    def _nvmlDeviceGetPowerManagementLimit(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, round(_known(self._whole(handle).power_limit_w) * 1000))

    def _nvmlDeviceGetPowerManagementLimitConstraints(self, handle: int, low: int, high: int) -> None:
        kind = self._whole(handle).kind
        _write(ctypes.c_uint, low, round(_known(kind.power_limit_min_w) * 1000))
        _write(ctypes.c_uint, high, round(_known(kind.power_limit_w) * 1000))

    def _nvmlDeviceGetPowerManagementDefaultLimit(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, round(_known(self._whole(handle).kind.power_limit_w) * 1000))

    def _nvmlDeviceSetPowerManagementLimit(self, handle: int, milliwatts: int) -> None:
        self._changing("nvmlDeviceSetPowerManagementLimit")
        self._whole(handle).tune(power_limit_w=milliwatts / 1000)

    def _nvmlDeviceSetGpuLockedClocks(self, handle: int, low: int, high: int) -> None:
        self._changing("nvmlDeviceSetGpuLockedClocks")
        self._whole(handle).tune(sm_clock_min_mhz=low, sm_clock_max_mhz=high)

    def _nvmlDeviceResetGpuLockedClocks(self, handle: int) -> None:
        self._changing("nvmlDeviceResetGpuLockedClocks")
        self._whole(handle).tune(sm_clock_min_mhz=0, sm_clock_max_mhz=0)

    def _nvmlDeviceGetComputeMode(self, handle: int, out: int) -> None:
        gpu = self._whole(handle)
        if gpu.mig_enabled:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        _write(ctypes.c_uint, out, _COMPUTE_MODES[gpu.settings.compute_mode])

    def _nvmlDeviceSetComputeMode(self, handle: int, mode: int) -> None:
        self._changing("nvmlDeviceSetComputeMode")
        words = {number: word for word, number in _COMPUTE_MODES.items()}
        if mode not in words:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        self._whole(handle).tune(compute_mode=words[mode])

    def _nvmlDeviceGetPersistenceMode(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, int(self._whole(handle).settings.persistence))

    def _nvmlDeviceSetPersistenceMode(self, handle: int, on: int) -> None:
        self._changing("nvmlDeviceSetPersistenceMode")
        self._whole(handle).tune(persistence=bool(on))

    # ---- load

    def _nvmlDeviceGetTemperature(self, handle: int, _sensor: int, out: int) -> None:
        _write(ctypes.c_uint, out, self._whole(handle).readings(self.at_s).temperature_c)

    def _nvmlDeviceGetTemperatureV(self, handle: int, out: int) -> None:
        reading = pynvml.c_nvmlTemperature_v1_t.from_address(out)
        if reading.version != pynvml.nvmlTemperature_v1:
            raise _Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        reading.temperature = self._whole(handle).readings(self.at_s).temperature_c

    def _nvmlDeviceGetClockInfo(self, handle: int, clock: int, out: int) -> None:
        if clock not in (pynvml.NVML_CLOCK_GRAPHICS, pynvml.NVML_CLOCK_SM):
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        _write(ctypes.c_uint, out, round(_known(self._whole(handle).readings(self.at_s).sm_clock_mhz)))

    def _nvmlDeviceGetComputeRunningProcesses_v3(self, handle: int, count: int, out: int | None) -> None:
        gpu, wanted = self._gpu(handle), self._instance(handle)
        found = [each for each in gpu.processes if wanted is None or each.instance == wanted.uuid]
        room = ctypes.c_uint.from_address(count).value
        _write(ctypes.c_uint, count, len(found))
        if len(found) > room or (found and out is None):
            raise _Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        if out is None:
            return
        for row, process in zip((pynvml.c_nvmlProcessInfo_v3_t * room).from_address(out), found, strict=False):
            instance = gpu.instance(process.instance)
            row.pid, row.usedGpuMemory = process.pid, process.memory_mib * _MIB
            row.gpuInstanceId, row.computeInstanceId = (_ALL, _ALL) if instance is None else (instance.gi, 0)

    _nvmlDeviceGetComputeRunningProcesses_v2 = _nvmlDeviceGetComputeRunningProcesses_v3

    # ---- MIG

    def _nvmlDeviceGetMigMode(self, handle: int, current: int, pending: int) -> None:
        gpu = self._whole(handle)
        if not gpu.kind.has_mig:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        _write(ctypes.c_uint, current, int(gpu.mig_enabled))
        _write(ctypes.c_uint, pending, int(gpu.mig_pending))

    def _nvmlDeviceSetMigMode(self, handle: int, mode: int, activation: int) -> None:
        gpu = self._whole(handle)
        self._change(gpu, "nvmlDeviceSetMigMode")
        if gpu.index in self.passed_through and bool(mode) != gpu.mig_enabled:
            gpu.mig_pending = bool(mode)
            _write(ctypes.c_uint, activation, pynvml.NVML_ERROR_RESET_REQUIRED)
            return
        in_use = gpu.set_mig_mode(bool(mode), clients=gpu.index in self.opened_by_others) == "in use"
        _write(ctypes.c_uint, activation, pynvml.NVML_ERROR_IN_USE if in_use else pynvml.NVML_SUCCESS)

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: int, out: int) -> None:
        table = self._whole(handle).kind.mig
        _write(ctypes.c_uint, out, 0 if table is None else table.max_instances)

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int, out: int) -> None:
        gpu = self._whole(handle)
        if gpu.kind.mig is None or index >= gpu.kind.mig.max_instances:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if index >= len(gpu.mig_devices):
            raise _Code(pynvml.NVML_ERROR_NOT_FOUND)
        _write(ctypes.c_void_p, out, _MIG | gpu.mig_devices[index].gi << 8 | gpu.index)

    def _nvmlDeviceIsMigDeviceHandle(self, handle: int, out: int) -> None:
        _write(ctypes.c_uint, out, int(self._instance(handle) is not None))

    def _nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: int, out: int) -> None:
        _write(ctypes.c_void_p, out, _GPU | self._gpu(handle).index)

    def _nvmlDeviceGetGpuInstanceId(self, handle: int, out: int) -> None:
        instance = self._instance(handle)
        if instance is None:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        _write(ctypes.c_uint, out, instance.gi)

    def _nvmlDeviceGetGpuInstanceProfileInfo(self, handle: int, index: int, out: int) -> None:
        _describe(self._profile(handle, index), pynvml.c_nvmlGpuInstanceProfileInfo_t.from_address(out))

    def _nvmlDeviceGetGpuInstanceProfileInfoV(self, handle: int, index: int, out: int) -> None:
        info = pynvml.c_nvmlGpuInstanceProfileInfo_v2_t.from_address(out)
        if info.version != pynvml.nvmlGpuInstanceProfileInfo_v2:
            raise _Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        profile = self._profile(handle, index)
        _describe(profile, info)
        info.name = f"MIG {profile.name}".encode()

    def _nvmlDeviceGetGpuInstancePossiblePlacements_v2(
        self, handle: int, profile_id: int, out: int | None, count: int
    ) -> None:
        profile = self._profile_by_id(self._whole(handle), profile_id)
        room = ctypes.c_uint.from_address(count).value
        _write(ctypes.c_uint, count, len(profile.starts))
        if out is None:
            return
        if room < len(profile.starts):
            raise _Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        places = (pynvml.c_nvmlGpuInstancePlacement_t * room).from_address(out)
        for place, start in zip(places, profile.starts, strict=False):
            place.start, place.size = start, profile.size

    def _nvmlDeviceGetGpuInstanceRemainingCapacity(self, handle: int, profile_id: int, out: int) -> None:
        gpu = self._whole(handle)
        _write(ctypes.c_uint, out, gpu.free_instances()[self._profile_by_id(gpu, profile_id).name])

    def _nvmlDeviceGetGpuInstanceById(self, handle: int, gi: int, out: int) -> None:
        gpu = self._whole(handle)
        if all(each.gi != gi for each in gpu.instances):
            raise _Code(pynvml.NVML_ERROR_NOT_FOUND)
        _write(ctypes.c_void_p, out, _GI | gi << 8 | gpu.index)

    def _nvmlGpuInstanceGetInfo(self, handle: int, out: int) -> None:
        instance = self._instance(handle)
        if instance is None:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        info = pynvml.c_nvmlGpuInstanceInfo_t.from_address(out)
        info.id, info.profileId = instance.gi, instance.profile.id
        info.placement.start, info.placement.size = instance.start, instance.profile.size

    def _nvmlDeviceCreateGpuInstance(self, handle: int, profile_id: int, out: int) -> None:
        self._create(handle, profile_id, None, out)

    def _nvmlDeviceCreateGpuInstanceWithPlacement(self, handle: int, profile_id: int, place: int, out: int) -> None:
        self._create(handle, profile_id, pynvml.c_nvmlGpuInstancePlacement_t.from_address(place).start, out)

    def _nvmlGpuInstanceDestroy(self, handle: int) -> None:
        gpu, instance = self._gpu(handle), self._gpu_instance(handle)
        self._change(gpu, "nvmlGpuInstanceDestroy")
        if instance.complete:
            raise _Code(pynvml.NVML_ERROR_IN_USE)
        gpu.destroy_instance(instance.uuid)

    def _nvmlDeviceGetGpuInstances(self, handle: int, profile_id: int, out: int, count: int) -> None:
        gpu = self._whole(handle)
        if not gpu.mig_enabled:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if not self.privileged:
            raise _Code(pynvml.NVML_ERROR_NO_PERMISSION)
        found = [each for each in gpu.instances if each.profile.id == profile_id]
        _write_handles(out, count, [_GI | each.gi << 8 | gpu.index for each in found])

    # ---- compute instances

    def _nvmlGpuInstanceGetComputeInstanceProfileInfo(self, handle: int, index: int, engine: int, out: int) -> None:
        info = pynvml.c_nvmlComputeInstanceProfileInfo_t.from_address(out)
        self._describe_compute(handle, index, engine, info)

    def _nvmlGpuInstanceGetComputeInstanceProfileInfoV(self, handle: int, index: int, engine: int, out: int) -> None:
        info = pynvml.c_nvmlComputeInstanceProfileInfo_v2_t.from_address(out)
        if info.version != pynvml.nvmlComputeInstanceProfileInfo_v2:
            raise _Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        self._describe_compute(handle, index, engine, info)

    def _describe_compute(self, handle: int, index: int, engine: int, info: Any) -> None:
        if index >= pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT or engine != 0:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        found = [each for each in compute_profiles(self._gpu_instance(handle).profile) if each.index == index]
        if not found:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        info.id, info.sliceCount, info.instanceCount = found[0].id, found[0].slices, found[0].max_instances
        info.multiprocessorCount = found[0].sm

    def _nvmlGpuInstanceCreateComputeInstance(self, handle: int, profile_id: int, out: int) -> None:
        gpu, instance = self._gpu(handle), self._gpu_instance(handle)
        self._change(gpu, "nvmlGpuInstanceCreateComputeInstance")
        if profile_id != compute_profiles(instance.profile)[-1].id:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        gpu.complete_instance(instance.gi)
        _write(ctypes.c_void_p, out, _CI | instance.gi << 8 | gpu.index)

    def _nvmlGpuInstanceGetComputeInstances(self, handle: int, profile_id: int, out: int, count: int) -> None:
        gpu, instance = self._gpu(handle), self._gpu_instance(handle)
        whole = instance.complete and profile_id == compute_profiles(instance.profile)[-1].id
        _write_handles(out, count, [_CI | instance.gi << 8 | gpu.index] if whole else [])

    def _nvmlComputeInstanceDestroy(self, handle: int) -> None:
        gpu, instance = self._gpu(handle), self._instance(handle)
        if instance is None or not handle & _CI:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        self._change(gpu, "nvmlComputeInstanceDestroy")
        gpu.complete_instance(instance.gi, complete=False)

    def _create(self, handle: int, profile_id: int, start: int | None, out: int) -> None:
        gpu = self._whole(handle)
        self._change(gpu, "nvmlDeviceCreateGpuInstance" + ("" if start is None else "WithPlacement"))
        made = gpu.create_instance(self._profile_by_id(gpu, profile_id).name, start, complete=False)
        _write(ctypes.c_void_p, out, _GI | made.gi << 8 | gpu.index)

    def _gpu_instance(self, handle: int) -> Instance:
        instance = self._instance(handle)
        if instance is None or not handle & _GI:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return instance

    def _change(self, gpu: GpuModel, function: str) -> None:
        if gpu.kind.mig is None:
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self._changing(function)

    def _changing(self, function: str) -> None:
        if not self.privileged:
            raise _Code(pynvml.NVML_ERROR_NO_PERMISSION)
        self.changed.append(function)

    def _profile(self, handle: int, index: int) -> MigProfile:
        if index >= pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT:
            raise _Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        table = self._whole(handle).kind.mig
        found = [profile for profile in (table.profiles if table else ()) if profile.index == index]
        if not found or None in found[0].engines.values():
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return found[0]

    def _profile_by_id(self, gpu: GpuModel, number: int) -> MigProfile:
        try:
            return gpu.kind.mig.profile_by_id(number)  # type: ignore[union-attr]
        except (KeyError, AttributeError):
            raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED) from None


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


def _write(kind: Any, address: int, value: int) -> None:
    kind.from_address(address).value = value


def _write_text(address: int, length: int, text: str) -> None:
    if len(text) >= length:
        raise _Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
    (ctypes.c_char * length).from_address(address).value = text.encode()


def _write_handles(out: int, count: int, handles: list[int]) -> None:
    """A list that the caller has made room for; the count is only written."""
    _write(ctypes.c_uint, count, len(handles))
    for position, handle in enumerate(handles):
        _write(ctypes.c_void_p, out + position * ctypes.sizeof(ctypes.c_void_p), handle)


def _known(value: float | None) -> float:
    if value is None:
        raise _Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value


def _describe(profile: MigProfile, info: Any) -> None:
    info.id, info.sliceCount, info.instanceCount = profile.id, profile.slices, profile.max_instances
    info.multiprocessorCount, info.memorySizeMB = profile.sm, profile.memory_mib
    fields = ("copyEngineCount", "decoderCount", "encoderCount", "jpegCount", "ofaCount")
    for name, engine in zip(fields, profile.engines.values(), strict=True):
        setattr(info, name, engine)
