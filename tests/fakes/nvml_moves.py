"""Changes of MIG instances through nvidia-ml-py as short moves, for sequences that two fakes must answer alike.

Each answers a number or a list, or the name of the error.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import pynvml

Move = Callable[..., Any]


def _answering(move: Move) -> Move:
    @wraps(move)
    def answer(*arguments: Any) -> Any:
        try:
            return move(*arguments)
        except pynvml.NVMLError as error:
            return type(error).__name__

    return answer


@_answering
def make(index: int, profile: int, start: int) -> int:
    """Make a GPU instance; its id."""
    place = pynvml.c_nvmlGpuInstancePlacement_t(start=start, size=0)
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    made = pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(device, profile, ctypes.byref(place))
    return int(pynvml.nvmlGpuInstanceGetInfo(made).id)


@_answering
def finish(index: int, gi: int, profile: int) -> int:
    """Make a compute instance by the index of its profile."""
    found = pynvml.nvmlDeviceGetGpuInstanceById(pynvml.nvmlDeviceGetHandleByIndex(index), gi)
    number = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(found, profile, 0).id
    pynvml.nvmlGpuInstanceCreateComputeInstance(found, number)
    return 0


@_answering
def strip(index: int, gi: int) -> int:
    """Remove the compute instances; how many there were."""
    found = pynvml.nvmlDeviceGetGpuInstanceById(pynvml.nvmlDeviceGetHandleByIndex(index), gi)
    removed = 0
    for profile in range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
        room, count = (pynvml.c_nvmlComputeInstance_t * 8)(), ctypes.c_uint()
        pynvml.nvmlGpuInstanceGetComputeInstances(found, profile, room, ctypes.byref(count))
        for compute in room[: count.value]:
            pynvml.nvmlComputeInstanceDestroy(compute)
            removed += 1
    return removed


@_answering
def drop(index: int, gi: int) -> int:
    """Remove a GPU instance."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    pynvml.nvmlGpuInstanceDestroy(pynvml.nvmlDeviceGetGpuInstanceById(device, gi))
    return 0


@_answering
def switch(index: int, mode: int) -> list[int]:
    """Ask for MIG mode; the activation code and the two modes."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    activation = pynvml.nvmlDeviceSetMigMode(device, mode)
    return [activation, *pynvml.nvmlDeviceGetMigMode(device)]


@_answering
def capacity(index: int, profile: int) -> int:
    """How many more instances of a profile could be made."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    return int(pynvml.nvmlDeviceGetGpuInstanceRemainingCapacity(device, profile))


@_answering
def devices(index: int) -> list[str]:
    """UUIDs of the MIG devices in their order."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    found = []
    for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(device)):
        try:
            mig = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(device, number)
        except pynvml.NVMLError_NotFound:
            continue
        found.append(pynvml.nvmlDeviceGetUUID(mig))
    return found


@_answering
def compute_profiles(index: int, gi: int) -> list[list[int]]:
    """Index, slices, count and SMs of each compute-instance profile of a GPU instance."""
    found = pynvml.nvmlDeviceGetGpuInstanceById(pynvml.nvmlDeviceGetHandleByIndex(index), gi)
    told = []
    for number in range(pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT):
        try:
            info = pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(found, number, 0)
        except pynvml.NVMLError_NotSupported:
            continue
        told.append([number, info.sliceCount, info.instanceCount, info.multiprocessorCount])
    return told


@_answering
def limit(index: int, milliwatts: int) -> int:
    """Set the power limit; what it is then."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    pynvml.nvmlDeviceSetPowerManagementLimit(device, milliwatts)
    return int(pynvml.nvmlDeviceGetPowerManagementLimit(device))


@_answering
def compute_mode(index: int, mode: int) -> int:
    """Set the compute mode; what it is then."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    pynvml.nvmlDeviceSetComputeMode(device, mode)
    return int(pynvml.nvmlDeviceGetComputeMode(device))


@_answering
def persistence(index: int, on: int) -> int:
    """Set persistence; what it is then."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    pynvml.nvmlDeviceSetPersistenceMode(device, on)
    return int(pynvml.nvmlDeviceGetPersistenceMode(device))


@_answering
def clocks(index: int, low: int, high: int) -> int:
    """Lock the clocks, or with 0 and 0 unlock them."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    if (low, high) == (0, 0):
        pynvml.nvmlDeviceResetGpuLockedClocks(device)
    else:
        pynvml.nvmlDeviceSetGpuLockedClocks(device, low, high)
    return 0


def answered(expression: str, names: dict[str, Any]) -> Any:
    """What an expression gives with those names, or the error as JSON has it."""
    try:
        return eval(expression, names)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as error:
        return {"error": type(error).__name__}


@_answering
def fields(index: int, asked: Sequence[Any]) -> list[list[int]]:
    """Code, type and value of each field of a batch."""
    told = pynvml.nvmlDeviceGetFieldValues(pynvml.nvmlDeviceGetHandleByIndex(index), asked)
    whole = pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG
    return [
        [one.nvmlReturn]
        if one.nvmlReturn
        else [0, one.valueType, one.value.ullVal if one.valueType == whole else one.value.uiVal]
        for one in told
    ]


@_answering
def gpm(index: int, gi: int | None, apart_s: float = 0.11) -> list[list[float]]:
    """Code and value of each metric between two samples; one of the metrics does not exist."""
    device = pynvml.nvmlDeviceGetHandleByIndex(index)
    samples = []
    try:
        for _ in range(2):
            samples.append(pynvml.nvmlGpmSampleAlloc())
            if gi is None:
                pynvml.nvmlGpmSampleGet(device, samples[-1])
            else:
                pynvml.nvmlGpmMigSampleGet(device, gi, samples[-1])
            time.sleep(apart_s)
        wanted = pynvml.c_nvmlGpmMetricsGet_t()
        wanted.version, wanted.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, 5
        wanted.sample1, wanted.sample2 = samples
        for place, number in enumerate((2, 3, 5, 10, 99)):
            wanted.metrics[place].metricId = number
        pynvml.nvmlGpmMetricsGet(wanted)
        return [[one.nvmlReturn, one.value] for one in wanted.metrics[:5]]
    finally:
        for sample in samples:
            pynvml.nvmlGpmSampleFree(sample)
