"""Nodes and their devices for scripts: everything that is read of them."""

from __future__ import annotations

from gpualloc.model.codec import to_plain
from gpualloc.model.inventory import Device, HostReading, MigInstance, Node, Process, Snapshot
from gpualloc.views.device_marks import holders

_HOST_FIELDS = tuple(HostReading.__struct_fields__)
_DEVICE_FIELDS = (
    "memory_total_mib",
    "memory_used_mib",
    "gpu_utilization_ratio",
    "memory_utilization_ratio",
    "power_w",
    "power_limit_w",
    "power_limit_default_w",
    "power_limit_min_w",
    "power_limit_max_w",
    "energy_j",
    "temperature_c",
    "memory_temperature_c",
    "fan_ratio",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "performance_state",
    "throttles",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "activity",
    "ecc",
    "pcie",
    "nvlinks",
    "nvlink_rx_bytes_per_s",
    "nvlink_tx_bytes_per_s",
    "state",
    "reason",
    "cordon",
    "mig_enabled",
    "mig_pending",
    "minor",
    "architecture",
    "cpus",
    "numa_node",
    "settings",
    "board",
    "peers",
    "unavailable",
)
"""Fields that are told as they are in the model, under their names."""


def nodes_data(snapshot: Snapshot) -> dict[str, object]:
    """`data` of `nodes --json`."""
    return {"at_s": snapshot.at_s, "nodes": [_node_data(node) for node in snapshot.nodes]}


def process_data(process: Process) -> dict[str, object]:
    """A process on a device."""
    return {
        "pid": process.pid,
        "parent": process.parent,
        "user": process.user,
        "command": process.command,
        "started_at_s": process.started_at_s,
        "gpu_memory_used_mib": process.gpu_memory_used_mib,
        "gpu_utilization_ratio": process.gpu_utilization_ratio,
        "cpu_utilization_ratio": process.cpu_utilization_ratio,
        "host_memory_mib": process.host_memory_mib,
        "mig_instance": process.mig_instance,
        "workload": process.workload,
        "container": process.container,
        "pod": process.pod,
        "slurm_job": process.slurm_job,
    }


def _node_data(node: Node) -> dict[str, object]:
    processes: dict[str, list[dict[str, object]]] = {}
    for process in node.processes:
        processes.setdefault(process.device, []).append(process_data(process))
    return {
        "name": node.name,
        "pool": node.spec.pool,
        "labels": dict(node.spec.labels),
        "transport": node.spec.transport,
        "state": node.state.value,
        "reason": node.reason,
        "simulated": node.simulated,
        "manageable": node.manageable,
        "limited": node.limited,
        "cordon": node.cordon,
        "at_s": node.at_s,
        "hostname": node.hostname,
        "boot_id": node.boot_id,
        "driver_version": node.driver_version,
        "nvml_reason": node.nvml_reason,
        "kernel_log_reason": node.kernel_log_reason,
        "other_controllers": list(node.other_controllers),
        "gpus_expected": node.spec.gpus,
        "host": {name: to_plain(getattr(node.host, name)) for name in _HOST_FIELDS},
        "devices": [_device_data(node, device, processes.get(device.uuid, [])) for device in node.devices],
    }


def _device_data(node: Node, device: Device, processes: list[dict[str, object]]) -> dict[str, object]:
    return {
        "uuid": device.uuid,
        "index": device.index,
        "model": device.model,
        **{name: to_plain(getattr(device, name)) for name in _DEVICE_FIELDS},
        "workloads": list(holders(node, device.uuid, None)),
        "mig_instances": [_instance_data(node, device, instance) for instance in device.mig_instances],
        "processes": processes,
    }


def _instance_data(node: Node, device: Device, instance: MigInstance) -> dict[str, object]:
    return {
        "uuid": instance.uuid,
        "profile": instance.profile,
        "start": instance.start,
        "size": instance.size,
        "memory_total_mib": instance.memory_total_mib,
        "memory_used_mib": instance.memory_used_mib,
        "activity": to_plain(instance.activity),
        "workload": next(iter(holders(node, device.uuid, instance.uuid)), None),
    }
