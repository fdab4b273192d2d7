"""Remember what was seen: one tick of samples on the grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gpualloc.engine.context import Context
from gpualloc.engine.observe import observe
from gpualloc.errors import UnreachableError
from gpualloc.model.inventory import Device, Node, NodeState, Snapshot
from gpualloc.model.readings import NO_THROTTLE, Activity
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind

PRUNE_EVERY_TICKS = 360
"""Old samples are dropped every that many ticks: retention need not be exact."""
PRUNE_AFTER_S = 3600.0
"""By how much the oldest sample is too old when a single tick drops what is."""


def sample(ctx: Context, snapshot: Snapshot | None = None) -> int:
    """Store one tick of everything seen; looks at the fleet when no snapshot is given. Old samples are dropped.

    Returns:
        the number of rows stored.

    Raises:
        UnreachableError: no node answered.
    """
    seen = snapshot or observe(ctx)
    rows = _append(ctx, seen, ctx.settings.sample_every_s)
    span, before_s = ctx.history.span(), seen.at_s - ctx.settings.history_retention_s
    if span is not None and span[0] < before_s - PRUNE_AFTER_S:
        ctx.history.prune(before_s)
    return rows


def sample_every(
    ctx: Context, every_s: float, stopped: Callable[[], bool], on_tick: Callable[[int, int, str | None], None]
) -> None:
    """Sample on the grid until `stopped`; a tick with no node answering is a gap, not an end.

    Args:
        ctx: the ports.
        every_s: width of the grid in seconds.
        stopped: asked before every tick and while waiting.
        on_tick: called with (epoch second of the tick, rows stored, what went wrong or None).
    """
    ticks = 0
    while not stopped():
        now_s = ctx.clock.now_s()
        try:
            rows, trouble = _append(ctx, observe(ctx), every_s), None
        except UnreachableError as error:
            rows, trouble = 0, error.message
        on_tick(int(now_s // every_s * every_s), rows, trouble)
        if ticks % PRUNE_EVERY_TICKS == 0:
            ctx.history.prune(now_s - ctx.settings.history_retention_s)
        ticks += 1
        _sleep_to_next(ctx, every_s, stopped)


def _append(ctx: Context, seen: Snapshot, grid_s: float) -> int:
    return ctx.history.append(list(samples_of(seen, int(seen.at_s // grid_s * grid_s))))


def samples_of(snapshot: Snapshot, at_s: int) -> Iterator[Sample]:
    """One sample for each node, device, MIG instance and running workload that was seen at all.

    A node that was not reached has no sample: a gap, not a row of zeros.
    """
    for node in snapshot.nodes:
        if node.state is not NodeState.OK:
            continue
        yield Sample(SeriesKey(SeriesKind.NODE, node.name, ""), at_s, _host_values(node))
        for device in node.devices:
            yield Sample(SeriesKey(SeriesKind.DEVICE, node.name, device.uuid), at_s, _device_values(device))
            for instance in device.mig_instances:
                yield Sample(
                    SeriesKey(SeriesKind.MIG_INSTANCE, node.name, instance.uuid),
                    at_s,
                    {
                        "gpu_memory_used_mib": instance.memory_used_mib,
                        "gpu_memory_total_mib": instance.memory_total_mib,
                        **_active(instance.activity),
                    },
                )
        for record in node.workloads:
            if record.end is None:
                values = _workload_values(node, record.workload)
                yield Sample(SeriesKey(SeriesKind.WORKLOAD, node.name, record.workload), at_s, values)


def _host_values(node: Node) -> Mapping[str, float | None]:
    host = node.host
    return {
        "cpu_utilization_ratio": host.cpu_utilization_ratio,
        "memory_available_mib": host.memory_available_mib,
        "disk_used_mib": host.disk_used_mib,
        "network_rx_bytes_per_s": host.network_rx_bytes_per_s,
        "network_tx_bytes_per_s": host.network_tx_bytes_per_s,
        "swap_in_bytes_per_s": host.swap_in_bytes_per_s,
        "disk_reads_per_s": host.disk_reads_per_s,
        "disk_writes_per_s": host.disk_writes_per_s,
        "network_errors_per_s": host.network_errors_per_s,
        "rdma_rx_bytes_per_s": host.rdma_rx_bytes_per_s,
        "rdma_tx_bytes_per_s": host.rdma_tx_bytes_per_s,
    }


def _device_values(device: Device) -> Mapping[str, float | None]:
    return {
        "gpu_utilization_ratio": device.gpu_utilization_ratio,
        "memory_utilization_ratio": device.memory_utilization_ratio,
        "gpu_memory_used_mib": device.memory_used_mib,
        "gpu_memory_total_mib": device.memory_total_mib,
        "power_w": device.power_w,
        "temperature_c": device.temperature_c,
        "sm_clock_mhz": device.sm_clock_mhz,
        "memory_temperature_c": device.memory_temperature_c,
        "memory_clock_mhz": device.memory_clock_mhz,
        "energy_j": device.energy_j,
        "throttled": _throttled(device),
        "pcie_rx_bytes_per_s": device.pcie.rx_bytes_per_s,
        "pcie_tx_bytes_per_s": device.pcie.tx_bytes_per_s,
        "nvlink_rx_bytes_per_s": device.nvlink_rx_bytes_per_s,
        "nvlink_tx_bytes_per_s": device.nvlink_tx_bytes_per_s,
        "ecc_uncorrected": device.ecc.volatile_uncorrected,
        **_active(device.activity),
    }


def _active(activity: Activity) -> Mapping[str, float | None]:
    return {
        "sm_active_ratio": activity.sm_active_ratio,
        "tensor_active_ratio": activity.tensor_active_ratio,
        "dram_active_ratio": activity.dram_active_ratio,
    }


def _throttled(device: Device) -> float | None:
    """1 where something holds its clocks down that is not a setting or want of work, else 0."""
    if device.throttles is None:
        return None
    return float(any(reason not in NO_THROTTLE for reason in device.throttles))


def _workload_values(node: Node, workload: str) -> Mapping[str, float | None]:
    """What it uses on the node; of devices that it shares only its memory is known.

    Utilization is the mean over its devices, power their sum.
    """
    devices = _own_devices(node, workload)
    used = [device.gpu_utilization_ratio for device in devices if device.gpu_utilization_ratio is not None]
    power_w = [device.power_w for device in devices if device.power_w is not None]
    return {
        "gpu_memory_used_mib": _memory_of(node, workload),
        "gpu_utilization_ratio": sum(used) / len(used) if used and len(used) == len(devices) else None,
        "power_w": sum(power_w) if power_w and len(power_w) == len(devices) else None,
    }


def _own_devices(node: Node, workload: str) -> list[Device]:
    """The devices it holds or uses; empty when one of them is not all its own, or is not told of.

    An instance is a part of its device, whose readings are of the whole.
    """
    holders: dict[str, set[str | None]] = {}
    for claim in node.claims:
        holders.setdefault(claim.device, set()).add(claim.workload if claim.mig_instance is None else None)
    for process in node.processes:
        holders.setdefault(process.device, set()).add(process.workload if process.mig_instance is None else None)
    held = {claim.device for claim in node.claims if claim.workload == workload}
    held |= {process.device for process in node.processes if process.workload == workload}
    own = [device for device in node.devices if device.uuid in held]
    return own if len(own) == len(held) and all(holders[uuid] == {workload} for uuid in held) else []


def _memory_of(node: Node, workload: str) -> int | None:
    """GPU memory of all its processes; None when it has none on a GPU, or one is unknown."""
    used = [process.gpu_memory_used_mib for process in node.processes if process.workload == workload]
    known = [mib for mib in used if mib is not None]
    return sum(known) if used and len(known) == len(used) else None


def _sleep_to_next(ctx: Context, every_s: float, stopped: Callable[[], bool]) -> None:
    until_s = (ctx.clock.now_s() // every_s + 1) * every_s
    while not stopped():
        left_s = until_s - ctx.clock.now_s()
        if left_s <= 0:
            return
        ctx.clock.sleep(min(left_s, max(0.2, every_s / 20)))
