"""Nodes and their devices as a person reads them: how they stand, what they read, who holds them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from gpualloc.model.inventory import Device, DeviceState, Node, NodeState, Snapshot
from gpualloc.model.workload import Workload
from gpualloc.views.device_marks import holders, is_throttled, marks
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, bar, duration, escape, memory, percent, plural, quantity

_BAR = 6
_BAR_FROM = 96
"""Columns of a terminal that has room for bars beside whole words."""
_TOLD_UNKNOWN = frozenset(
    {
        "memory_total_mib",
        "memory_used_mib",
        "gpu_utilization_ratio",
        "power_w",
        "temperature_c",
        "mig_enabled",
        "mig_pending",
        "mig_instances",
        "mig_profiles",
        "processes",
    }
)
"""Of what the table rests on it is told why it is not known; the JSON tells it of everything."""
_TELLING = (NodeState.OK, NodeState.STALE)
"""States in which there are readings to show, if only old ones."""
_MIG_FIELDS = ("mig_enabled", "mig_pending")
"""Not worth a line where the model knows no MIG at all."""
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


def nodes_text(snapshot: Snapshot, workloads: Iterable[Workload], look: Look) -> str:
    """Per node a line, and below it its devices, one row each."""
    names = {workload.id: workload.name for workload in workloads}
    return "\n\n".join(_node_text(node, names, snapshot.at_s, look) for node in snapshot.nodes)


def _node_text(node: Node, names: Mapping[str, str], now_s: float, look: Look) -> str:
    lines = [_headline(node, now_s, look)]
    if node.state in _TELLING:
        lines.append(f"  {_host(node)}")
    if node.state in _TELLING and node.nvml_reason:
        lines.append(f"  no GPU to see: {escape(node.nvml_reason)}")
    if node.limited is not None:
        lines += _wrapped(f"only looked at: {escape(node.limited)}", look)
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
        for line in (*_marked(node.devices), *_unknowns(node.devices)):
            lines += _wrapped(line, look)
    return "\n".join(lines)


def _wrapped(line: str, look: Look) -> list[str]:
    return textwrap.wrap(line, look.width, initial_indent="  ", subsequent_indent="    ")


def _headline(node: Node, now_s: float, look: Look) -> str:
    good = node.state is NodeState.OK
    parts = [look.paint(node.state.value, Role.GOOD if good else Role.BAD)]
    if node.cordon is not None:
        parts.append(look.paint("cordoned", Role.WARN) + f" ({escape(node.cordon)})")
    if node.simulated:
        parts.append(look.paint(node.spec.transport, Role.WARN))
    if not good and node.reason:
        parts.append(escape(node.reason))
    heard = {NodeState.OK: "seen", NodeState.STALE: "last heard"}.get(node.state, "asked")
    parts.append(f"{heard} {duration(now_s - node.at_s)} ago")
    if node.state in _TELLING:
        parts.append(_gpus(node, look))
    if node.driver_version:
        parts.append(f"driver {escape(node.driver_version)}")
    return f"{look.paint(escape(node.name), Role.STRONG)}  " + ", ".join(parts)


def _gpus(node: Node, look: Look) -> str:
    """How many GPUs it tells of, and how many there should be when that is another number."""
    there, wanted = len(node.devices), max(node.spec.gpus or 0, node.host.gpus_on_bus or 0)
    if there >= wanted:
        return plural(there, "GPU")
    return look.paint(f"{there} of {plural(wanted, 'GPU')}", Role.BAD)


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
    if is_throttled(device):
        return Cell("slow, MIG" if device.mig_enabled else "throttled", Role.WARN)
    return Cell("ok, MIG" if device.mig_enabled else "ok", Role.GOOD)


def _cordons(node: Node) -> list[tuple[Device, str]]:
    """Devices that are cordoned, and why."""
    return [(device, device.cordon) for device in node.devices if device.cordon is not None]


def _memory_bar(used_mib: int | None, total_mib: int | None, width: int) -> str:
    """Used and all memory, behind a bar if it has a width."""
    used = UNKNOWN if used_mib is None else memory(used_mib).removesuffix(" GiB")
    shown = f"{used}/{memory(total_mib)}"
    return f"{bar(used_mib, total_mib, width)} {shown}" if width else shown


def _held_by(node: Node, device: Device, instance: str | None, names: Mapping[str, str]) -> str:
    held = [escape(names.get(workload, workload)) for workload in holders(node, device.uuid, instance)]
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


def _marked(devices: Sequence[Device]) -> list[str]:
    """One line for each thing that is not as it should be, with the devices it holds for."""
    marked: dict[str, list[int]] = {}
    for device in devices:
        for mark in marks(device):
            marked.setdefault(mark, []).append(device.index)
    return [f"gpu {','.join(map(str, indices))}: {escape(mark)}" for mark, indices in marked.items()]


def _unknowns(devices: Sequence[Device]) -> list[str]:
    """One line for each reason why readings are missing, with the devices it holds for."""
    missing: dict[tuple[str, str], list[int]] = {}
    for device in devices:
        for field, reason in device.unavailable.items():
            if field not in _TOLD_UNKNOWN or (field in _MIG_FIELDS and reason == "not supported"):
                continue
            missing.setdefault((reason, field), []).append(device.index)
    grouped: dict[tuple[str, str], list[str]] = {}
    for (reason, field), indices in missing.items():
        grouped.setdefault((reason, ",".join(map(str, indices))), []).append(field)
    return [
        f"{UNKNOWN}: {', '.join(fields)} on gpu {indices}: {escape(reason)}"
        for (reason, indices), fields in grouped.items()
    ]
