"""What is not as gpualloc made it: desired against live, field by field. Pure.

Desired are the allocations of work that runs and what devices are meant to be. Live is what the nodes tell; what a node
does not tell, or a node that does not answer or tells of no work, is unknown and never a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from gpualloc.model.allocation import Allocation, Grant, Hold, Limits, WorkloadRecord
from gpualloc.model.cpus import cpu_numbers
from gpualloc.model.desired import DesiredDevice, DeviceSettings
from gpualloc.model.gang import held_on, living_parts, part_on
from gpualloc.model.inventory import Device, DeviceState, Node, Snapshot
from gpualloc.model.mig import OFF
from gpualloc.model.workload import Workload, WorkloadState

POWER_TOLERANCE_W = 1.0
"""Drivers round power limits."""
CPUS_TOLERANCE = 0.001
"""Part by which a CPU quota may differ: the kernel keeps whole microseconds."""
WEIGHT_TOLERANCE = 10
"""Kernels keep weights on other scales."""

Value = str | int | float | bool | None
"""What a field is, or should be; None is nothing, or not there."""


class DriftClass(StrEnum):
    """How a field differs; the words are part of the JSON contract."""

    MISSING = "missing"
    """It should be there and is not."""
    CHANGED = "changed"
    """It is there, and otherwise than we made it."""
    FOREIGN = "foreign"
    """It is there in our name or our place, and we know nothing of it."""
    DOUBTFUL = "doubtful"
    """It is not known what an interrupted run has done."""


class Difference(Struct, frozen=True):
    """One field that is not as it should be."""

    node: str
    field: str
    """`claim`, `work`, `device`, `mig-instance`, `mig-mode`, `device-rule`, `run`, or a limit or setting by name."""
    drift: DriftClass
    desired: Value
    live: Value
    device: str | None = None
    """UUID; None when no single device is concerned."""
    workload: str | None = None


def differences(
    snapshot: Snapshot,
    workloads: Sequence[Workload],
    desired: Iterable[DesiredDevice],
    controller: str,
    doubts: Mapping[str, str],
) -> tuple[Difference, ...]:
    """Every difference on the nodes that answered, by node, device and workload.

    Args:
        snapshot: the nodes that are looked at.
        workloads: all work that has not ended.
        desired: what devices are meant to be.
        controller: id of our state, which our claims carry.
        doubts: nodes in doubt, each with the reason; those that do not answer are told of, too.
    """
    found: list[Difference] = []
    for node in snapshot.reached:
        if node.limited is not None:
            continue
        own = [work for work in workloads if part_on(work, node.name) is not None]
        for workload in own:
            found += _of_work(node, workload)
        found += _of_nobody(node, {work.id for work in own}, controller)
        devices = {device.uuid: device for device in node.devices}
        for wanted in desired:
            if wanted.node == node.name:
                found += _of_device(node, devices.get(wanted.device), wanted)
    names = {node.name for node in snapshot.nodes}
    found += [
        Difference(node, "run", DriftClass.DOUBTFUL, None, reason) for node, reason in doubts.items() if node in names
    ]
    return tuple(sorted(found, key=_order))


def _order(difference: Difference) -> tuple[str, str, str, str]:
    return difference.node, difference.device or "", difference.workload or "", difference.field


# ---- work


def _of_work(node: Node, workload: Workload) -> Iterator[Difference]:
    allocation = next((part for part in living_parts(workload) if part.node == node.name), None)
    if allocation is None or workload.state is not WorkloadState.RUNNING:
        return
    devices = {device.uuid: device for device in node.devices}
    for grant in allocation.grants:
        yield from _of_grant(node, devices.get(grant.device), grant, workload.id)
    record = next((each for each in node.workloads if each.workload == workload.id), None)
    if record is not None and record.end is None and record.bound is not None:
        yield from _of_limits(node, workload, allocation, record.bound)


def _of_grant(node: Node, device: Device | None, grant: Grant, workload: str) -> Iterator[Difference]:
    where = {"device": grant.device, "workload": workload}
    if device is None:
        if node.nvml_reason is None:
            yield Difference(node.name, "device", DriftClass.MISSING, grant.device, None, **where)
        return
    told = device.state is DeviceState.OK and device.mig_enabled is not None
    if grant.mig_instance is not None and told:
        there = {instance.uuid for instance in device.mig_instances}
        if grant.mig_instance not in there:
            yield Difference(node.name, "mig-instance", DriftClass.MISSING, grant.mig_instance, None, **where)
    claims = [
        each
        for each in node.claims
        if (each.workload, each.device, each.mig_instance) == (workload, grant.device, grant.mig_instance)
    ]
    wanted = _share_text(grant.share, grant.fraction, grant.memory_mib)
    live = [_share_text(each.share, each.fraction, each.memory_mib) for each in claims]
    if not live:
        yield Difference(node.name, "claim", DriftClass.MISSING, wanted, None, **where)
    elif wanted not in live:
        yield Difference(node.name, "claim", DriftClass.CHANGED, wanted, live[0], **where)


def _share_text(share: str, fraction: float, memory_mib: int | None) -> str:
    return f"{share} {fraction:g}, {'all' if memory_mib is None else f'{memory_mib} MiB of'} memory"


def _of_limits(node: Node, workload: Workload, allocation: Allocation, bound: Limits) -> Iterator[Difference]:
    """Only what the kernel held when the work was started: a limit that was booked on purpose is as it should be."""
    held = held_on(workload, node.name)
    for name, hold in LIMITS.items():
        asked, live = getattr(allocation, name), getattr(bound, name)
        if asked is not None and getattr(held, hold) is Hold.HARD and not _same_limit(name, asked, live):
            drift = DriftClass.MISSING if live is None else DriftClass.CHANGED
            yield Difference(node.name, name, drift, asked, live, workload=workload.id)
    if held.gpu is Hold.HARD and bound.rule is not None and not bound.rule:
        yield Difference(node.name, "device-rule", DriftClass.MISSING, True, False, workload=workload.id)


LIMITS = {
    "cpus": "cpu",
    "cpuset": "cpu",
    "cpu_weight": "cpu",
    "memory_mib": "memory",
    "pids": "pids",
    "io_weight": "io",
}
"""Limits, and the part of `HeldBy` that tells what holds them."""


def _same_limit(name: str, asked: Value, live: Value) -> bool:
    if isinstance(asked, str) and isinstance(live, str):
        return cpu_numbers(asked) == cpu_numbers(live)
    if isinstance(asked, str) or live is None or isinstance(live, str) or asked is None:
        return False
    slack = {"cpus": max(1e-5, CPUS_TOLERANCE * asked), "memory_mib": 1, "pids": 0}.get(name, WEIGHT_TOLERANCE)
    return abs(live - asked) <= slack


def _of_nobody(node: Node, known: set[str], controller: str) -> Iterator[Difference]:
    """Claims and running work in our name that our books do not have there."""
    for claim in node.claims:
        if claim.controller == controller and claim.workload not in known:
            live = _share_text(claim.share, claim.fraction, claim.memory_mib)
            yield Difference(node.name, "claim", DriftClass.FOREIGN, None, live, claim.device, claim.workload)
    for record in node.workloads:
        if _runs(record) and record.controller == controller and record.workload not in known:
            live = "running" if record.pid is None else f"running, pid {record.pid}"
            yield Difference(node.name, "work", DriftClass.FOREIGN, None, live, None, record.workload)


def _runs(record: WorkloadRecord) -> bool:
    return record.end is None


# ---- devices


def _of_device(node: Node, device: Device | None, wanted: DesiredDevice) -> Iterator[Difference]:
    if device is None:
        if node.nvml_reason is None:
            yield Difference(node.name, "device", DriftClass.MISSING, wanted.device, None, wanted.device)
        return
    if device.state is not DeviceState.OK:
        return
    if wanted.layout is not None and device.mig_enabled is not None:
        yield from _of_layout(node, device, wanted.layout)
    for name in DeviceSettings.__struct_fields__:
        asked, live = getattr(wanted.settings_now, name), getattr(device.settings, name)
        if asked is not None and live is not None and not same_setting(name, asked, live):
            yield Difference(node.name, name, DriftClass.CHANGED, asked, live, device.uuid)


def same_setting(name: str, asked: Value, live: Value) -> bool:
    """Whether a setting is as asked, as exactly as drivers keep it."""
    if name == "power_limit_w" and isinstance(asked, int | float) and isinstance(live, int | float):
        return abs(asked - live) <= POWER_TOLERANCE_W
    return asked == live


def _of_layout(node: Node, device: Device, layout: str) -> Iterator[Difference]:
    wanted_mode, live_mode = layout != OFF, bool(device.mig_enabled)
    if wanted_mode is not live_mode:
        modes = {True: "on", False: "off"}
        yield Difference(node.name, "mig-mode", DriftClass.CHANGED, modes[wanted_mode], modes[live_mode], device.uuid)
    wanted = [place for place in layout.split(",") if place] if wanted_mode else []
    live = [f"{each.profile}@{each.start}" for each in device.mig_instances if each.start is not None]
    if len(live) < len(device.mig_instances):
        return  # the driver does not tell where they lie
    for place in wanted:
        if place not in live:
            yield Difference(node.name, "mig-instance", DriftClass.MISSING, place, None, device.uuid)
    for place in live:
        if place not in wanted:
            yield Difference(node.name, "mig-instance", DriftClass.FOREIGN, None, place, device.uuid)
