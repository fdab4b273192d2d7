"""Devices of the fleet as CSV: a row each, and one for a node that shows none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.views.csv import Value, csv_text
from gpualloc.views.device_marks import holders


def _count_of_processes(node: Node, device: Device) -> int | None:
    """How many processes are on it; None when the driver does not tell of them."""
    if "processes" in device.unavailable:
        return None
    return sum(process.device == device.uuid for process in node.processes)


_NODE_COLUMNS: dict[str, Callable[[Node], Value]] = {
    "node": lambda node: node.name,
    "pool": lambda node: node.spec.pool,
    "simulated": lambda node: node.simulated,
    "node_state": lambda node: node.state.value,
    "node_reason": lambda node: node.reason,
    "node_cordon": lambda node: node.cordon,
    "limited": lambda node: node.limited,
    "at_s": lambda node: node.at_s,
    "driver_version": lambda node: node.driver_version,
}
_DEVICE_COLUMNS: dict[str, Callable[[Node, Device], Value]] = {
    "gpu": lambda _, device: device.index,
    "uuid": lambda _, device: device.uuid,
    "pci_bus_id": lambda _, device: device.board.pci_bus_id,
    "model": lambda _, device: device.model,
    "state": lambda _, device: device.state.value,
    "reason": lambda _, device: device.reason,
    "cordon": lambda _, device: device.cordon,
    "workloads": lambda node, device: " ".join(holders(node, device.uuid, None)),
    "processes": _count_of_processes,
    "mig_enabled": lambda _, device: device.mig_enabled,
    "mig_instances": lambda _, device: len(device.mig_instances),
    "memory_total_mib": lambda _, device: device.memory_total_mib,
    "memory_used_mib": lambda _, device: device.memory_used_mib,
    "gpu_utilization_ratio": lambda _, device: device.gpu_utilization_ratio,
    "memory_utilization_ratio": lambda _, device: device.memory_utilization_ratio,
    "sm_active_ratio": lambda _, device: device.activity.sm_active_ratio,
    "sm_occupancy_ratio": lambda _, device: device.activity.sm_occupancy_ratio,
    "tensor_active_ratio": lambda _, device: device.activity.tensor_active_ratio,
    "dram_active_ratio": lambda _, device: device.activity.dram_active_ratio,
    "power_w": lambda _, device: device.power_w,
    "power_limit_w": lambda _, device: device.power_limit_w,
    "energy_j": lambda _, device: device.energy_j,
    "temperature_c": lambda _, device: device.temperature_c,
    "memory_temperature_c": lambda _, device: device.memory_temperature_c,
    "fan_ratio": lambda _, device: device.fan_ratio,
    "sm_clock_mhz": lambda _, device: device.sm_clock_mhz,
    "memory_clock_mhz": lambda _, device: device.memory_clock_mhz,
    "performance_state": lambda _, device: device.performance_state,
    "throttles": lambda _, device: None if device.throttles is None else "; ".join(device.throttles),
    "pcie_generation": lambda _, device: device.pcie.generation,
    "pcie_width": lambda _, device: device.pcie.width,
    "pcie_rx_bytes_per_s": lambda _, device: device.pcie.rx_bytes_per_s,
    "pcie_tx_bytes_per_s": lambda _, device: device.pcie.tx_bytes_per_s,
    "nvlink_rx_bytes_per_s": lambda _, device: device.nvlink_rx_bytes_per_s,
    "nvlink_tx_bytes_per_s": lambda _, device: device.nvlink_tx_bytes_per_s,
    "ecc_volatile_corrected": lambda _, device: device.ecc.volatile_corrected,
    "ecc_volatile_uncorrected": lambda _, device: device.ecc.volatile_uncorrected,
    "ecc_remap_pending": lambda _, device: device.ecc.remap_pending,
    "ecc_remap_failed": lambda _, device: device.ecc.remap_failed,
    "unavailable": lambda _, device: "; ".join(f"{name}: {why}" for name, why in device.unavailable.items()),
}


def nodes_csv(snapshot: Snapshot) -> str:
    """One row for each device; what of it is empty is not known, and `unavailable` says why."""
    return csv_text((*_NODE_COLUMNS, *_DEVICE_COLUMNS), (row for node in snapshot.nodes for row in _rows(node)))


def _rows(node: Node) -> Iterator[Sequence[Value]]:
    of_node = [tell(node) for tell in _NODE_COLUMNS.values()]
    for device in node.devices:
        yield [*of_node, *(tell(node, device) for tell in _DEVICE_COLUMNS.values())]
    if not node.devices:
        yield [*of_node, *[None] * len(_DEVICE_COLUMNS)]
