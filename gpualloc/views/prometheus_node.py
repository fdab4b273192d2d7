"""What Prometheus is told of nodes: how they stand, their hosts and ports."""

from __future__ import annotations

from gpualloc.views.prometheus import MIB, family, readers

NODE_LABELS = ("node", "pool")

STATE = family("node_state", "1, with the state as a label: ok, stale, unreachable, ...", (*NODE_LABELS, "state"))
INFO = family(
    "node_info",
    "1, with what the node is as labels.",
    (*NODE_LABELS, "transport", "simulated", "limited", "hostname", "driver_version"),
)
HEARD = family(
    "node_last_heard_timestamp_seconds", "When the node was last heard, by this machine's clock.", NODE_LABELS
)
AGE = family("node_reading_age_seconds", "How old what is told of the node is, when this page was made.", NODE_LABELS)
GPUS = family("node_gpus", "GPUs that the driver of the node tells of.", NODE_LABELS)
GPUS_EXPECTED = family("node_gpus_expected", "GPUs that the configuration expects there.", NODE_LABELS)
CLAIM = family(
    "device_claim",
    "1 for each claim on a device: the workload that holds it.",
    (*NODE_LABELS, "uuid", "mig", "workload", "share"),
)
HOST_READERS = readers(
    NODE_LABELS,
    ("node_gpus_on_bus", "gpus_on_bus", "NVIDIA GPUs that the kernel sees on its PCI bus."),
    ("node_cpus", "cpus", "CPUs of the host."),
    ("node_cpu_utilization_ratio", "cpu_utilization_ratio", "Share of its CPUs that is busy."),
    ("node_memory_total_bytes", "memory_total_mib", "Memory of the host.", MIB),
    ("node_memory_available_bytes", "memory_available_mib", "Memory that new work could have.", MIB),
    ("node_disk_total_bytes", "disk_total_mib", "Its file system for work.", MIB),
    ("node_disk_used_bytes", "disk_used_mib", "How much of that is used.", MIB),
    ("node_network_receive_bytes_per_second", "network_rx_bytes_per_s", "Received by it."),
    ("node_network_transmit_bytes_per_second", "network_tx_bytes_per_s", "Sent by it."),
    ("node_network_errors_per_second", "network_errors_per_s", "Errors and drops of its interfaces."),
    ("node_rdma_receive_bytes_per_second", "rdma_rx_bytes_per_s", "Received by RDMA ports."),
    ("node_rdma_transmit_bytes_per_second", "rdma_tx_bytes_per_s", "Sent by RDMA ports."),
    ("node_swap_in_bytes_per_second", "swap_in_bytes_per_s", "Read back from swap."),
    ("node_swap_out_bytes_per_second", "swap_out_bytes_per_s", "Written to swap."),
    ("node_disk_reads_per_second", "disk_reads_per_s", "Operations of all its disks."),
    ("node_disk_writes_per_second", "disk_writes_per_s", "Operations of all its disks."),
)
PORT_READERS = readers(
    (*NODE_LABELS, "port", "kind"),
    ("node_port_up", "up", "1 when the port has a link."),
    ("node_port_speed_bytes_per_second", "speed_bytes_per_s", "Speed of the link."),
    ("node_port_receive_bytes_per_second", "rx_bytes_per_s", "Received by the port."),
    ("node_port_transmit_bytes_per_second", "tx_bytes_per_s", "Sent by the port."),
    ("node_port_errors_per_second", "errors_per_s", "Errors, drops and link failures of the port."),
)
