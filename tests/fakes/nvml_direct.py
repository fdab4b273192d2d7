"""What nvidia-ml-py answers about a GPU, asked field by field with the plainest call there is for each.

`expected_inventory` and `expected_sample` give a row as the node program should tell it, flat: `ecc.enabled`. In place
of a value that is not told stands `Why`, the reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import pynvml
from msgspec import Struct

THROTTLES = (
    "idle",
    "clock setting",
    "power cap",
    "hardware slowdown",
    "sync boost",
    "thermal slowdown",
    "hardware thermal slowdown",
    "power brake",
    "display clock",
)
LEVELS = {0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS"}
COUNT_MAX = 1 << 48
RATES = ("nvlink_rx_bytes_per_s", "nvlink_tx_bytes_per_s")


class Why(Struct, frozen=True):
    """The reason why a value is not told."""

    word: str


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the node program with the fields of its parts beside the others, and reasons in the place of values."""
    told: dict[str, Any] = {}
    for name, value in row.items():
        if name in ("unavailable", "reason", "state", "mig_instances", "mig_profiles", "peers"):
            continue
        told.update(
            {f"{name}.{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        )
    return told | {name: Why(reason) for name, reason in row["unavailable"].items()}


def asked(function: Callable[[], Any], *, mig: bool = False) -> Any:
    """The answer, or why there is none."""
    try:
        return function()
    except pynvml.NVMLError as error:
        words = {
            pynvml.NVML_ERROR_NOT_SUPPORTED: "mig" if mig else "not supported",
            pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not supported",
            pynvml.NVML_ERROR_NO_PERMISSION: "no permission",
            pynvml.NVML_ERROR_GPU_IS_LOST: "lost",
        }
        return Why(words.get(error.value, "failed"))


def within(answer: Any, low: float, high: float) -> Any:
    """The answer if it can be."""
    return answer if isinstance(answer, Why) or low <= answer <= high else Why("implausible")


def flag(answer: Any) -> Any:
    """Yes or no."""
    checked = within(answer, 0, 1)
    return checked if isinstance(checked, Why) else bool(checked)


def _either(*functions: Callable[[], Any], mig: bool = False) -> Any:
    """The first answer of several calls that ask the same."""
    told: Any = Why("not supported")
    for function in functions:
        told = asked(function, mig=mig)
        if told not in (Why("not supported"), Why("mig")):
            break
    return told


def _field(handle: Any, number: int, scope: int = 0) -> Any:
    [value] = pynvml.nvmlDeviceGetFieldValues(handle, [(number, scope)])
    if value.nvmlReturn != 0:
        raise pynvml.NVMLError(value.nvmlReturn)
    return value.value.ullVal if value.valueType == pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG else value.value.uiVal


def in_mig_mode(handle: Any) -> bool:
    """Whether the GPU is in MIG mode."""
    modes = asked(lambda: pynvml.nvmlDeviceGetMigMode(handle))
    return not isinstance(modes, Why) and modes[0] == 1


def pci_address(text: str) -> str:
    """As the kernel writes it."""
    domain, rest = text.lower().split(":", 1)
    assert re.fullmatch(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]", rest)
    return f"{int(domain, 16):04x}:{rest}"


def expected_inventory(handle: Any) -> dict[str, Any]:
    """What of `inventory` does not come from elsewhere than NVML."""
    mig = in_mig_mode(handle)
    modes = [asked(lambda place=place: bool(pynvml.nvmlDeviceGetMigMode(handle)[place])) for place in (0, 1)]
    ranges = [
        asked(lambda place=place: pynvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)[place] / 1000)
        for place in (0, 1)
    ]
    computing = {0: "default", 2: "prohibited", 3: "exclusive-process"}
    return {
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "model": pynvml.nvmlDeviceGetName(handle),
        "minor": asked(lambda: pynvml.nvmlDeviceGetMinorNumber(handle)),
        "memory_total_mib": asked(lambda: _memory(handle).total >> 20),
        "mig_enabled": modes[0],
        "mig_pending": modes[1],
        "power_limit_default_w": asked(lambda: pynvml.nvmlDeviceGetPowerManagementDefaultLimit(handle) / 1000),
        "power_limit_min_w": ranges[0],
        "power_limit_max_w": ranges[1],
        "settings.power_limit_w": asked(lambda: pynvml.nvmlDeviceGetPowerManagementLimit(handle) / 1000),
        "settings.compute_mode": asked(lambda: computing[pynvml.nvmlDeviceGetComputeMode(handle)], mig=mig),
        "settings.persistence": asked(lambda: bool(pynvml.nvmlDeviceGetPersistenceMode(handle))),
        "board.pci_bus_id": asked(lambda: pci_address(pynvml.nvmlDeviceGetPciInfo(handle).busId)),
        "board.serial": asked(lambda: pynvml.nvmlDeviceGetSerial(handle)),
        "board.vbios_version": asked(lambda: pynvml.nvmlDeviceGetVbiosVersion(handle)),
        "board.inforom_version": asked(lambda: pynvml.nvmlDeviceGetInforomImageVersion(handle)),
    }


def expected_sample(handle: Any) -> dict[str, Any]:
    """What of `sample` one look can tell."""
    mig = in_mig_mode(handle)
    return {
        **_load(handle, mig=mig),
        **_sensors(handle, mig=mig),
        **_ecc(handle, mig=mig),
        **_pcie(handle),
        "nvlinks": _nvlinks(handle),
    }


def _memory(handle: Any) -> Any:
    try:
        return pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        return pynvml.nvmlDeviceGetMemoryInfo(handle)


def _load(handle: Any, *, mig: bool) -> dict[str, Any]:
    memory = asked(lambda: _memory(handle))
    used: Any = memory
    if not isinstance(memory, Why):
        used = Why("implausible") if memory.used > memory.total else memory.used >> 20
    rates = [
        within(asked(lambda p=part: getattr(pynvml.nvmlDeviceGetUtilizationRates(handle), p) / 100, mig=mig), 0, 1)
        for part in ("gpu", "memory")
    ]
    sensor = pynvml.NVML_TEMPERATURE_GPU
    return {
        "uuid": pynvml.nvmlDeviceGetUUID(handle),
        "memory_used_mib": used,
        "gpu_utilization_ratio": rates[0],
        "memory_utilization_ratio": rates[1],
        "power_w": within(asked(lambda: pynvml.nvmlDeviceGetPowerUsage(handle) / 1000), 0, 10_000),
        "power_limit_w": within(asked(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000), 0, 10_000),
        "temperature_c": within(
            _either(
                lambda: pynvml.nvmlDeviceGetTemperatureV(handle, sensor),
                lambda: pynvml.nvmlDeviceGetTemperature(handle, sensor),
            ),
            -50,
            150,
        ),
        "sm_clock_mhz": within(asked(lambda: pynvml.nvmlDeviceGetClockInfo(handle, 1)), 0, 20_000),
        "memory_clock_mhz": within(asked(lambda: pynvml.nvmlDeviceGetClockInfo(handle, 2)), 0, 20_000),
    }


def _sensors(handle: Any, *, mig: bool) -> dict[str, Any]:
    engines = [
        within(asked(lambda f=function: f(handle)[0] / 100, mig=mig), 0, 1)
        for function in (pynvml.nvmlDeviceGetEncoderUtilization, pynvml.nvmlDeviceGetDecoderUtilization)
    ]
    bits = asked(lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
    words: Any = bits
    if not isinstance(bits, Why):
        words = [word for place, word in enumerate(THROTTLES) if bits >> place & 1]
        words += ["another reason"] if bits >= 1 << len(THROTTLES) else []
    return {
        "memory_temperature_c": within(asked(lambda: _field(handle, 82)), -50, 150),
        "fan_ratio": within(asked(lambda: pynvml.nvmlDeviceGetFanSpeed(handle) / 100), 0, 2),
        "energy_j": within(asked(lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000), 0, 1e13),
        "performance_state": within(asked(lambda: pynvml.nvmlDeviceGetPerformanceState(handle)), 0, 15),
        "encoder_utilization_ratio": engines[0],
        "decoder_utilization_ratio": engines[1],
        "throttles": words,
    }


def _ecc(handle: Any, *, mig: bool) -> dict[str, Any]:
    modes = [flag(asked(lambda p=place: pynvml.nvmlDeviceGetEccMode(handle)[p])) for place in (0, 1)]
    totals = [
        within(asked(lambda k=kind, c=counter: pynvml.nvmlDeviceGetTotalEccErrors(handle, k, c)), 0, COUNT_MAX)
        for counter in (0, 1)
        for kind in (0, 1)
    ]
    rows = [asked(lambda p=place: pynvml.nvmlDeviceGetRemappedRows(handle)[p], mig=mig) for place in range(4)]
    return {
        "ecc.enabled": modes[0],
        "ecc.pending": modes[1],
        "ecc.volatile_corrected": totals[0],
        "ecc.volatile_uncorrected": totals[1],
        "ecc.aggregate_corrected": totals[2],
        "ecc.aggregate_uncorrected": totals[3],
        "ecc.remapped_corrected": rows[0],
        "ecc.remapped_uncorrected": rows[1],
        "ecc.remap_pending": flag(rows[2]),
        "ecc.remap_failed": flag(rows[3]),
    }


def _pcie(handle: Any) -> dict[str, Any]:
    return {
        "pcie.generation": within(asked(lambda: pynvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)), 1, 16),
        "pcie.width": within(asked(lambda: pynvml.nvmlDeviceGetCurrPcieLinkWidth(handle)), 1, 32),
        "pcie.generation_max": within(asked(lambda: pynvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)), 1, 16),
        "pcie.width_max": within(asked(lambda: pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle)), 1, 32),
        "pcie.replays": within(asked(lambda: pynvml.nvmlDeviceGetPcieReplayCounter(handle)), 0, COUNT_MAX),
    }


def _nvlinks(handle: Any) -> Any:
    rows: list[dict[str, Any]] = []
    for link in range(36):
        up = asked(lambda link=link: pynvml.nvmlDeviceGetNvLinkState(handle, link))
        if isinstance(up, Why):
            return rows or up
        rows.append({"index": link, "up": bool(up), "remote": None, "errors": None})
        if up:
            rows[-1].update(remote=_remote(handle, link), errors=_link_errors(handle, link))
    return rows


def _remote(handle: Any, link: int) -> Any:
    if asked(lambda: pynvml.nvmlDeviceGetNvLinkRemoteDeviceType(handle, link)) == 2:
        return "switch"
    told = asked(lambda: pci_address(pynvml.nvmlDeviceGetNvLinkRemotePciInfo(handle, link).busId))
    return None if isinstance(told, Why) else told


def _link_errors(handle: Any, link: int) -> int | None:
    counts = [asked(lambda f=field: _field(handle, f, link)) for field in (161, 162, 163)]
    if any(isinstance(count, Why) for count in counts):
        counts = [asked(lambda c=c: pynvml.nvmlDeviceGetNvLinkErrorCounter(handle, link, c)) for c in range(4)]
    if any(isinstance(within(count, 0, COUNT_MAX), Why) for count in counts):
        return None
    return sum(counts)
