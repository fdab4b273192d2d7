"""The MIG calls of the Python-backed driver library."""

from __future__ import annotations

import ctypes
from typing import Any

import pynvml
from fakes.nvml_library_base import CI, GI, GPU, MIG, Code, Handles, write, write_handles

from gpualloc.sim.catalog import MigProfile, compute_profiles
from gpualloc.sim.gpu import GpuModel, Instance


class MigCalls(Handles):
    """Reads and changes MIG mode, GPU instances and compute instances.

    `opened_by_others` are the indices of GPUs that another program has open; `passed_through` those of GPUs in a
    virtual machine, which cannot be reset from inside.
    """

    opened_by_others: set[int]
    passed_through: set[int]

    def _nvmlDeviceGetMigMode(self, handle: int, current: int, pending: int) -> None:
        gpu = self._whole(handle)
        if not gpu.kind.has_mig:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        write(ctypes.c_uint, current, int(gpu.mig_enabled))
        write(ctypes.c_uint, pending, int(gpu.mig_pending))

    def _nvmlDeviceSetMigMode(self, handle: int, mode: int, activation: int) -> None:
        gpu = self._whole(handle)
        self._change(gpu, "nvmlDeviceSetMigMode")
        if gpu.index in self.passed_through and bool(mode) != gpu.mig_enabled:
            gpu.mig_pending = bool(mode)
            write(ctypes.c_uint, activation, pynvml.NVML_ERROR_RESET_REQUIRED)
            return
        in_use = gpu.set_mig_mode(bool(mode), clients=gpu.index in self.opened_by_others) == "in use"
        write(ctypes.c_uint, activation, pynvml.NVML_ERROR_IN_USE if in_use else pynvml.NVML_SUCCESS)

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: int, out: int) -> None:
        table = self._whole(handle).kind.mig
        write(ctypes.c_uint, out, 0 if table is None else table.max_instances)

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int, out: int) -> None:
        gpu = self._whole(handle)
        if gpu.kind.mig is None or index >= gpu.kind.mig.max_instances:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        if index >= len(gpu.mig_devices):
            raise Code(pynvml.NVML_ERROR_NOT_FOUND)
        write(ctypes.c_void_p, out, MIG | gpu.mig_devices[index].gi << 8 | self._number(gpu))

    def _nvmlDeviceIsMigDeviceHandle(self, handle: int, out: int) -> None:
        write(ctypes.c_uint, out, int(self._instance(handle) is not None))

    def _nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: int, out: int) -> None:
        write(ctypes.c_void_p, out, GPU | self._number(self._gpu(handle)))

    def _nvmlDeviceGetGpuInstanceId(self, handle: int, out: int) -> None:
        instance = self._instance(handle)
        if instance is None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        write(ctypes.c_uint, out, instance.gi)

    def _nvmlDeviceGetComputeInstanceId(self, handle: int, out: int) -> None:
        if self._instance(handle) is None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        write(ctypes.c_uint, out, 0)

    def _nvmlDeviceGetGpuInstanceProfileInfo(self, handle: int, index: int, out: int) -> None:
        _describe(self._profile(handle, index), pynvml.c_nvmlGpuInstanceProfileInfo_t.from_address(out))

    def _nvmlDeviceGetGpuInstanceProfileInfoV(self, handle: int, index: int, out: int) -> None:
        info = pynvml.c_nvmlGpuInstanceProfileInfo_v2_t.from_address(out)
        if info.version != pynvml.nvmlGpuInstanceProfileInfo_v2:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        profile = self._profile(handle, index)
        _describe(profile, info)
        info.name = f"MIG {profile.name}".encode()

    def _nvmlDeviceGetGpuInstancePossiblePlacements_v2(
        self, handle: int, profile_id: int, out: int | None, count: int
    ) -> None:
        profile = self._profile_by_id(self._whole(handle), profile_id)
        room = ctypes.c_uint.from_address(count).value
        write(ctypes.c_uint, count, len(profile.starts))
        if out is None:
            return
        if room < len(profile.starts):
            raise Code(pynvml.NVML_ERROR_INSUFFICIENT_SIZE)
        places = (pynvml.c_nvmlGpuInstancePlacement_t * room).from_address(out)
        for place, start in zip(places, profile.starts, strict=False):
            place.start, place.size = start, profile.size

    def _nvmlDeviceGetGpuInstanceRemainingCapacity(self, handle: int, profile_id: int, out: int) -> None:
        gpu = self._whole(handle)
        write(ctypes.c_uint, out, gpu.free_instances()[self._profile_by_id(gpu, profile_id).name])

    def _nvmlDeviceGetGpuInstanceById(self, handle: int, gi: int, out: int) -> None:
        gpu = self._whole(handle)
        if all(each.gi != gi for each in gpu.instances):
            raise Code(pynvml.NVML_ERROR_NOT_FOUND)
        write(ctypes.c_void_p, out, GI | gi << 8 | self._number(gpu))

    def _nvmlGpuInstanceGetInfo(self, handle: int, out: int) -> None:
        instance = self._instance(handle)
        if instance is None:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
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
            raise Code(pynvml.NVML_ERROR_IN_USE)
        gpu.destroy_instance(instance.uuid)

    def _nvmlDeviceGetGpuInstances(self, handle: int, profile_id: int, out: int, count: int) -> None:
        gpu = self._whole(handle)
        if not gpu.mig_enabled:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        if not self.privileged:
            raise Code(pynvml.NVML_ERROR_NO_PERMISSION)
        found = [each for each in gpu.instances if each.profile.id == profile_id]
        write_handles(out, count, [GI | each.gi << 8 | self._number(gpu) for each in found])

    # ---- compute instances

    def _nvmlGpuInstanceGetComputeInstanceProfileInfo(self, handle: int, index: int, engine: int, out: int) -> None:
        info = pynvml.c_nvmlComputeInstanceProfileInfo_t.from_address(out)
        self._describe_compute(handle, index, engine, info)

    def _nvmlGpuInstanceGetComputeInstanceProfileInfoV(self, handle: int, index: int, engine: int, out: int) -> None:
        info = pynvml.c_nvmlComputeInstanceProfileInfo_v2_t.from_address(out)
        if info.version != pynvml.nvmlComputeInstanceProfileInfo_v2:
            raise Code(pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH)
        self._describe_compute(handle, index, engine, info)

    def _describe_compute(self, handle: int, index: int, engine: int, info: Any) -> None:
        if index >= pynvml.NVML_COMPUTE_INSTANCE_PROFILE_COUNT or engine != 0:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        found = [each for each in compute_profiles(self._gpu_instance(handle).profile) if each.index == index]
        if not found:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        info.id, info.sliceCount, info.instanceCount = found[0].id, found[0].slices, found[0].max_instances
        info.multiprocessorCount = found[0].sm

    def _nvmlGpuInstanceCreateComputeInstance(self, handle: int, profile_id: int, out: int) -> None:
        gpu, instance = self._gpu(handle), self._gpu_instance(handle)
        self._change(gpu, "nvmlGpuInstanceCreateComputeInstance")
        if profile_id != compute_profiles(instance.profile)[-1].id:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        gpu.complete_instance(instance.gi)
        write(ctypes.c_void_p, out, CI | instance.gi << 8 | self._number(gpu))

    def _nvmlGpuInstanceGetComputeInstances(self, handle: int, profile_id: int, out: int, count: int) -> None:
        gpu, instance = self._gpu(handle), self._gpu_instance(handle)
        whole = instance.complete and profile_id == compute_profiles(instance.profile)[-1].id
        write_handles(out, count, [CI | instance.gi << 8 | self._number(gpu)] if whole else [])

    def _nvmlComputeInstanceDestroy(self, handle: int) -> None:
        gpu, instance = self._gpu(handle), self._instance(handle)
        if instance is None or not handle & CI:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        self._change(gpu, "nvmlComputeInstanceDestroy")
        gpu.complete_instance(instance.gi, complete=False)

    def _create(self, handle: int, profile_id: int, start: int | None, out: int) -> None:
        gpu = self._whole(handle)
        self._change(gpu, "nvmlDeviceCreateGpuInstance" + ("" if start is None else "WithPlacement"))
        made = gpu.create_instance(self._profile_by_id(gpu, profile_id).name, start, complete=False)
        write(ctypes.c_void_p, out, GI | made.gi << 8 | self._number(gpu))

    def _gpu_instance(self, handle: int) -> Instance:
        instance = self._instance(handle)
        if instance is None or not handle & GI:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return instance

    def _change(self, gpu: GpuModel, function: str) -> None:
        if gpu.kind.mig is None:
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self._changing(function)

    def _profile(self, handle: int, index: int) -> MigProfile:
        if index >= pynvml.NVML_GPU_INSTANCE_PROFILE_COUNT:
            raise Code(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        table = self._whole(handle).kind.mig
        found = [profile for profile in (table.profiles if table else ()) if profile.index == index]
        if not found or None in found[0].engines.values():
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return found[0]

    def _profile_by_id(self, gpu: GpuModel, number: int) -> MigProfile:
        try:
            return gpu.kind.mig.profile_by_id(number)  # type: ignore[union-attr]
        except (KeyError, AttributeError):
            raise Code(pynvml.NVML_ERROR_NOT_SUPPORTED) from None


def _describe(profile: MigProfile, info: Any) -> None:
    info.id, info.sliceCount, info.instanceCount = profile.id, profile.slices, profile.max_instances
    info.multiprocessorCount, info.memorySizeMB = profile.sm, profile.memory_mib
    fields = ("copyEngineCount", "decoderCount", "encoderCount", "jpegCount", "ofaCount")
    for name, engine in zip(fields, profile.engines.values(), strict=True):
        setattr(info, name, engine)
