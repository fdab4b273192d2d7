"""A tiny driver library: ctypes callbacks under the real nvidia-ml-py."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pynvml
import pytest

MIB = 1 << 20
NUMBERS = ("index", "length", "sensor", "flags")
"""Parameters that are passed by value; all others are pointers."""


class TinyLibrary:
    """`gpus` dicts of readings; a function that is not defined here is FUNCTION_NOT_FOUND, like an old driver.

    Each dict may hold `error` (code of every call) and `gate` (an Event that handle lookups wait for).
    """

    def __init__(self, count: int) -> None:
        self.gpus: list[dict] = [
            {"uuid": f"GPU-{index:08d}-0000-0000-0000-000000000000", "used": (index + 1) * 100}
            for index in range(count)
        ]
        self.init_code = 0
        self._functions: dict[str, object] = {}

    def __getattr__(self, name: str) -> object:
        method = getattr(type(self), f"call_{name}", None)
        if method is None:
            raise AttributeError(name)
        if name not in self._functions:
            parameters = method.__code__.co_varnames[1 : method.__code__.co_argcount]
            kinds = [ctypes.c_uint if name in NUMBERS else ctypes.c_void_p for name in parameters]
            kind = ctypes.CFUNCTYPE(ctypes.c_int, *kinds)
            self._functions[name] = kind(lambda *args: method(self, *args))
        return self._functions[name]

    def _gpu(self, handle: int) -> dict:
        return self.gpus[handle - 1]

    def _put(self, handle: int, pointer: int, kind: type, key: str, default: int | None = None) -> int:
        gpu = self._gpu(handle)
        if gpu.get("gate"):
            gpu["gate"].wait()
        if gpu.get("error"):
            return gpu["error"]
        value = gpu.get(key, default)
        if value is None:
            return pynvml.NVML_ERROR_NOT_SUPPORTED
        kind.from_address(pointer).value = value
        return 0

    def _text(self, pointer: int, text: str) -> int:
        ctypes.memmove(pointer, text.encode() + b"\0", len(text) + 1)
        return 0

    def call_nvmlInitWithFlags(self, flags):
        return self.init_code

    def call_nvmlInit_v2(self):
        return self.init_code

    def call_nvmlDeviceGetCount_v2(self, pointer):
        ctypes.c_uint.from_address(pointer).value = len(self.gpus)
        return 0

    def call_nvmlSystemGetDriverVersion(self, pointer, length):
        return self._text(pointer, "535.104.05")

    def call_nvmlSystemGetNVMLVersion(self, pointer, length):
        return self._text(pointer, "12.535.104.05")

    def call_nvmlDeviceGetHandleByIndex_v2(self, index, pointer):
        gpu = self.gpus[index]
        if gpu.get("gate"):
            gpu["gate"].wait()
        if gpu.get("error"):
            return gpu["error"]
        ctypes.c_void_p.from_address(pointer).value = index + 1
        return 0

    def call_nvmlDeviceGetUUID(self, handle, pointer, length):
        return self._text(pointer, self._gpu(handle)["uuid"])

    def call_nvmlDeviceGetName(self, handle, pointer, length):
        return self._text(pointer, self._gpu(handle).get("name", "NVIDIA Tiny"))

    def call_nvmlDeviceGetMinorNumber(self, handle, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "minor", 3)

    def call_nvmlDeviceGetMemoryInfo(self, handle, pointer):
        code = self._put(handle, pointer, ctypes.c_ulonglong, "total", 1000 * MIB)
        if code == 0:
            ctypes.c_ulonglong.from_address(pointer + 16).value = self._gpu(handle)["used"] * MIB
        return code

    def call_nvmlDeviceGetUtilizationRates(self, handle, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "utilization")

    def call_nvmlDeviceGetPowerUsage(self, handle, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "power_mw", 150500)

    def call_nvmlDeviceGetTemperature(self, handle, sensor, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "temperature", 40)

    def call_nvmlDeviceGetMigMode(self, handle, current, pending):
        code = self._put(handle, current, ctypes.c_uint, "mig")
        return code or self._put(handle, pending, ctypes.c_uint, "mig")

    def call_nvmlDeviceGetMaxMigDeviceCount(self, handle, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "mig_slots", 7)

    def call_nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index, pointer):
        instance = self._gpu(handle).get("instances", {}).get(index)
        if instance is None:
            return pynvml.NVML_ERROR_NOT_FOUND
        if instance not in self.gpus:
            self.gpus.append(instance)
        ctypes.c_void_p.from_address(pointer).value = self.gpus.index(instance) + 1
        return 0

    def call_nvmlDeviceGetGpuInstanceId(self, handle, pointer):
        return self._put(handle, pointer, ctypes.c_uint, "id")

    def call_nvmlDeviceGetGpuInstanceById(self, handle, index, pointer):
        found = next(number for number, gpu in enumerate(self.gpus) if gpu.get("id") == index)
        ctypes.c_void_p.from_address(pointer).value = found + 1
        return self._gpu(found + 1).get("place_error", 0)

    def call_nvmlGpuInstanceGetInfo(self, handle, pointer):
        info = pynvml.c_nvmlGpuInstanceInfo_t.from_address(pointer)
        info.placement.start, info.placement.size = self._gpu(handle)["place"]
        return 0

    def call_nvmlDeviceGetComputeRunningProcesses_v2(self, handle, count, pointer):
        gpu = self._gpu(handle)
        if gpu.get("error"):
            return gpu["error"]
        entries = gpu.get("processes", [])
        ctypes.c_uint.from_address(count).value = len(entries)
        if not entries:
            return 0
        if not pointer:
            return pynvml.NVML_ERROR_INSUFFICIENT_SIZE
        for row, (pid, used) in zip(
            (pynvml.c_nvmlProcessInfo_v2_t * len(entries)).from_address(pointer), entries, strict=True
        ):
            row.pid, row.usedGpuMemory = pid, used
        return 0


@pytest.fixture
def tiny_nvml(monkeypatch: pytest.MonkeyPatch) -> Iterator[TinyLibrary]:
    """Four GPUs under the real binding; whatever hangs is let go at the end."""
    library = TinyLibrary(4)
    monkeypatch.setattr(pynvml, "nvmlLib", library)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    yield library
    for gpu in library.gpus:
        if gpu.get("gate"):
            gpu["gate"].set()
