"""What Prometheus is told of devices, MIG instances and processes."""

from __future__ import annotations

from collections.abc import Iterator

from gpualloc.model.inventory import Device, MigInstance
from gpualloc.views.device_marks import throttled_by
from gpualloc.views.prometheus import MHZ, MIB, family, readers

DEVICE_LABELS = ("node", "pool", "gpu", "uuid", "model")
_MIG_LABELS = ("node", "pool", "gpu", "uuid", "mig", "profile")
_PROCESS_LABELS = (
    "node",
    "gpu",
    "uuid",
    "mig",
    "pid",
    "user",
    "program",
    "workload",
    "slurm_job",
    "pod",
    "container",
)


def _nvlink_errors(device: Device) -> int | None:
    """Errors of all its NVLinks; None when it has none, or those of one are not known."""
    told = [link.errors for link in device.nvlinks if link.errors is not None]
    return sum(told) if told and len(told) == len(device.nvlinks) else None


def _links_up(device: Device) -> int | None:
    return sum(link.up is True for link in device.nvlinks) if device.nvlinks else None


def _links_down(device: Device) -> int | None:
    return sum(link.up is False for link in device.nvlinks) if device.nvlinks else None


def _throttled(device: Device) -> bool | None:
    return None if device.throttles is None else bool(throttled_by(device))


STATE = family(
    "device_state", "1, with the state as a label: ok, driver not answering, GPU lost, ...", (*DEVICE_LABELS, "state")
)
INFO = family(
    "device_info",
    "1, with what the device is as labels.",
    (*DEVICE_LABELS, "architecture", "pci_bus_id", "vbios_version"),
)
PROCESSES = family("device_processes", "Processes on the device.", DEVICE_LABELS)
THROTTLE = family(
    "device_throttle_reason", "1 for each reason why its clocks are held down now.", (*DEVICE_LABELS, "reason")
)
DEVICE_READERS = readers(
    DEVICE_LABELS,
    ("device_memory_total_bytes", "memory_total_mib", "Memory of the GPU.", MIB),
    ("device_memory_used_bytes", "memory_used_mib", "Memory of the GPU in use.", MIB),
    ("device_utilization_ratio", "gpu_utilization_ratio", "Share of time in which a kernel ran."),
    ("device_memory_utilization_ratio", "memory_utilization_ratio", "Share of time in which the memory bus was busy."),
    ("device_sm_active_ratio", "activity.sm_active_ratio", "Mean share of SMs with a warp in flight (GPM)."),
    ("device_sm_occupancy_ratio", "activity.sm_occupancy_ratio", "Mean share of warp slots in use (GPM)."),
    ("device_tensor_active_ratio", "activity.tensor_active_ratio", "Share of time in which tensor pipes worked (GPM)."),
    ("device_dram_active_ratio", "activity.dram_active_ratio", "Share of the memory bandwidth in use (GPM)."),
    ("device_encoder_utilization_ratio", "encoder_utilization_ratio", "Share of time in which its encoders worked."),
    ("device_decoder_utilization_ratio", "decoder_utilization_ratio", "Share of time in which its decoders worked."),
    ("device_power_watts", "power_w", "Power that it draws."),
    ("device_power_limit_watts", "power_limit_w", "Power limit in force."),
    ("device_energy_joules_total", "energy_j", "Energy since its driver was loaded."),
    ("device_temperature_celsius", "temperature_c", "Temperature of the GPU."),
    ("device_memory_temperature_celsius", "memory_temperature_c", "Temperature of its memory."),
    ("device_fan_ratio", "fan_ratio", "Speed of the fan, of its highest."),
    ("device_sm_clock_hertz", "sm_clock_mhz", "Clock of the SMs.", MHZ),
    ("device_memory_clock_hertz", "memory_clock_mhz", "Clock of the memory.", MHZ),
    ("device_performance_state", "performance_state", "P-state, 0 is the highest."),
    ("device_throttled", _throttled, "1 when something but a setting or want of work holds its clocks down."),
    ("device_pcie_generation", "pcie.generation", "PCIe generation as it runs now."),
    ("device_pcie_generation_max", "pcie.generation_max", "Highest that GPU and slot can do."),
    ("device_pcie_lanes", "pcie.width", "PCIe lanes in use."),
    ("device_pcie_lanes_max", "pcie.width_max", "Most that GPU and slot can do."),
    ("device_pcie_replays_total", "pcie.replays", "PCIe packets sent again since its driver was loaded."),
    ("device_pcie_receive_bytes_per_second", "pcie.rx_bytes_per_s", "PCIe throughput towards the GPU."),
    ("device_pcie_transmit_bytes_per_second", "pcie.tx_bytes_per_s", "PCIe throughput from the GPU."),
    ("device_nvlink_receive_bytes_per_second", "nvlink_rx_bytes_per_s", "Over all its NVLinks, towards it."),
    ("device_nvlink_transmit_bytes_per_second", "nvlink_tx_bytes_per_s", "Over all its NVLinks, from it."),
    ("device_nvlinks_up", _links_up, "NVLinks that are up."),
    ("device_nvlinks_down", _links_down, "NVLinks that are down."),
    ("device_nvlink_errors_total", _nvlink_errors, "Errors of all its NVLinks since its driver was loaded."),
    ("device_ecc_enabled", "ecc.enabled", "1 when its memory corrects errors."),
    (
        "device_ecc_corrected_errors_total",
        "ecc.volatile_corrected",
        "Corrected memory errors since its driver was loaded.",
    ),
    (
        "device_ecc_uncorrected_errors_total",
        "ecc.volatile_uncorrected",
        "Uncorrected memory errors since its driver was loaded.",
    ),
    (
        "device_ecc_board_corrected_errors_total",
        "ecc.aggregate_corrected",
        "Corrected memory errors in the life of the board.",
    ),
    (
        "device_ecc_board_uncorrected_errors_total",
        "ecc.aggregate_uncorrected",
        "Uncorrected memory errors in the life of the board.",
    ),
    ("device_remapped_rows_corrected", "ecc.remapped_corrected", "Memory rows replaced for corrected errors."),
    ("device_remapped_rows_uncorrected", "ecc.remapped_uncorrected", "Memory rows replaced for uncorrected errors."),
    ("device_row_remap_pending", "ecc.remap_pending", "1 when a memory row waits for a reset to be replaced."),
    ("device_row_remap_failed", "ecc.remap_failed", "1 when a memory row could not be replaced."),
    ("device_mig_enabled", "mig_enabled", "1 when it is in MIG mode."),
)
MIG_READERS = readers(
    _MIG_LABELS,
    ("mig_memory_total_bytes", "memory_total_mib", "Memory of the MIG instance.", MIB),
    ("mig_memory_used_bytes", "memory_used_mib", "Memory of the MIG instance in use.", MIB),
    ("mig_sm_active_ratio", "activity.sm_active_ratio", "Mean share of its SMs with a warp in flight (GPM)."),
    (
        "mig_tensor_active_ratio",
        "activity.tensor_active_ratio",
        "Share of time in which its tensor pipes worked (GPM).",
    ),
    ("mig_dram_active_ratio", "activity.dram_active_ratio", "Share of its memory bandwidth in use (GPM)."),
)
PROCESS_READERS = readers(
    _PROCESS_LABELS,
    ("process_gpu_memory_used_bytes", "gpu_memory_used_mib", "GPU memory of the process on the device.", MIB),
    ("process_gpu_utilization_ratio", "gpu_utilization_ratio", "Share of time in which its kernels ran."),
    ("process_cpu_utilization_ratio", "cpu_utilization_ratio", "CPUs that it keeps busy."),
    ("process_host_memory_bytes", "host_memory_mib", "Memory of the host that it uses.", MIB),
)


def instances_of(device: Device) -> Iterator[MigInstance]:
    """Each of its MIG instances once."""
    return iter({instance.uuid: instance for instance in device.mig_instances}.values())
