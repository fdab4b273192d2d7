"""GPU instances on the placement axis, each with the one compute instance that takes all of it.

Calls the driver directly and raises NVMLError. GPU instances without a compute instance, left by a program that was
killed in between, are found like whole ones.
"""

import ctypes
from typing import TYPE_CHECKING, Any

import pynvml

from gpualloc.node import mig, profiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.gpu import Gpu


class Found:
    """A GPU instance: `profile` is its row of `mig_profiles`, `start` its place, `handle` and `id` the driver's."""

    def __init__(self, handle: Any, number: int, profile: "dict[str, Any]", start: int) -> None:
        self.handle = handle
        self.id = number
        self.profile = profile
        self.start = start

    @property
    def place(self) -> str:
        """Such as `2g.10gb@4`."""
        return "%s@%d" % (self.profile["name"], self.start)

    def overlaps(self, profile: "dict[str, Any]", start: int) -> bool:
        """Whether an instance of that profile at that start would share a unit of the axis with this one."""
        return start < self.start + int(self.profile["size"]) and self.start < start + int(profile["size"])


def every(gpu: "Gpu") -> "list[Found]":
    """All GPU instances of the GPU, by start."""
    device = gpu.opened()
    found = []
    for profile in gpu.profiles():
        for handle in _listed(
            lambda out, count, number=profile["id"]: pynvml.nvmlDeviceGetGpuInstances(device, number, out, count),
            pynvml.c_nvmlGpuInstance_t,
            profile["max_count"],
        ):
            info = pynvml.nvmlGpuInstanceGetInfo(handle)
            found.append(Found(handle, info.id, profile, info.placement.start))
    return sorted(found, key=lambda one: one.start)


def make(gpu: "Gpu", profile: "dict[str, Any]", start: int) -> "Found":
    """Make a GPU instance at exactly that place; its compute instance is for `complete`."""
    place = pynvml.c_nvmlGpuInstancePlacement_t(start=start, size=profile["size"])
    handle = pynvml.nvmlDeviceCreateGpuInstanceWithPlacement(gpu.opened(), profile["id"], ctypes.byref(place))
    return Found(handle, pynvml.nvmlGpuInstanceGetInfo(handle).id, profile, start)


def complete(found: "Found") -> None:
    """Give a GPU instance its compute instance."""
    pynvml.nvmlGpuInstanceCreateComputeInstance(found.handle, profiles.whole(found.handle).id)


def compute_instances(found: "Found") -> "list[tuple[int, Any]]":
    """Number of slices and handle of each compute instance."""
    return [
        (info.sliceCount, handle)
        for info in profiles.of_instance(found.handle)
        for handle in _listed(
            lambda out, count, number=info.id: pynvml.nvmlGpuInstanceGetComputeInstances(
                found.handle, number, out, count
            ),
            pynvml.c_nvmlComputeInstance_t,
            info.instanceCount,
        )
    ]


def remove(found: "Found") -> None:
    """Remove the compute instances, then the GPU instance."""
    for _, handle in compute_instances(found):
        pynvml.nvmlComputeInstanceDestroy(handle)
    pynvml.nvmlGpuInstanceDestroy(found.handle)


def mig_devices(gpu: "Gpu", found: "Found") -> "Iterator[tuple[str, Any]]":
    """UUID and handle of each MIG device on a GPU instance: one per compute instance."""
    for uuid, handle in mig.handles(gpu.opened()):
        if pynvml.nvmlDeviceGetGpuInstanceId(handle) == found.id:
            yield uuid, handle


def _listed(ask: "Any", kind: "Any", most: int) -> "list[Any]":
    """The handles that a call writes into a list which must have room for the most there can be."""
    count = ctypes.c_uint(0)
    room = (kind * max(1, most))()
    ask(room, ctypes.byref(count))
    return [room[index] for index in range(count.value)]
