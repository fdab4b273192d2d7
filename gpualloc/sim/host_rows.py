"""What a simulated node tells of itself as a host: its size, its load, its ports, its kernel log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gpualloc.sim.cluster import Fault, HostSpec
from gpualloc.sim.gpu import FaultKind
from gpualloc.sim.topology import pci_bus_id

DISK_MIB = 1_900_000
_RDMA_BYTES_PER_S = 50e9
_ETHERNET_BYTES_PER_S = 12.5e9
_DRIVER_LINES = {
    FaultKind.LOST: (79, "GPU has fallen off the bus."),
    FaultKind.ECC_ERRORS: (48, "DBE (double bit error) ECC error occurred."),
    FaultKind.REMAP_PENDING: (63, "Row remapper: new row marked for remapping, reset the GPU to activate."),
}
"""Faults that leave a line in the kernel log: its Xid, and its words."""
_ORDER = {kind: number for number, kind in enumerate(FaultKind)}
_PER_GPU = len(_ORDER)
_PER_MS = 64 * _PER_GPU


def host_size_row(host: HostSpec) -> dict[str, Any]:
    """`host` of `inventory`."""
    return {
        "cpus": host.cpus,
        "memory_total_mib": host.memory_gib * 1024,
        "disk_total_mib": DISK_MIB,
        "gpus_on_bus": len(host.gpus),
    }


def host_load_row(host: HostSpec, *, busy: float, wobble: float, used_mib: int, running: int) -> dict[str, Any]:
    """`host` of `sample`.

    Args:
        host: the node.
        busy: how many CPUs work.
        wobble: noise of this moment, 0..1.
        used_mib: host memory in use.
        running: how many workloads run.
    """
    received, sent = round(2e6 * wobble * (1 + running)), round(1e6 * wobble * (1 + running))
    has_rdma = host.labels.get("net") == "ib"
    rdma = round(4e9 * wobble * running) if has_rdma else None
    return {
        "cpu_utilization_ratio": round(min(1.0, (busy * wobble + 0.5) / host.cpus), 3),
        "memory_available_mib": max(0, host.memory_gib * 1024 - used_mib),
        "disk_used_mib": DISK_MIB // 3,
        "network_rx_bytes_per_s": received,
        "network_tx_bytes_per_s": sent,
        "swap_in_bytes_per_s": 0,
        "swap_out_bytes_per_s": 0,
        "disk_reads_per_s": round(5 + 40 * wobble * running, 1),
        "disk_writes_per_s": round(20 + 15 * wobble * running, 1),
        "network_errors_per_s": 0,
        "rdma_rx_bytes_per_s": rdma,
        "rdma_tx_bytes_per_s": rdma,
        "ports": [
            _port("eth0", "ethernet", _ETHERNET_BYTES_PER_S, received, sent),
            *([_port("mlx5_0/1", "infiniband", _RDMA_BYTES_PER_S, rdma, rdma)] if has_rdma else []),
        ],
    }


def kernel_rows(faults: Iterable[Fault], start_s: float, booted_s: float, now_s: float) -> list[dict[str, Any]]:
    """`messages` of `kernel`: a line at the beginning of each fault that leaves one, of this boot.

    Args:
        faults: of the node, over as well as still there.
        start_s: when the simulation began, epoch seconds.
        booted_s: when the node was booted.
        now_s: lines later than this are not there yet.
    """
    rows = []
    for fault in faults:
        at_s = start_s + fault.from_s
        line = (fault.code, "simulated fault") if fault.kind is FaultKind.XID else _DRIVER_LINES.get(fault.kind)
        if line is not None and fault.gpu is not None and booted_s <= at_s <= now_s:
            rows.append(_message(fault, fault.gpu, at_s, line))
    return sorted(rows, key=lambda row: row["seq"])


def _message(fault: Fault, gpu: int, at_s: float, line: tuple[int | None, str]) -> dict[str, Any]:
    code, words = line
    place = pci_bus_id(gpu)
    return {
        "seq": int(fault.from_s * 1000) * _PER_MS + gpu * _PER_GPU + _ORDER[fault.kind],
        "at_s": at_s,
        "kind": "xid",
        "code": code,
        "pci_bus_id": place,
        "text": f"NVRM: Xid (PCI:{place.rpartition('.')[0]}): {code}, {words}",
    }


def _port(name: str, kind: str, speed: float, received: float | None, sent: float | None) -> Mapping[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "up": True,
        "speed_bytes_per_s": speed,
        "rx_bytes_per_s": received,
        "tx_bytes_per_s": sent,
        "errors_per_s": 0,
    }
