"""The MIG profiles of a GPU, asked of its driver: no geometry is known here."""

import ctypes
import re
from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LAST_INDEX = 64
"""No driver has so many profiles: the end of the search, should one never say that there are no more."""
_ENGINES = (
    ("copy", "copyEngineCount"),
    ("nvdec", "decoderCount"),
    ("nvenc", "encoderCount"),
    ("nvjpg", "jpegCount"),
    ("ofa", "ofaCount"),
)
_EXTENDED = re.compile(r"\+me\b")
_ENDINGS = {7: "+me", 8: "+me"}
"""Endings of names by the number of the profile in the enumeration, for drivers that do not tell names."""


def of_device(device: Any, total_mib: int) -> "list[dict[str, Any]]":
    """Every profile of a GPU with so much memory, with its places, as `mig_profiles` of docs/wire.md; raises NVMLError.

    By slices, then size; the list is the same whether or not MIG mode is on, and whatever instances there are.
    """
    rows: "list[dict[str, Any]]" = []
    for index, info in _described(lambda index, version: _device_info(device, index, version)):
        places = _places(device, info.id)
        if not places:
            continue
        name = _name(info, index, total_mib)
        rows.append(
            {
                "name": name,
                "id": info.id,
                "slices": info.sliceCount,
                "size": places[0][1],
                "starts": sorted(start for start, _ in places),
                "memory_mib": info.memorySizeMB,
                "sm_count": info.multiprocessorCount,
                "max_count": info.instanceCount,
                "engines": {engine: getattr(info, field) for engine, field in _ENGINES},
                "media_extension": bool(_EXTENDED.search(name)),
            }
        )
    return sorted(rows, key=lambda row: (row["slices"], row["size"]))


def of_instance(instance: Any) -> "list[Any]":
    """Every compute-instance profile of a GPU instance as the driver describes it; raises NVMLError."""
    return [info for _, info in _described(lambda index, version: _instance_info(instance, index, version))]


def whole(instance: Any) -> Any:
    """The compute-instance profile that takes all of a GPU instance; raises NVMLError, which says why there is none."""
    found = of_instance(instance)
    if not found:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return max(found, key=lambda info: (info.sliceCount, info.multiprocessorCount, -info.instanceCount))


def _described(ask: "Callable[[int, int], Any]") -> "Iterator[tuple[int, Any]]":
    """Number and description of each profile: some are left out by a GPU, and an invalid number ends the list."""
    version = 2
    index = 0
    while index < _LAST_INDEX:
        try:
            yield index, ask(index, version)
        except pynvml.NVMLError_NotSupported:
            pass
        except pynvml.NVMLError_InvalidArgument:
            return
        except pynvml.NVMLError_FunctionNotFound:
            if version == 1:
                raise
            version = 1
            continue
        index += 1


def _device_info(device: Any, index: int, version: int) -> Any:
    return pynvml.nvmlDeviceGetGpuInstanceProfileInfo(device, index, version=version)


def _instance_info(instance: Any, index: int, version: int) -> Any:
    shared = pynvml.NVML_COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED
    return pynvml.nvmlGpuInstanceGetComputeInstanceProfileInfo(instance, index, shared, version=version)


def _places(device: Any, profile_id: int) -> "list[tuple[int, int]]":
    """Start and size of every place of a profile, taken or not."""
    count = ctypes.c_uint(0)
    pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, None, ctypes.byref(count))
    places = (pynvml.c_nvmlGpuInstancePlacement_t * count.value)()
    if count.value:
        pynvml.nvmlDeviceGetGpuInstancePossiblePlacements(device, profile_id, places, ctypes.byref(count))
    return [(place.start, place.size) for place in places[: count.value]]


def _name(info: Any, index: int, total_mib: int) -> str:
    """As the driver tells it, else built as the driver builds them: slices, eighths of the memory in GB, an ending."""
    # Bytes or text, by the version of nvidia-ml-py; version 1 of the description has none.
    told: "bytes | str" = getattr(info, "name", "")
    text = told.decode("ascii", "replace") if isinstance(told, bytes) else told
    if text:
        return text.replace("MIG ", "")
    eighths = -(-info.memorySizeMB * 8 // total_mib)
    memory_gb = int(eighths / 8 * -(-total_mib // 1024) + 0.5)
    return "%dg.%dgb%s" % (info.sliceCount, memory_gb, _ENDINGS.get(index, ""))
