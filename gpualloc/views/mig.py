"""MIG: which device has which instances where, for whom, and what else it could have."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.inventory import Device, MigInstance, Node, Snapshot
from gpualloc.model.mig import Layout, MigProfile, Place, axis_units, free_places, layout_of, layout_text
from gpualloc.views.look import Look, Role
from gpualloc.views.table import Cell, Column, table
from gpualloc.views.text import UNKNOWN, escape, memory, shorten

_UNIT_CELLS = 8
"""Columns that one unit of the axis takes in a picture."""
_NARROW_CELLS = 5
_WIDE_FROM = 100
_INSTANCES = (
    Column("instance", least=14),
    Column("profile"),
    Column("place", right=True),
    Column("memory", right=True),
    Column("held by", least=14),
)
_PROFILES = (
    Column("profile"),
    Column("units", right=True),
    Column("starts"),
    Column("memory", right=True),
    Column("SMs", right=True),
    Column("most", right=True),
    Column("free now", right=True),
)
_MODES = {True: "enabled", False: "disabled", None: None}


def mig_devices(snapshot: Snapshot) -> list[tuple[Node, Device]]:
    """The devices that know MIG, by node and index."""
    return [
        (node, device)
        for node in snapshot.reached
        for device in sorted(node.devices, key=lambda device: device.index)
        if device.mig_enabled is not None
    ]


def mig_data(snapshot: Snapshot) -> dict[str, object]:
    """`data` of `mig list --json`."""
    return {
        "simulated": any(node.simulated for node in snapshot.nodes),
        "devices": [device_data(node, device) for node, device in mig_devices(snapshot)],
    }


def device_data(node: Node, device: Device) -> dict[str, object]:
    """One device of `mig list --json`."""
    return {
        "uuid": device.uuid,
        "node": node.name,
        "index": device.index,
        "model": device.model,
        "mode": _MODES[device.mig_enabled],
        "pending_mode": _MODES[device.mig_pending],
        "layout": _layout_data(device),
        "instances": [
            {
                "uuid": instance.uuid,
                "profile": instance.profile,
                "start": instance.start,
                "size": instance.size,
                "memory_total_mib": instance.memory_total_mib,
                "memory_used_mib": instance.memory_used_mib,
                "workload": _workload(node, instance),
            }
            for instance in _in_place(device)
        ],
    }


def show_data(node: Node, device: Device) -> dict[str, object]:
    """`data` of `mig show --json`."""
    free = free_places(device.mig_profiles, _layout(device)) if device.mig_enabled else ()
    return {
        "simulated": node.simulated,
        "device": device_data(node, device),
        "profiles": [
            {
                "name": profile.name,
                "size": profile.size,
                "starts": list(profile.starts),
                "memory_mib": profile.memory_mib,
                "sm_count": profile.sm_count,
                "max_count": profile.max_count,
                "free_starts": [place.start for place in free if place.profile == profile.name],
            }
            for profile in device.mig_profiles
        ],
    }


def mig_text(snapshot: Snapshot, look: Look) -> str:
    """Every device that knows MIG with a picture of its axis."""
    devices = mig_devices(snapshot)
    if not devices:
        return "no device that answers knows MIG"
    simulated = any(node.simulated for node in snapshot.nodes)
    text = look.paint("simulated", Role.WARN) if simulated else ""
    before = False
    for node, device in devices:
        plain = device.mig_enabled is False and not device.mig_pending
        block = _title(node, device, look) if plain else _device_text(node, device, look)
        # Devices without MIG are a list, those with it are paragraphs.
        text += ("\n" if before and plain else "\n\n") + block if text else block
        before = plain
    return text


def show_text(node: Node, device: Device, look: Look) -> str:
    """One device with everything it could have."""
    simulated = f"{look.paint('simulated', Role.WARN)}\n" if node.simulated else ""
    head = simulated + _device_text(node, device, look)
    if not device.mig_profiles:
        return f"{head}\n\nthe driver does not tell which instances it could have"
    free = free_places(device.mig_profiles, _layout(device)) if device.mig_enabled else ()
    rows = [_profile_row(profile, free, known=device.mig_enabled is True) for profile in device.mig_profiles]
    return f"{head}\n\n{table(_PROFILES, rows, look)}"


def _profile_row(profile: MigProfile, free: Sequence[Place], *, known: bool) -> list[str | Cell]:
    starts = [place.start for place in free if place.profile == profile.name]
    return [
        escape(profile.name),
        str(profile.size),
        ",".join(map(str, profile.starts)),
        memory(profile.memory_mib),
        UNKNOWN if profile.sm_count is None else str(profile.sm_count),
        str(profile.max_count),
        (f"at {','.join(map(str, starts))}" if starts else "none") if known else "-",
    ]


def _device_text(node: Node, device: Device, look: Look) -> str:
    lines = [_title(node, device, look), look.paint(device.uuid, Role.QUIET)]
    if device.mig_enabled:
        lines += _picture(node, device, look)
    instances = _in_place(device)
    if instances:
        lines.append(table(_INSTANCES, [_instance_row(node, instance) for instance in instances], look, indent=2))
    return "\n".join(lines)


def _title(node: Node, device: Device, look: Look) -> str:
    title = look.paint(f"{escape(node.name)} GPU {device.index}", Role.STRONG)
    return f"{title}  {escape(device.model)}  {_mode(device, look)}"


def _mode(device: Device, look: Look) -> str:
    text = look.paint(f"MIG {_MODES[device.mig_enabled]}", Role.GOOD if device.mig_enabled else Role.QUIET)
    if device.mig_pending is not None and device.mig_pending != device.mig_enabled:
        text += look.paint(f", {_MODES[device.mig_pending]} after the next reset", Role.WARN)
    return text


def _instance_row(node: Node, instance: MigInstance) -> list[str | Cell]:
    place = UNKNOWN if instance.start is None else f"{instance.start}+{instance.size}"
    return [
        instance.uuid,
        escape(instance.profile),
        place,
        f"{memory(instance.memory_used_mib)} of {memory(instance.memory_total_mib)}",
        _holder(node, instance),
    ]


def _holder(node: Node, instance: MigInstance) -> Cell:
    """The workload that has it, else whose process is on it."""
    if workload := _workload(node, instance):
        return Cell(workload, Role.GOOD)
    users = {process.user or UNKNOWN for process in node.processes if process.mig_instance == instance.uuid}
    return Cell(", ".join(f"stranger: {escape(user)}" for user in sorted(users)) or "free", Role.QUIET)


def _picture(node: Node, device: Device, look: Look) -> list[str]:
    """The axis with a box for each instance; free units are dots."""
    units = axis_units(device.mig_profiles)
    if units == 0 or any(instance.start is None or instance.size is None for instance in device.mig_instances):
        return []
    cell = _UNIT_CELLS if look.width >= _WIDE_FROM else _NARROW_CELLS
    boxes = {instance.start: instance for instance in device.mig_instances}
    axis, numbers, unit = "", "", 0
    while unit < units:
        instance = boxes.get(unit)
        size = 1 if instance is None else max(1, instance.size or 1)
        width = size * cell - 1
        numbers += str(unit).ljust(width + 1)
        if instance is None:
            axis += "│" + look.paint("·" * width, Role.QUIET)
        else:
            role = Role.GOOD if _workload(node, instance) else Role.WARN
            axis += "│" + look.paint(shorten(instance.profile, width).center(width, "░"), role)
        unit += size
    return [f"  {axis}│", look.paint(f"  {numbers.rstrip()}", Role.QUIET)]


def _in_place(device: Device) -> list[MigInstance]:
    return sorted(device.mig_instances, key=lambda each: (each.start is None, each.start or 0, each.profile, each.uuid))


def _workload(node: Node, instance: MigInstance) -> str | None:
    return next((claim.workload for claim in node.claims if claim.mig_instance == instance.uuid), None)


def _layout(device: Device) -> Layout:
    return layout_of(
        Place(instance.profile, instance.start) for instance in device.mig_instances if instance.start is not None
    )


def _layout_data(device: Device) -> str:
    return layout_text(_layout(device) if device.mig_enabled else None)
