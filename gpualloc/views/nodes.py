"""Nodes and their devices: what they read, how they stand, who holds them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from gpualloc.model.inventory import Device, DeviceState, MigInstance, Node, NodeState, Snapshot
from gpualloc.model.workload import Workload
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, bar, duration, escape, memory, percent, plural, quantity

_BAR = 6
_BAR_FROM = 96
"""Columns of a terminal that has room for bars beside whole words."""
_MIG_FIELDS = ("mig_enabled", "mig_pending")
"""Not worth a line where the model knows no MIG at all; they are in the JSON."""
_SETTINGS = "settings."
"""Not among what the table shows: `gpualloc set` and `drift` tell of them."""
_COLUMNS = (
    Column("gpu", right=True),
    Column("model", least=9),
    Column("memory"),
    Column("util", right=True),
    Column("power", right=True),
    Column("temp", right=True),
    Column("state", least=13),
    Column("held by", least=11),
)


def nodes_data(snapshot: Snapshot) -> dict[str, object]:
    """`data` of `nodes --json`."""
    return {"at_s": snapshot.at_s, "nodes": [_node_data(node) for node in snapshot.nodes]}


def _node_data(node: Node) -> dict[str, object]:
    host = node.host
    return {
        "name": node.name,
        "pool": node.spec.pool,
        "labels": dict(node.spec.labels),
        "state": node.state.value,
        "reason": node.reason,
        "simulated": node.simulated,
        "manageable": node.manageable,
        "cordon": node.cordon,
        "at_s": node.at_s,
        "driver_version": node.driver_version,
        "nvml_reason": node.nvml_reason,
        "host": {
            "cpus": host.cpus,
            "cpu_utilization_ratio": host.cpu_utilization_ratio,
            "memory_total_mib": host.memory_total_mib,
            "memory_available_mib": host.memory_available_mib,
            "disk_total_mib": host.disk_total_mib,
            "disk_used_mib": host.disk_used_mib,
            "network_rx_bytes_per_s": host.network_rx_bytes_per_s,
            "network_tx_bytes_per_s": host.network_tx_bytes_per_s,
        },
        "devices": [_device_data(node, device) for device in node.devices],
    }


def _device_data(node: Node, device: Device) -> dict[str, object]:
    return {
        "uuid": device.uuid,
        "index": device.index,
        "model": device.model,
        "memory_total_mib": device.memory_total_mib,
        "memory_used_mib": device.memory_used_mib,
        "gpu_utilization_ratio": device.gpu_utilization_ratio,
        "memory_utilization_ratio": device.memory_utilization_ratio,
        "power_w": device.power_w,
        "power_limit_w": device.power_limit_w,
        "temperature_c": device.temperature_c,
        "sm_clock_mhz": device.sm_clock_mhz,
        "state": device.state.value,
        "reason": device.reason,
        "cordon": device.cordon,
        "mig_enabled": device.mig_enabled,
        "unavailable": dict(device.unavailable),
        "workloads": list(_holders(node, device.uuid, None)),
        "mig_instances": [_instance_data(node, device, instance) for instance in device.mig_instances],
        "processes": [
            {
                "pid": process.pid,
                "user": process.user,
                "command": process.command,
                "gpu_memory_used_mib": process.gpu_memory_used_mib,
                "mig_instance": process.mig_instance,
                "workload": process.workload,
            }
            for process in node.processes
            if process.device == device.uuid
        ],
    }


def _instance_data(node: Node, device: Device, instance: MigInstance) -> dict[str, object]:
    return {
        "uuid": instance.uuid,
        "profile": instance.profile,
        "start": instance.start,
        "size": instance.size,
        "memory_total_mib": instance.memory_total_mib,
        "memory_used_mib": instance.memory_used_mib,
        "workload": next(iter(_holders(node, device.uuid, instance.uuid)), None),
    }


def nodes_text(snapshot: Snapshot, workloads: Iterable[Workload], look: Look) -> str:
    """Per node a line, and below it its devices, one row each."""
    names = {workload.id: workload.name for workload in workloads}
    return "\n\n".join(_node_text(node, names, snapshot.at_s, look) for node in snapshot.nodes)


def _node_text(node: Node, names: Mapping[str, str], now_s: float, look: Look) -> str:
    lines = [_headline(node, now_s, look)]
    if node.state is NodeState.OK:
        lines.append(f"  {_host(node)}")
    if node.state is NodeState.OK and node.nvml_reason:
        lines.append(f"  no GPU to see: {escape(node.nvml_reason)}")
    if node.other_controllers:
        owners = ", ".join(escape(owner) for owner in node.other_controllers)
        said = "managed all the same" if node.manageable else "only observed"
        lines.append(f"  {owners} found here: {said}")
    if node.devices:
        width = _BAR if look.width >= _BAR_FROM else 0
        rows = [row for device in node.devices for row in _rows(node, device, names, width)]
        lines.append(table(_COLUMNS, rows, look, indent=2))
        lines.extend(f"  gpu {device.index}: {escape(device.reason)}" for device in node.devices if device.reason)
        lines.extend(f"  gpu {device.index}: cordoned ({escape(each)})" for device, each in _cordons(node))
        for line in _unknowns(node.devices):
            lines += textwrap.wrap(line, look.width, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines)


def _headline(node: Node, now_s: float, look: Look) -> str:
    good = node.state is NodeState.OK
    parts = [look.paint(node.state.value, Role.GOOD if good else Role.BAD)]
    if node.cordon is not None:
        parts.append(look.paint("cordoned", Role.WARN) + f" ({escape(node.cordon)})")
    if node.simulated:
        parts.append(look.paint("simulated", Role.WARN))
    if not good and node.reason:
        parts.append(escape(node.reason))
    parts.append(f"seen {duration(now_s - node.at_s)} ago" if good else f"asked {duration(now_s - node.at_s)} ago")
    if good:
        parts.append(plural(len(node.devices), "GPU"))
    if node.driver_version:
        parts.append(f"driver {escape(node.driver_version)}")
    return f"{look.paint(escape(node.name), Role.STRONG)}  " + ", ".join(parts)


def _host(node: Node) -> str:
    host = node.host
    free = f"{memory(host.memory_available_mib)} of {memory(host.memory_total_mib)} memory free"
    cpus = UNKNOWN if host.cpus is None else f"{host.cpus:g}"
    return f"host: {cpus} CPUs, {percent(host.cpu_utilization_ratio)} busy, {free}"


def _rows(node: Node, device: Device, names: Mapping[str, str], width: int) -> list[list[str | Cell]]:
    rows: list[list[str | Cell]] = [
        [
            str(device.index),
            escape(device.model.removeprefix("NVIDIA ")),
            _memory_bar(device.memory_used_mib, device.memory_total_mib, width),
            percent(device.gpu_utilization_ratio),
            quantity(device.power_w, "W"),
            quantity(device.temperature_c, "°C"),
            _state(device),
            "" if device.mig_instances else _held_by(node, device, None, names),
        ]
    ]
    for instance in device.mig_instances:
        bars = _memory_bar(instance.memory_used_mib, instance.memory_total_mib, width)
        held = _held_by(node, device, instance.uuid, names)
        rows.append(["", f"└ {escape(instance.profile)}", bars, "", "", "", "", held])
    return rows


def _state(device: Device) -> Cell:
    if device.state is not DeviceState.OK:
        return Cell(device.state.value, Role.BAD)
    if device.cordon is not None:
        return Cell("cordoned, MIG" if device.mig_enabled else "cordoned", Role.WARN)
    return Cell("ok, MIG" if device.mig_enabled else "ok", Role.GOOD)


def _cordons(node: Node) -> list[tuple[Device, str]]:
    """Devices that are cordoned, and why."""
    return [(device, device.cordon) for device in node.devices if device.cordon is not None]


def _memory_bar(used_mib: int | None, total_mib: int | None, width: int) -> str:
    """Used and all memory, behind a bar if it has a width."""
    used = UNKNOWN if used_mib is None else memory(used_mib).removesuffix(" GiB")
    shown = f"{used}/{memory(total_mib)}"
    return f"{bar(used_mib, total_mib, width)} {shown}" if width else shown


def _holders(node: Node, device: str, instance: str | None) -> tuple[str, ...]:
    """Ids of the workloads that claim it, in the order of their claims."""
    return tuple(
        dict.fromkeys(
            claim.workload
            for claim in node.claims
            if claim.device == device and (instance is None or claim.mig_instance == instance)
        )
    )


def _held_by(node: Node, device: Device, instance: str | None, names: Mapping[str, str]) -> str:
    held = [escape(names.get(workload, workload)) for workload in _holders(node, device.uuid, instance)]
    strangers = [
        process
        for process in node.processes
        if process.device == device.uuid and process.workload is None and (instance in (None, process.mig_instance))
    ]
    held += list(dict.fromkeys(f"stranger: {escape(process.user or UNKNOWN)}" for process in strangers))
    if held or device.state is not DeviceState.OK:
        return ", ".join(held)
    # Work asks for whole devices or for instances, so that a device in MIG mode without any has nothing to give.
    return "no instances" if device.mig_enabled and instance is None else "free"


def _unknowns(devices: Sequence[Device]) -> list[str]:
    """One line for each reason why readings are missing, with the devices it holds for."""
    missing: dict[tuple[str, str], list[int]] = {}
    for device in devices:
        for field, reason in device.unavailable.items():
            if field.startswith(_SETTINGS) or (field in _MIG_FIELDS and reason == "not supported"):
                continue
            missing.setdefault((reason, field), []).append(device.index)
    grouped: dict[tuple[str, str], list[str]] = {}
    for (reason, field), indices in missing.items():
        grouped.setdefault((reason, ",".join(map(str, indices))), []).append(field)
    return [
        f"{UNKNOWN}: {', '.join(fields)} on gpu {indices}: {escape(reason)}"
        for (reason, indices), fields in grouped.items()
    ]
