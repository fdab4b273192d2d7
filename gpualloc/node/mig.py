"""MIG instances of one GPU: enumerated by handle, told by UUID; what the driver will not say is None."""

import re
from typing import TYPE_CHECKING, Any

import pynvml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator  # novm

_MIB = 1 << 20


def handles(parent: Any) -> "Iterator[tuple[str, Any]]":
    """UUID and handle of each MIG instance; the driver's numbering may have holes."""
    try:
        highest = pynvml.nvmlDeviceGetMaxMigDeviceCount(parent)
    except pynvml.NVMLError:
        return
    for index in range(min(highest, 64)):
        try:
            handle = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
        except pynvml.NVMLError as error:
            if error.value in (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT):
                continue
            raise
        yield uuid, handle


def inventory(parent: Any) -> "list[dict[str, Any]]":
    """Each instance with its profile and place on the axis."""
    rows = []
    for uuid, handle in handles(parent):
        start, size, profile_id = _placement(parent, handle)
        total = _memory_mib(handle, "total")
        rows.append(
            {
                "uuid": uuid,
                "profile": _profile(parent, handle, profile_id),
                "start": start,
                "size": size,
                "memory_total_mib": total,
                "gpu_instance": _number(pynvml.nvmlDeviceGetGpuInstanceId, handle),
                "compute_instance": _number(pynvml.nvmlDeviceGetComputeInstanceId, handle),
            }
        )
    return rows


def sample(parent: Any) -> "list[dict[str, Any]]":
    """Each instance with the memory used in it, and the driver's number of its GPU instance."""
    return [
        {
            "uuid": uuid,
            "memory_used_mib": _memory_mib(handle, "used"),
            "gpu_instance": _number(pynvml.nvmlDeviceGetGpuInstanceId, handle),
        }
        for uuid, handle in handles(parent)
    ]


def _number(function: "Callable[[Any], int]", handle: Any) -> "int | None":
    """The driver's own number of an instance, by which its device files are found; None when it does not say."""
    try:
        return function(handle)
    except pynvml.NVMLError:
        return None


def _placement(parent: Any, handle: Any) -> "tuple[int | None, int | None, int | None]":
    """Start and size on the axis and the id of the profile; all None without the right to look."""
    try:
        instance = pynvml.nvmlDeviceGetGpuInstanceById(parent, pynvml.nvmlDeviceGetGpuInstanceId(handle))
        info = pynvml.nvmlGpuInstanceGetInfo(instance)
    except pynvml.NVMLError:
        return None, None, None
    return info.placement.start, info.placement.size, info.profileId


def _profile(parent: Any, handle: Any, profile_id: "int | None") -> str:
    """Name of the profile: from the instance's own name, the driver's table, or its attributes."""
    try:
        found = re.search(r"\bMIG (?:[0-9]+c\.)?(\S+)$", pynvml.nvmlDeviceGetName(handle))
        if found:
            return found.group(1)
    except pynvml.NVMLError:
        pass
    by_id = getattr(pynvml, "nvmlDeviceGetGpuInstanceProfileInfoById", None)
    if profile_id is not None and by_id is not None:
        try:
            # Bytes or text, by the version of nvidia-ml-py.
            name: "bytes | str" = by_id(parent, profile_id).name
            text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
            return text.replace("MIG ", "")
        except pynvml.NVMLError:
            pass
    try:
        attributes = pynvml.nvmlDeviceGetAttributes_v2(handle)
    except pynvml.NVMLError:
        return "unknown"
    return "%dg.%dgb" % (attributes.gpuInstanceSliceCount, round(attributes.memorySizeMB / 1024))


def _memory_mib(handle: Any, part: str) -> "int | None":
    try:
        mib: int = getattr(pynvml.nvmlDeviceGetMemoryInfo(handle), part) // _MIB
    except pynvml.NVMLError:
        return None
    return mib
