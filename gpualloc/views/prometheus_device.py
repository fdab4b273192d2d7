"""What Prometheus is told of devices, MIG instances and processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gpualloc.model.inventory import Device, MigInstance, Process
from gpualloc.views.device_marks import throttled_by
from gpualloc.views.prometheus import Family

MIB = 1 << 20
_MHZ = 1_000_000
DEVICE_LABELS = ("node", "pool", "gpu", "uuid", "model")
MIG_LABELS = ("node", "pool", "gpu", "uuid", "mig", "profile")
PROCESS_LABELS = (
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
_DeviceReader = Callable[[Device], float | None]


def _gauge(name: str, about: str, *more: str, labels: tuple[str, ...] = DEVICE_LABELS) -> Family:
    return Family(f"gpualloc_{name}", "gauge", about, (*labels, *more))


def _counter(name: str, about: str) -> Family:
    return Family(f"gpualloc_{name}", "counter", about, DEVICE_LABELS)


def _scaled(value: float | None, factor: int) -> float | None:
    return None if value is None else value * factor


def _nvlink_errors(device: Device) -> int | None:
    """Errors of all its NVLinks; None when it has none, or those of one are not known."""
    told = [link.errors for link in device.nvlinks if link.errors is not None]
    return sum(told) if told and len(told) == len(device.nvlinks) else None


def _links(device: Device, *, up: bool) -> int | None:
    return sum(link.up is up for link in device.nvlinks) if device.nvlinks else None


def _throttled(device: Device) -> bool | None:
    return None if device.throttles is None else bool(throttled_by(device))


DEVICE_READERS: Mapping[Family, _DeviceReader] = {
    _gauge("device_memory_total_bytes", "Memory of the GPU."): lambda d: _scaled(d.memory_total_mib, MIB),
    _gauge("device_memory_used_bytes", "Memory of the GPU in use."): lambda d: _scaled(d.memory_used_mib, MIB),
    _gauge("device_utilization_ratio", "Share of time in which a kernel ran."): lambda d: d.gpu_utilization_ratio,
    _gauge("device_memory_utilization_ratio", "Share of time in which the memory bus was busy."): lambda d: (
        d.memory_utilization_ratio
    ),
    _gauge("device_sm_active_ratio", "Mean share of SMs with a warp in flight (GPM)."): lambda d: (
        d.activity.sm_active_ratio
    ),
    _gauge("device_sm_occupancy_ratio", "Mean share of warp slots in use (GPM)."): lambda d: (
        d.activity.sm_occupancy_ratio
    ),
    _gauge("device_tensor_active_ratio", "Share of time in which the tensor pipes worked (GPM)."): lambda d: (
        d.activity.tensor_active_ratio
    ),
    _gauge("device_dram_active_ratio", "Share of the memory bandwidth in use (GPM)."): lambda d: (
        d.activity.dram_active_ratio
    ),
    _gauge("device_encoder_utilization_ratio", "Share of time in which the encoders worked."): lambda d: (
        d.encoder_utilization_ratio
    ),
    _gauge("device_decoder_utilization_ratio", "Share of time in which the decoders worked."): lambda d: (
        d.decoder_utilization_ratio
    ),
    _gauge("device_power_watts", "Power that it draws."): lambda d: d.power_w,
    _gauge("device_power_limit_watts", "Power limit in force."): lambda d: d.power_limit_w,
    _counter("device_energy_joules_total", "Energy since its driver was loaded."): lambda d: d.energy_j,
    _gauge("device_temperature_celsius", "Temperature of the GPU."): lambda d: d.temperature_c,
    _gauge("device_memory_temperature_celsius", "Temperature of its memory."): lambda d: d.memory_temperature_c,
    _gauge("device_fan_ratio", "Speed of the fan, of its highest."): lambda d: d.fan_ratio,
    _gauge("device_sm_clock_hertz", "Clock of the SMs."): lambda d: _scaled(d.sm_clock_mhz, _MHZ),
    _gauge("device_memory_clock_hertz", "Clock of the memory."): lambda d: _scaled(d.memory_clock_mhz, _MHZ),
    _gauge("device_performance_state", "P-state, 0 is the highest."): lambda d: d.performance_state,
    _gauge(
        "device_throttled", "1 when something other than a setting or want of work holds its clocks down."
    ): _throttled,
    _gauge("device_pcie_generation", "PCIe generation as it runs now."): lambda d: d.pcie.generation,
    _gauge("device_pcie_generation_max", "Highest that GPU and slot can do."): lambda d: d.pcie.generation_max,
    _gauge("device_pcie_lanes", "PCIe lanes in use."): lambda d: d.pcie.width,
    _gauge("device_pcie_lanes_max", "Most that GPU and slot can do."): lambda d: d.pcie.width_max,
    _counter("device_pcie_replays_total", "PCIe packets sent again since its driver was loaded."): lambda d: (
        d.pcie.replays
    ),
    _gauge("device_pcie_receive_bytes_per_second", "PCIe throughput towards the GPU."): lambda d: d.pcie.rx_bytes_per_s,
    _gauge("device_pcie_transmit_bytes_per_second", "PCIe throughput from the GPU."): lambda d: d.pcie.tx_bytes_per_s,
    _gauge("device_nvlink_receive_bytes_per_second", "Over all its NVLinks, towards it."): lambda d: (
        d.nvlink_rx_bytes_per_s
    ),
    _gauge("device_nvlink_transmit_bytes_per_second", "Over all its NVLinks, from it."): lambda d: (
        d.nvlink_tx_bytes_per_s
    ),
    _gauge("device_nvlinks_up", "NVLinks that are up."): lambda d: _links(d, up=True),
    _gauge("device_nvlinks_down", "NVLinks that are down."): lambda d: _links(d, up=False),
    _counter(
        "device_nvlink_errors_total", "Replays, recoveries and CRC errors of its NVLinks since its driver was loaded."
    ): _nvlink_errors,
    _gauge("device_ecc_enabled", "1 when its memory corrects errors."): lambda d: d.ecc.enabled,
    _counter("device_ecc_corrected_errors_total", "Corrected memory errors since its driver was loaded."): lambda d: (
        d.ecc.volatile_corrected
    ),
    _counter(
        "device_ecc_uncorrected_errors_total", "Uncorrected memory errors since its driver was loaded."
    ): lambda d: d.ecc.volatile_uncorrected,
    _counter(
        "device_ecc_board_corrected_errors_total", "Corrected memory errors in the life of the board."
    ): lambda d: d.ecc.aggregate_corrected,
    _counter(
        "device_ecc_board_uncorrected_errors_total", "Uncorrected memory errors in the life of the board."
    ): lambda d: d.ecc.aggregate_uncorrected,
    _gauge("device_remapped_rows_corrected", "Memory rows replaced for corrected errors."): lambda d: (
        d.ecc.remapped_corrected
    ),
    _gauge("device_remapped_rows_uncorrected", "Memory rows replaced for uncorrected errors."): lambda d: (
        d.ecc.remapped_uncorrected
    ),
    _gauge("device_row_remap_pending", "1 when a memory row waits for a reset to be replaced."): lambda d: (
        d.ecc.remap_pending
    ),
    _gauge("device_row_remap_failed", "1 when a memory row could not be replaced."): lambda d: d.ecc.remap_failed,
    _gauge("device_mig_enabled", "1 when it is in MIG mode."): lambda d: d.mig_enabled,
}

THROTTLE = _gauge("device_throttle_reason", "1 for each reason why its clocks are held down now.", "reason")

MIG_READERS: Mapping[Family, Callable[[MigInstance], float | None]] = {
    _gauge("mig_memory_total_bytes", "Memory of the MIG instance.", labels=MIG_LABELS): lambda i: _scaled(
        i.memory_total_mib, MIB
    ),
    _gauge("mig_memory_used_bytes", "Memory of the MIG instance in use.", labels=MIG_LABELS): lambda i: _scaled(
        i.memory_used_mib, MIB
    ),
    _gauge("mig_sm_active_ratio", "Mean share of its SMs with a warp in flight (GPM).", labels=MIG_LABELS): lambda i: (
        i.activity.sm_active_ratio
    ),
    _gauge(
        "mig_tensor_active_ratio", "Share of time in which its tensor pipes worked (GPM).", labels=MIG_LABELS
    ): lambda i: i.activity.tensor_active_ratio,
    _gauge("mig_dram_active_ratio", "Share of its memory bandwidth in use (GPM).", labels=MIG_LABELS): lambda i: (
        i.activity.dram_active_ratio
    ),
}

PROCESS_READERS: Mapping[Family, Callable[[Process], float | None]] = {
    _gauge(
        "process_gpu_memory_used_bytes", "GPU memory of the process on the device.", labels=PROCESS_LABELS
    ): lambda p: _scaled(p.gpu_memory_used_mib, MIB),
    _gauge(
        "process_gpu_utilization_ratio", "Share of time in which its kernels ran.", labels=PROCESS_LABELS
    ): lambda p: p.gpu_utilization_ratio,
    _gauge("process_cpu_utilization_ratio", "CPUs that it keeps busy.", labels=PROCESS_LABELS): lambda p: (
        p.cpu_utilization_ratio
    ),
    _gauge("process_host_memory_bytes", "Memory of the host that it uses.", labels=PROCESS_LABELS): lambda p: _scaled(
        p.host_memory_mib, MIB
    ),
}


def instances_of(device: Device) -> Iterator[MigInstance]:
    """Each of its MIG instances once."""
    return iter({instance.uuid: instance for instance in device.mig_instances}.values())
