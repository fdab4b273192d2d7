"""Rows of the wire for GPUs that are read through nvidia-smi; what that does not tell says so."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from gpualloc.adapters.smi_table import BOARD, LOAD, ROWS, Row

_FIXED = ("index", "model", "memory_total_mib", "mig_enabled", "mig_pending")
_FIXED_PARTS = ("power_limit_default_w", "power_limit_min_w", "power_limit_max_w", "settings.", "board.")
_NOT_SEEN_FIXED = (
    "architecture",
    "cpus",
    "numa_node",
    "mig_profiles",
    "peers",
    "settings.sm_clock_min_mhz",
    "settings.sm_clock_max_mhz",
)
_NOT_SEEN = (
    "energy_j",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "activity.sm_active_ratio",
    "activity.sm_occupancy_ratio",
    "activity.tensor_active_ratio",
    "activity.dram_active_ratio",
    "pcie.replays",
    "pcie.rx_bytes_per_s",
    "pcie.tx_bytes_per_s",
    "nvlinks",
    "nvlink_rx_bytes_per_s",
    "nvlink_tx_bytes_per_s",
)
_LISTS = frozenset({"mig_profiles", "nvlinks", "peers"})
"""Left out rather than null."""
_OUTSIDE = frozenset({"uuid", "driver_version"})
_NO_MIG_LOAD = ("gpu_utilization_ratio", "memory_utilization_ratio")
_REASONS = {"GPU lost": "lost", "driver not answering": "hung", "no permission": "no permission"}


class Gpu(Struct):
    """One GPU, and what was told of it until now."""

    uuid: str
    index: int = 0
    model: str = "unknown"
    minor: int | None = None
    memory_total_mib: int | None = None
    bus: str | None = None
    state: str = "ok"
    reason: str | None = None
    load: Row | None = None
    """Of this look; None when there was none."""
    slow: dict[str, Row] = field(default_factory=dict)
    """By word what is asked for less often; it stays until it is told anew."""
    unasked: dict[str, str] = field(default_factory=dict)
    """Field to reason for each that no answer tells."""
    instances: tuple[dict[str, object], ...] = ()
    """MIG instances as rows of inventory and sample in one."""
    no_processes: str | None = None
    """Why its processes are not known; None when they are."""

    @property
    def mig_enabled(self) -> bool:
        """Whether it is known to be in MIG mode."""
        return any(row.values.get("mig_enabled") is True for row in self.slow.values())


def inventory_row(gpu: Gpu) -> dict[str, Any]:
    """The GPU's row of `inventory`."""
    row: dict[str, Any] = {"uuid": gpu.uuid, "index": gpu.index, "model": gpu.model, "minor": gpu.minor}
    row["memory_total_mib"] = gpu.memory_total_mib
    row.update(mig_instances=list(gpu.instances), state=gpu.state, reason=gpu.reason, settings={}, board={})
    row["unavailable"] = {} if gpu.minor is not None else {"minor": "not seen"}
    _fill(row, gpu, _NOT_SEEN_FIXED, fixed=True)
    row["settings"]["power_limit_w"] = gpu.load.values.get("power_limit_w") if gpu.load else None
    if row["board"].get("pci_bus_id") is None and gpu.bus is not None:
        row["board"]["pci_bus_id"] = gpu.bus
        row["unavailable"].pop("board.pci_bus_id", None)
    return row


def sample_row(gpu: Gpu) -> dict[str, Any]:
    """The GPU's row of `sample`."""
    row: dict[str, Any] = {"uuid": gpu.uuid, "state": gpu.state, "reason": gpu.reason, "unavailable": {}}
    row.update(mig_instances=[dict(instance) for instance in gpu.instances], activity={}, ecc={}, pcie={})
    _fill(row, gpu, _NOT_SEEN, fixed=False)
    for name in _NO_MIG_LOAD if gpu.mig_enabled else ():
        if row["unavailable"].get(name) == "not supported":
            row["unavailable"][name] = "mig"
    if gpu.no_processes is not None:
        row["unavailable"]["processes"] = gpu.no_processes
    return row


def _fill(row: dict[str, Any], gpu: Gpu, not_seen: tuple[str, ...], *, fixed: bool) -> None:
    """Put every value of one of the two rows in its place, or its reason among the unavailable."""
    # What a GPU that does not answer told of itself before is no reading of now.
    told = [gpu.load, *(gpu.slow.values() if fixed or gpu.load is not None else ())]
    for name in dict.fromkeys(column.field for column in (*LOAD, *BOARD, *ROWS)):
        if name in _OUTSIDE or (name in _FIXED or name.startswith(_FIXED_PARTS)) is not fixed:
            continue
        value = next((each.values[name] for each in told if each is not None and name in each.values), None)
        if value is None and row.get(name) is None:
            row["unavailable"][name] = _why(gpu, name)
        if value is not None or name not in row:
            _place(row, name, value)
    for name in not_seen:
        row["unavailable"][name] = "not seen"
        if name not in _LISTS:
            _place(row, name, None)


def _why(gpu: Gpu, name: str) -> str:
    if gpu.state in _REASONS:
        return _REASONS[gpu.state]
    for row in (gpu.load, *gpu.slow.values()):
        if row is not None and name in row.missing:
            return row.missing[name]
    return gpu.unasked.get(name, "not yet" if gpu.state == "ok" else "failed")


def _place(row: dict[str, Any], name: str, value: object) -> None:
    part, _, inner = name.rpartition(".")
    (row[part] if part else row)[inner] = value
