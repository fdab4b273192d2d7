"""The sums in the header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from gpualloc.model.inventory import Device
from gpualloc.model.workload import WorkloadState
from gpualloc.tui.rows import FleetRow, Moment, Standing
from gpualloc.tui.seen import Seen


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over devices; what is unknown is left out and counted."""

    memory_used_mib: int | None
    """Over devices of which both used and total are known; None when there is none."""
    memory_total_mib: int | None
    power_w: float | None
    unknown: int
    """Devices whose memory is not in the sums."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The fleet in a few numbers."""

    nodes: int
    nodes_ok: int
    """Answered well, not stale."""
    devices: int
    standing: Counter[Standing]
    sums: Sums
    running: int | None
    """None while the workloads are unknown."""
    pending: int | None


def sums(devices: Sequence[Device]) -> Sums:
    """Add up what is known."""
    pairs = [
        (device.memory_used_mib, device.memory_total_mib)
        for device in devices
        if device.memory_used_mib is not None and device.memory_total_mib is not None
    ]
    powers = [device.power_w for device in devices if device.power_w is not None]
    return Sums(
        memory_used_mib=sum(used for used, _ in pairs) if pairs else None,
        memory_total_mib=sum(total for _, total in pairs) if pairs else None,
        power_w=sum(powers) if powers else None,
        unknown=len(devices) - len(pairs),
    )


def totals(seen: Seen, rows: Sequence[FleetRow], moment: Moment) -> Totals:
    """Count what is fresh; the devices of stale rows are unknown and in no sum."""
    devices = [row for row in rows if row.device is not None]
    standing = Counter(
        row.standing if row.standing is Standing.FAULTY or not moment.is_stale(row) else Standing.UNKNOWN
        for row in devices
    )
    fresh = [row.device for row in devices if row.device is not None and not moment.is_stale(row)]
    known = sums(fresh)
    states = None if seen.workloads is None else Counter(workload.state for workload in seen.workloads)
    return Totals(
        nodes=len(seen.nodes),
        nodes_ok=sum(row.device is None and not moment.is_stale(row) for row in rows),
        devices=len(devices),
        standing=standing,
        sums=Sums(
            known.memory_used_mib, known.memory_total_mib, known.power_w, len(devices) - len(fresh) + known.unknown
        ),
        running=None if states is None else states[WorkloadState.RUNNING],
        pending=None if states is None else states[WorkloadState.PENDING],
    )
