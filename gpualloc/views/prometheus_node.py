"""What Prometheus is told of nodes: how they stand, their hosts and ports."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpualloc.model.inventory import HostReading
from gpualloc.model.readings import NetworkPort
from gpualloc.views.prometheus import Family
from gpualloc.views.prometheus_device import DEVICE_LABELS, MIB

NODE_LABELS = ("node", "pool")
_PORT_LABELS = (*NODE_LABELS, "port", "kind")


def _gauge(name: str, about: str, labels: tuple[str, ...] = NODE_LABELS) -> Family:
    return Family(f"gpualloc_{name}", "gauge", about, labels)


def _mib(value: int | None) -> int | None:
    return None if value is None else value * MIB


STATE = _gauge("node_state", "1, with the state as a label: ok, stale, unreachable, ...", (*NODE_LABELS, "state"))
INFO = _gauge(
    "node_info",
    "1, with what the node is as labels.",
    (*NODE_LABELS, "transport", "simulated", "limited", "hostname", "driver_version"),
)
HEARD = _gauge("node_last_heard_timestamp_seconds", "When the node was last heard, by this machine's clock.")
AGE = _gauge("node_reading_age_seconds", "How old what is told of the node is, when this page was made.")
GPUS = _gauge("node_gpus", "GPUs that the driver of the node tells of.")
GPUS_EXPECTED = _gauge("node_gpus_expected", "GPUs that the configuration expects there.")
CLAIM = _gauge(
    "device_claim",
    "1 for each claim on a device: the workload that holds it.",
    (*NODE_LABELS, "uuid", "mig", "workload", "share"),
)
DEVICE_STATE = _gauge(
    "device_state", "1, with the state as a label: ok, driver not answering, GPU lost, ...", (*DEVICE_LABELS, "state")
)
DEVICE_INFO = _gauge(
    "device_info",
    "1, with what the device is as labels.",
    (*DEVICE_LABELS, "architecture", "pci_bus_id", "vbios_version"),
)
DEVICE_PROCESSES = _gauge("device_processes", "Processes on the device.", DEVICE_LABELS)

HOST_READERS: Mapping[Family, Callable[[HostReading], float | None]] = {
    _gauge("node_gpus_on_bus", "NVIDIA GPUs that the kernel sees on its PCI bus."): lambda h: h.gpus_on_bus,
    _gauge("node_cpus", "CPUs of the host."): lambda h: h.cpus,
    _gauge("node_cpu_utilization_ratio", "Share of its CPUs that is busy."): lambda h: h.cpu_utilization_ratio,
    _gauge("node_memory_total_bytes", "Memory of the host."): lambda h: _mib(h.memory_total_mib),
    _gauge("node_memory_available_bytes", "Memory that new work could have."): lambda h: _mib(h.memory_available_mib),
    _gauge("node_disk_total_bytes", "Its file system for work."): lambda h: _mib(h.disk_total_mib),
    _gauge("node_disk_used_bytes", "How much of that is used."): lambda h: _mib(h.disk_used_mib),
    _gauge("node_network_receive_bytes_per_second", "Received by it."): lambda h: h.network_rx_bytes_per_s,
    _gauge("node_network_transmit_bytes_per_second", "Sent by it."): lambda h: h.network_tx_bytes_per_s,
    _gauge("node_network_errors_per_second", "Errors and drops of its interfaces."): lambda h: h.network_errors_per_s,
    _gauge("node_rdma_receive_bytes_per_second", "Received by RDMA ports."): lambda h: h.rdma_rx_bytes_per_s,
    _gauge("node_rdma_transmit_bytes_per_second", "Sent by RDMA ports."): lambda h: h.rdma_tx_bytes_per_s,
    _gauge("node_swap_in_bytes_per_second", "Read back from swap."): lambda h: h.swap_in_bytes_per_s,
    _gauge("node_swap_out_bytes_per_second", "Written to swap."): lambda h: h.swap_out_bytes_per_s,
    _gauge("node_disk_reads_per_second", "Operations of all its disks."): lambda h: h.disk_reads_per_s,
    _gauge("node_disk_writes_per_second", "Operations of all its disks."): lambda h: h.disk_writes_per_s,
}

PORT_READERS: Mapping[Family, Callable[[NetworkPort], float | None]] = {
    _gauge("node_port_up", "1 when the port has a link.", _PORT_LABELS): lambda p: p.up,
    _gauge("node_port_speed_bytes_per_second", "Speed of the link.", _PORT_LABELS): lambda p: p.speed_bytes_per_s,
    _gauge("node_port_receive_bytes_per_second", "Received by the port.", _PORT_LABELS): lambda p: p.rx_bytes_per_s,
    _gauge("node_port_transmit_bytes_per_second", "Sent by the port.", _PORT_LABELS): lambda p: p.tx_bytes_per_s,
    _gauge("node_port_errors_per_second", "Errors, drops and link failures of the port.", _PORT_LABELS): lambda p: (
        p.errors_per_s
    ),
}
