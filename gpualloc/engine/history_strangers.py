"""Work that gpualloc did not start, as far as it was seen: processes, and memory in use on devices nobody held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from gpualloc.model.enforcement import Sighting
from gpualloc.model.inventory import Device, Process, Snapshot
from gpualloc.model.sample import Series
from gpualloc.model.shapes import GPU_MILLI
from gpualloc.model.workload import Workload
from gpualloc.policies.filters import IDLE_USE_RATIO

APART_S = 900.0
"""Two samples further apart than this say nothing of the time between them."""


class Stranger(Struct, frozen=True):
    """Something that used a device from when it was first seen to when it was last seen."""

    name: str
    device: str
    """UUID."""
    model: str
    milli: int
    """Part of the device, 1..1000."""
    from_s: float
    """Epoch seconds."""
    to_s: float


def processes_seen(snapshot: Snapshot, sightings: Sequence[Sighting]) -> list[Stranger]:
    """Strangers' processes that are there now, and those that were sighted; each once for each device.

    A process that is alone on its device, as far as strangers go, has it all; of several each has the part of the
    device's memory that it uses, and equal parts when that is not known.
    """
    devices = _devices(snapshot)
    found = {(one.device, process.pid, process.started_at_s): one for process, one in _there_now(snapshot, devices)}
    for one in sightings:
        key = one.device, one.pid, one.started_at_s
        if key not in found and one.device in devices:
            begun_s = min(one.first_seen_s, one.started_at_s or one.first_seen_s)
            name = f"{one.node}:{one.pid}@{one.device}"
            found[key] = Stranger(name, one.device, devices[one.device].model, GPU_MILLI, begun_s, one.last_seen_s)
    return sorted(found.values(), key=lambda one: (one.from_s, one.name))


def use_seen(
    snapshot: Snapshot, workloads: Sequence[Workload], used: Sequence[Series], seen: Sequence[Stranger]
) -> list[Stranger]:
    """Times in which a device had memory in use while no workload of ours held it and no process seen was there."""
    devices, held = _devices(snapshot), _held(workloads, snapshot.at_s)
    for one in seen:
        held[one.device].append((one.from_s, one.to_s))
    found = []
    for series in used:
        device = devices.get(series.key.key)
        if device is None or device.memory_total_mib is None:
            continue
        for from_s, to_s in _spans(series, device.memory_total_mib * IDLE_USE_RATIO, held[device.uuid]):
            name = f"{series.key.node}@{device.uuid}@{from_s:.0f}"
            found.append(Stranger(name, device.uuid, device.model, GPU_MILLI, from_s, to_s))
    return sorted(found, key=lambda one: (one.from_s, one.name))


def _devices(snapshot: Snapshot) -> dict[str, Device]:
    return {device.uuid: device for node in snapshot.nodes for device in node.devices}


def _there_now(snapshot: Snapshot, devices: Mapping[str, Device]) -> Iterator[tuple[Process, Stranger]]:
    for node in snapshot.reached:
        there: defaultdict[str, list[Process]] = defaultdict(list)
        for process in node.processes:
            if process.workload is None and process.device in devices:
                there[process.device].append(process)
        for uuid, processes in there.items():
            for process in processes:
                begun_s = min(snapshot.at_s, process.started_at_s or snapshot.at_s)
                part = _part_milli(process, processes, devices[uuid])
                name = f"{node.name}:{process.pid}@{uuid}"
                yield process, Stranger(name, uuid, devices[uuid].model, part, begun_s, snapshot.at_s)


def _held(workloads: Sequence[Workload], now_s: float) -> defaultdict[str, list[tuple[float, float]]]:
    """When each device was held by work of ours, by UUID."""
    held: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for workload in workloads:
        if workload.allocation is not None and workload.started_at_s is not None:
            ended_s = workload.ended_at_s if workload.state.ended else None
            span = workload.started_at_s, now_s if ended_s is None else ended_s
            for grant in workload.allocation.grants:
                held[grant.device].append(span)
    return held


def _part_milli(process: Process, together: Sequence[Process], device: Device) -> int:
    if len(together) == 1:
        return GPU_MILLI
    if process.gpu_memory_used_mib is None or not device.memory_total_mib:
        return max(1, GPU_MILLI // len(together))
    return min(GPU_MILLI, max(1, process.gpu_memory_used_mib * GPU_MILLI // device.memory_total_mib))


def _spans(series: Series, idle_mib: float, held: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """From the first to the last of samples in a row with more in use than an idle device has, by nobody known."""
    begun_s = last_s = None
    for at_s, value in series.points:
        foreign = value is not None and value > idle_mib and not any(low <= at_s <= high for low, high in held)
        if begun_s is not None and last_s is not None and (not foreign or at_s - last_s > APART_S):
            yield begun_s, last_s
            begun_s = None
        if foreign:
            begun_s, last_s = at_s if begun_s is None else begun_s, at_s
    if begun_s is not None and last_s is not None:
        yield begun_s, last_s
