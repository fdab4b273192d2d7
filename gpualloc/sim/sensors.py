"""What a simulated GPU tells beside its load: clocks, energy, throttles, memory errors, PCIe, real use.

Assumed, and plausible rather than measured; the same whenever the same time is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from gpualloc.sim.gpu import FaultKind, GpuModel, Readings
from gpualloc.sim.topology import LANES, has_hbm, is_desktop, own_reasons, pcie_generation

_BUSY = 0.01
_GDDR_IDLE_MHZ = 405
_MEMORY_CLOCK_MHZ = {
    "A10": 6251,
    "A100-40GB": 1215,
    "A100-80GB": 1593,
    "A30-24GB": 1215,
    "H100-80GB": 2619,
    "H200-141GB": 3201,
    "L4": 6251,
    "L40S": 9001,
    "P100-16GB": 715,
    "T4": 5001,
    "V100-16GB": 877,
    "V100-32GB": 877,
}
"""Nominal; models that are not here do not tell it."""
_ACTIVE = {"sm_active_ratio": 0.92, "sm_occupancy_ratio": 0.55, "tensor_active_ratio": 0.38, "dram_active_ratio": 0.47}
"""Parts of full use that a GPU under full load shows."""
_PARTS = ("activity", "ecc", "pcie")
_HOT_C = 18
_MEDIA = ("encoder_utilization_ratio", "decoder_utilization_ratio")
_SCALARS = (
    "memory_temperature_c",
    "memory_clock_mhz",
    "fan_ratio",
    "energy_j",
    "performance_state",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "nvlink_rx_bytes_per_s",
    "nvlink_tx_bytes_per_s",
)
"""Readings that stand for themselves."""
_NO_REMAPPING = ("pascal", "volta", "turing")
"""Generations that retire pages instead of remapping rows."""
_ECC = (
    "enabled", "pending", "volatile_corrected", "volatile_uncorrected", "aggregate_corrected",
    "aggregate_uncorrected", "remapped_corrected", "remapped_uncorrected", "remap_pending", "remap_failed",
)  # fmt: skip
_PCIE = ("generation", "width", "generation_max", "width_max", "replays", "rx_bytes_per_s", "tx_bytes_per_s")

Troubles = Collection[FaultKind]
"""What is wrong with a GPU that works all the same."""


def under_trouble(readings: Readings, gpu: GpuModel, troubles: Troubles) -> Readings:
    """The readings of a GPU that is slowed down, or busy with nothing."""
    changed: dict[str, Any] = {name: getattr(readings, name) for name in Readings.__struct_fields__}
    if FaultKind.GHOST_BUSY in troubles and not gpu.mig_enabled:
        changed |= {"gpu_utilization_ratio": 1.0, "memory_utilization_ratio": 0.0}
    if FaultKind.THROTTLED in troubles:
        changed["temperature_c"] = readings.temperature_c + _HOT_C
        changed["sm_clock_mhz"] = readings.sm_clock_mhz and readings.sm_clock_mhz // 2
    return Readings(**changed)


def sensors_row(gpu: GpuModel, readings: Readings, troubles: Troubles, at_s: float) -> dict[str, Any]:
    """The fields of a device of `sample` that are read beside its load, its NVLinks aside, with `unavailable`."""
    load = gpu.load(at_s)
    busy = load > _BUSY or FaultKind.GHOST_BUSY in troubles
    hbm, desktop = has_hbm(gpu.kind), is_desktop(gpu.kind)
    clock = _MEMORY_CLOCK_MHZ.get(gpu.kind.key)
    media = None if gpu.mig_enabled else 0.0
    row: dict[str, Any] = {
        "memory_temperature_c": readings.temperature_c + 7 if hbm else None,
        "memory_clock_mhz": clock if clock is None or busy or hbm else min(clock, _GDDR_IDLE_MHZ),
        "fan_ratio": round(0.3 + 0.5 * load, 2) if desktop else None,
        "energy_j": None if gpu.kind.generation == "pascal" else gpu.energy_j(at_s),
        "performance_state": 0 if busy or hbm else 8,
        "encoder_utilization_ratio": media,
        "decoder_utilization_ratio": media,
        "throttles": _throttles(gpu, busy=busy, troubles=troubles),
        "activity": activity_row(gpu, load),
        "ecc": _ecc_row(gpu, troubles),
        "pcie": _pcie_row(gpu, load, troubles, full_speed=hbm or busy),
    }
    reasons = {name: "mig" if name in _MEDIA else "not supported" for name, value in row.items() if value is None}
    for part in _PARTS:
        in_mig_mode = part == "ecc" and gpu.mig_enabled and gpu.kind.generation not in _NO_REMAPPING
        reasons |= own_reasons(row[part], part, "mig" if in_mig_mode else "not supported")
    return {**row, "unavailable": reasons}


def silent_row(why: str) -> dict[str, Any]:
    """The same of a GPU that tells nothing."""
    parts = {"activity": dict.fromkeys(_ACTIVE), "ecc": dict.fromkeys(_ECC), "pcie": dict.fromkeys(_PCIE)}
    reasons = dict.fromkeys((*_SCALARS, "throttles", "nvlinks"), why)
    for part, row in parts.items():
        reasons |= own_reasons(row, part, why)
    return {**dict.fromkeys((*_SCALARS, "throttles")), **parts, "nvlinks": [], "unavailable": reasons}


def activity_row(gpu: GpuModel, load: float) -> Mapping[str, float | None]:
    """Real use, told by Hopper and later."""
    if gpu.kind.generation not in ("hopper", "blackwell"):
        return dict.fromkeys(_ACTIVE)
    return {name: round(part * min(1.0, load), 3) for name, part in _ACTIVE.items()}


def nvlink_rates(links: int, load: float) -> dict[str, float | None]:
    """Traffic over all NVLinks of a GPU: what training sends between GPUs."""
    rate = None if not links else round(links * 4e9 * load)
    return {"nvlink_rx_bytes_per_s": rate, "nvlink_tx_bytes_per_s": rate}


def _throttles(gpu: GpuModel, *, busy: bool, troubles: Troubles) -> list[str]:
    highest, limit = gpu.kind.power_limit_w, gpu.power_limit_w
    told = []
    if not busy:
        told.append("idle")
    if gpu.settings.sm_clock_max_mhz:
        told.append("clock setting")
    if busy and highest is not None and limit is not None and gpu.pace < 1.0:
        told.append("power cap")
    if FaultKind.THROTTLED in troubles:
        told += ["hardware slowdown", "hardware thermal slowdown"]
    return told


def _ecc_row(gpu: GpuModel, troubles: Troubles) -> dict[str, Any]:
    if is_desktop(gpu.kind):
        return dict.fromkeys(_ECC)
    errors = 2 if FaultKind.ECC_ERRORS in troubles else 0
    row: dict[str, Any] = {**dict.fromkeys(_ECC, 0), "enabled": True, "pending": True}
    row |= {"volatile_uncorrected": errors, "aggregate_uncorrected": errors}
    waits = FaultKind.REMAP_PENDING in troubles
    if gpu.kind.generation in _NO_REMAPPING or gpu.mig_enabled:
        return row | dict.fromkeys(_ECC[6:])
    return row | {"remapped_uncorrected": int(waits), "remap_pending": waits, "remap_failed": False}


def _pcie_row(gpu: GpuModel, load: float, troubles: Troubles, *, full_speed: bool) -> dict[str, Any]:
    highest = pcie_generation(gpu.kind)
    degraded = FaultKind.PCIE_DEGRADED in troubles
    return {
        "generation": highest if full_speed else 1,
        "width": LANES // 2 if degraded else LANES,
        "generation_max": highest,
        "width_max": LANES,
        "replays": 120 if degraded else 0,
        "rx_bytes_per_s": round(1.5e9 * load),
        "tx_bytes_per_s": round(0.6e9 * load),
    }
