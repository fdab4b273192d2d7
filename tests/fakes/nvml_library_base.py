"""What the parts of the Python-backed driver library share: codes, handles, writing into a caller's memory."""

from __future__ import annotations

import ctypes
from typing import Any

import pynvml
from fakes.nvml_sensors import NOTHING, Sensors

from gpualloc.sim.gpu import GpuModel, Instance, Readings

GPU, MIG, GI, CI = 0x1000, 0x2000, 0x4000, 0x8000
"""What a handle names, beside the number of the GPU and the id of the GPU instance."""


class Code(Exception):
    """A return code other than success."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Handles:
    """Numbers that name a GPU, a MIG device, a GPU instance or a compute instance, used again like a driver's.

    `changed` holds the names of the functions called that change something, in order; `privileged` is whether this
    process may change anything. A handle stays its GPU's when the GPU moves in the list, and is lost when it leaves.
    """

    gpus: list[GpuModel]
    sensors: dict[str, Sensors]
    load: dict[str, Readings]
    at_s: float
    registered: list[GpuModel]
    privileged: bool
    changed: list[str]

    def _gpu(self, handle: int | None) -> GpuModel:
        number = (handle or 0) & 0xFF
        if not handle or number >= len(self.registered):
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        found = self.registered[number]
        if all(gpu is not found for gpu in self.gpus):
            raise Code(pynvml.NVML_ERROR_GPU_IS_LOST)
        return found

    def _number(self, gpu: GpuModel) -> int:
        """By which handles name it."""
        for number, one in enumerate(self.registered):
            if one is gpu:
                return number
        self.registered.append(gpu)
        return len(self.registered) - 1

    def _sensors(self, handle: int) -> Sensors:
        return self.sensors.get(self._whole(handle).uuid, NOTHING)

    def _load(self, handle: int) -> Readings:
        gpu = self._whole(handle)
        return self.load.get(gpu.uuid) or gpu.readings(self.at_s)

    def _pci_bus_id(self, gpu: GpuModel) -> str:
        told = self.sensors.get(gpu.uuid, NOTHING).pci_bus_id
        return told or f"00000000:{gpu.index + 1:02X}:00.0"

    def _instance(self, handle: int) -> Instance | None:
        """The instance of a handle; None when it is a GPU's."""
        if handle < MIG:
            return None
        gi = (handle >> 8) & 0xF
        found = [each for each in self._gpu(handle).instances if each.gi == gi]
        if not found or (handle & (MIG | CI) and not found[0].complete):
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return found[0]

    def _whole(self, handle: int) -> GpuModel:
        if self._instance(handle) is not None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return self._gpu(handle)

    def _changing(self, function: str) -> None:
        if not self.privileged:
            raise Code(pynvml.NVML_ERROR_NO_PERMISSION)
        self.changed.append(function)


def write(kind: Any, address: int, value: int) -> None:
    """One number."""
    kind.from_address(address).value = value


def write_text(address: int, length: int, text: str) -> None:
    """A text that must fit."""
    if len(text) >= length:
        raise Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
    (ctypes.c_char * length).from_address(address).value = text.encode()


def write_handles(out: int, count: int, handles: list[int]) -> None:
    """A list that the caller has made room for; the count is only written."""
    write(ctypes.c_uint, count, len(handles))
    for position, handle in enumerate(handles):
        write(ctypes.c_void_p, out + position * ctypes.sizeof(ctypes.c_void_p), handle)


def known(value: float | None) -> float:
    """The value; what the model does not tell is not supported."""
    if value is None:
        raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return value
