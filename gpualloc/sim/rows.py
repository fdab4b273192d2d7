"""A simulated node and its GPUs in the words of the wire (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gpualloc import __version__
from gpualloc.sim.catalog import MigProfile
from gpualloc.sim.cluster import HostSpec
from gpualloc.sim.gpu import FaultKind, GpuModel, GpuProcess, GpuSettings, Instance
from gpualloc.sim.sensors import Troubles, activity_row, nvlink_rates, sensors_row, silent_row, under_trouble
from gpualloc.sim.topology import board_row, nvlink_rows, own_reasons, peers_row

_STATES = {
    FaultKind.HUNG: ("driver not answering", "hung"),
    FaultKind.LOST: ("GPU lost", "lost"),
    FaultKind.NEEDS_RESET: ("needs reset", "failed"),
    FaultKind.NO_PERMISSION: ("no permission", "no permission"),
}
"""State of the device, and why its readings are null."""
_ONE_NUMA_NODE = {"cpus": None, "numa_node": 0}


def hello_row(spec: HostSpec, boot_id: str) -> dict[str, Any]:
    """What a node with control groups and full rights says of itself in `hello`."""
    driver = spec.driver if spec.gpus else None
    return {
        "version": __version__,
        "hostname": spec.name,
        "boot_id": boot_id,
        "pid": 1,
        "uid": 0,
        "user": "root",
        "python": "3.11.0",
        "privileged": True,
        "state_dir": "(simulated)",
        "nvml": {
            "state": "ok" if spec.gpus else "absent",
            "reason": None if spec.gpus else "this simulated node has no GPU",
            "driver_version": driver,
            "library_version": driver,
        },
        "cgroup": {"mode": "v2", "controllers": ["cpu", "cpuset", "memory", "pids"], "writable": True},
        "mps": True,
        "other_controllers": [],
    }


def near_row(host: HostSpec, gpu: GpuModel, gpus: Sequence[GpuModel]) -> dict[str, Any]:
    """Where a GPU of the host is, and how it reaches the others, for its row of `inventory`."""
    node = gpu.index * host.numa_nodes // len(host.gpus)
    first, beyond = (number * host.cpus // host.numa_nodes for number in (node, node + 1))
    return {
        "cpus": None if host.numa_nodes == 1 else f"{first}-{beyond - 1}",
        "numa_node": node,
        "board": board_row(gpu),
        "peers": peers_row(gpu, gpus, host.numa_nodes),
    }


def inventory_row(
    gpu: GpuModel, fault: tuple[FaultKind, float] | None, near: Mapping[str, Any] = _ONE_NUMA_NODE
) -> dict[str, Any]:
    """A device of `inventory`; `fault` is what is wrong now, and since when."""
    has_mig = gpu.kind.has_mig
    row = {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "minor": gpu.index,
        "model": gpu.kind.product,
        "architecture": gpu.kind.generation,
        **near,
        "memory_total_mib": gpu.kind.memory_total_mib,
        "mig_enabled": gpu.mig_enabled if has_mig else None,
        "mig_pending": gpu.mig_pending if has_mig else None,
        "mig_instances": [_instance_row(instance) for instance in gpu.mig_devices],
        "mig_profiles": [_profile_row(profile) for profile in gpu.kind.mig.profiles] if gpu.kind.mig else [],
        "settings": settings_row(gpu),
        "power_limit_default_w": gpu.kind.power_limit_w,
        "power_limit_min_w": gpu.kind.power_limit_min_w,
        "power_limit_max_w": gpu.kind.power_limit_w,
        **_standing(fault),
    }
    settings = {f"settings.{name}": value for name, value in settings_row(gpu).items()}
    missing = [name for name, value in {**row, **settings}.items() if value is None and name not in ("cpus", "reason")]
    in_mig_mode = {"settings.compute_mode": "mig"} if gpu.mig_enabled else {}
    without = dict.fromkeys(missing, "not supported") | own_reasons(near.get("board", {}), "board", "not supported")
    return {**row, "unavailable": without | in_mig_mode}


def settings_row(gpu: GpuModel) -> dict[str, Any]:
    """What is set on the GPU; in MIG mode the whole has no compute mode."""
    told = {name: getattr(gpu.settings, name) for name in GpuSettings.__struct_fields__} | {
        "power_limit_w": gpu.power_limit_w
    }
    return {**told, "compute_mode": None} if gpu.mig_enabled else told


def sample_row(
    gpu: GpuModel,
    fault: tuple[FaultKind, float] | None,
    at_s: float,
    gpus: Sequence[GpuModel] = (),
    troubles: Troubles = (),
) -> dict[str, Any]:
    """A device of `sample` at that time; every reading that is null says why. `gpus` are all of the node."""
    readings = under_trouble(gpu.readings(at_s), gpu, troubles)
    values = {
        "memory_used_mib": readings.memory_used_mib,
        "gpu_utilization_ratio": readings.gpu_utilization_ratio,
        "memory_utilization_ratio": readings.memory_utilization_ratio,
        "power_w": readings.power_w,
        "power_limit_w": gpu.power_limit_w,
        "temperature_c": readings.temperature_c,
        "sm_clock_mhz": readings.sm_clock_mhz,
    }
    if fault is not None:
        values, sensors = dict.fromkeys(values), silent_row(_STATES[fault[0]][1])
    else:
        links = nvlink_rows(gpu, gpus)
        rates = nvlink_rates(sum(link["up"] for link in links), gpu.load(at_s))
        sensors = {**sensors_row(gpu, readings, troubles, at_s), "nvlinks": links, **rates}
        sensors["unavailable"] |= {name: "not supported" for name, value in rates.items() if value is None}
    why = {name: _why(name, gpu, fault) for name, value in values.items() if value is None}
    return {
        "uuid": gpu.uuid,
        **_standing(fault),
        **values,
        **sensors,
        "mig_instances": [_instance_sample(gpu, each, at_s, silent=fault is not None) for each in gpu.mig_devices],
        "unavailable": {**sensors["unavailable"], **why},
    }


def _instance_sample(gpu: GpuModel, instance: Instance, at_s: float, *, silent: bool) -> dict[str, Any]:
    if silent:
        return {"uuid": instance.uuid, "memory_used_mib": None}
    activity = activity_row(gpu, gpu.load(at_s, instance.uuid))
    return {"uuid": instance.uuid, "memory_used_mib": gpu.memory_used_mib(instance.uuid), "activity": activity}


def process_row(gpu: GpuModel, process: GpuProcess, at_s: float) -> dict[str, Any]:
    """A process of `processes`; of nobody's container, pod or Slurm job."""
    used = gpu.use_of(process, at_s)
    return {
        "pid": process.pid,
        "device": gpu.uuid,
        "mig_instance": process.instance,
        "gpu_memory_used_mib": process.memory_mib,
        "user": process.user,
        "command": process.command,
        "started_at_s": process.started_at_s,
        "workload": process.workload,
        "container": None,
        "pod": None,
        "slurm_job": None,
        "parent": 1,
        "gpu_utilization_ratio": None if gpu.mig_enabled else round(used, 2),
        "cpu_utilization_ratio": round(0.2 + used, 2),
        "host_memory_mib": 1500 + process.memory_mib // 8,
    }


def _profile_row(profile: MigProfile) -> dict[str, Any]:
    return {
        "name": profile.name,
        "id": profile.id,
        "slices": profile.slices,
        "size": profile.size,
        "starts": list(profile.starts),
        "memory_mib": profile.memory_mib,
        "sm_count": profile.sm,
        "max_count": profile.max_instances,
        "engines": dict(profile.engines),
        "media_extension": profile.holds_media_extension,
    }


def _instance_row(instance: Instance) -> dict[str, Any]:
    return {
        "uuid": instance.uuid,
        "profile": instance.profile.name,
        "start": instance.start,
        "size": instance.profile.size,
        "memory_total_mib": instance.profile.memory_mib,
        "gpu_instance": instance.gi,
        "compute_instance": 0,
    }


def _standing(fault: tuple[FaultKind, float] | None) -> dict[str, Any]:
    if fault is None:
        return {"state": "ok", "reason": None}
    kind, since_s = fault
    since = datetime.fromtimestamp(since_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"state": _STATES[kind][0], "reason": f"simulated fault since {since}"}


def _why(name: str, gpu: GpuModel, fault: tuple[FaultKind, float] | None) -> str:
    if fault is not None:
        return _STATES[fault[0]][1]
    return "mig" if gpu.mig_enabled and name.endswith("utilization_ratio") else "not supported"
