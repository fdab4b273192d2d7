"""Devices and MIG instances as they were at a moment, out of one sample of each and what is known of them today; pure.

What a board is does not change, and is as it is told today. What can change and was not kept is None, with a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from msgspec.structs import replace

from gpualloc.model.inventory import Device, DeviceState, MigInstance
from gpualloc.model.readings import NO_ACTIVITY, NO_ECC, Activity, Board, Ecc, Pcie

NOT_KEPT = "not kept in the history"
NOT_KNOWN = "not known then"
NOT_SAMPLED = "not sampled then"
UNKNOWN_MODEL = "unknown"
"""Stands for the model of a GPU, or the profile of an instance, that is not there any more."""

_Values = Mapping[str, float | None]

READINGS = {
    "gpu_utilization_ratio": "gpu_utilization_ratio",
    "memory_utilization_ratio": "memory_utilization_ratio",
    "memory_used_mib": "gpu_memory_used_mib",
    "memory_total_mib": "gpu_memory_total_mib",
    "power_w": "power_w",
    "temperature_c": "temperature_c",
    "sm_clock_mhz": "sm_clock_mhz",
    "memory_temperature_c": "memory_temperature_c",
    "memory_clock_mhz": "memory_clock_mhz",
    "energy_j": "energy_j",
    "nvlink_rx_bytes_per_s": "nvlink_rx_bytes_per_s",
    "nvlink_tx_bytes_per_s": "nvlink_tx_bytes_per_s",
    "pcie.rx_bytes_per_s": "pcie_rx_bytes_per_s",
    "pcie.tx_bytes_per_s": "pcie_tx_bytes_per_s",
    "ecc.volatile_uncorrected": "ecc_uncorrected",
    "activity.sm_active_ratio": "sm_active_ratio",
    "activity.tensor_active_ratio": "tensor_active_ratio",
    "activity.dram_active_ratio": "dram_active_ratio",
}
"""What is kept of a device: its name in `Device.unavailable`, and the metric."""
_KEPT = frozenset(READINGS.values())
_NEVER_KEPT = (
    "power_limit_w",
    "mig_enabled",
    "mig_pending",
    "fan_ratio",
    "performance_state",
    "encoder_utilization_ratio",
    "decoder_utilization_ratio",
    "activity.sm_occupancy_ratio",
    "ecc.enabled",
    "ecc.pending",
    "ecc.volatile_corrected",
    "ecc.aggregate_corrected",
    "ecc.aggregate_uncorrected",
    "ecc.remapped_corrected",
    "ecc.remapped_uncorrected",
    "ecc.remap_pending",
    "ecc.remap_failed",
    "pcie.generation",
    "pcie.width",
    "pcie.replays",
    "nvlinks",
    "settings",
    "processes",
)


def known_device(today: Device) -> Device:
    """What a board is, whenever that may be: every reading is None, and `unavailable` is as of a time of no sample."""
    return Device(
        uuid=today.uuid,
        index=today.index,
        model=today.model,
        memory_total_mib=today.memory_total_mib,
        mig_profiles=today.mig_profiles,
        minor=today.minor,
        architecture=today.architecture,
        cpus=today.cpus,
        numa_node=today.numa_node,
        power_limit_default_w=today.power_limit_default_w,
        power_limit_min_w=today.power_limit_min_w,
        power_limit_max_w=today.power_limit_max_w,
        pcie=Pcie(generation_max=today.pcie.generation_max, width_max=today.pcie.width_max),
        board=today.board,
        peers=today.peers,
        unavailable=_UNSAMPLED if today.memory_total_mib is None else _UNSAMPLED_BUT_TOTAL,
    )


def gone_device(uuid: str, index: int, pci_bus_id: str | None) -> Device:
    """A board of which nothing is known today but what was kept of it.

    Args:
        uuid: full UUID.
        index: as it was last told, or one that no other of the node has.
        pci_bus_id: as it was last told.
    """
    return Device(uuid, index, UNKNOWN_MODEL, None, board=Board(pci_bus_id=pci_bus_id), unavailable=_UNSAMPLED)


def sampled_device(base: Device, values: _Values, instances: Sequence[MigInstance], trouble: str | None) -> Device:
    """A device with the readings of a sample.

    Args:
        base: what its board is; from `known_device` or `gone_device`.
        values: of its sample, by metric.
        instances: its MIG instances that were sampled.
        trouble: what was wrong with its state then, as the condition says it; None when nothing was.
    """
    value = values.get
    whole = values.keys() >= _KEPT and None not in values.values()
    unknown = () if whole else tuple(name for name, metric in READINGS.items() if value(metric) is None)
    return Device(
        uuid=base.uuid,
        index=base.index,
        model=base.model,
        memory_total_mib=_whole(value("gpu_memory_total_mib")),
        state=DeviceState.OK if trouble is None else _state(trouble),
        reason=trouble,
        memory_used_mib=_whole(value("gpu_memory_used_mib")),
        gpu_utilization_ratio=value("gpu_utilization_ratio"),
        memory_utilization_ratio=value("memory_utilization_ratio"),
        power_w=value("power_w"),
        temperature_c=_whole(value("temperature_c")),
        sm_clock_mhz=_whole(value("sm_clock_mhz")),
        # That there were none may also be because nobody made one.
        mig_enabled=True if instances else None,
        mig_instances=tuple(instances),
        mig_profiles=base.mig_profiles,
        minor=base.minor,
        architecture=base.architecture,
        cpus=base.cpus,
        numa_node=base.numa_node,
        power_limit_default_w=base.power_limit_default_w,
        power_limit_min_w=base.power_limit_min_w,
        power_limit_max_w=base.power_limit_max_w,
        memory_temperature_c=_whole(value("memory_temperature_c")),
        memory_clock_mhz=_whole(value("memory_clock_mhz")),
        energy_j=value("energy_j"),
        activity=_activity(values),
        ecc=_ecc(_whole(value("ecc_uncorrected"))),
        pcie=_pcie(base.pcie, values),
        nvlink_rx_bytes_per_s=value("nvlink_rx_bytes_per_s"),
        nvlink_tx_bytes_per_s=value("nvlink_tx_bytes_per_s"),
        board=base.board,
        peers=base.peers,
        unavailable=_reasons(NOT_KNOWN, unknown, value("throttled"), mig=bool(instances)),
    )


def sampled_instance(uuid: str, today: MigInstance | None, place: str | None, values: _Values) -> MigInstance:
    """A MIG instance with the readings of a sample.

    Args:
        uuid: full MIG UUID.
        today: the instance as it is told today; None when it is not there any more.
        place: where it was meant to lie, such as `2g.20gb@4`, when a workload had it; None when none is known.
        values: of its sample, by metric.
    """
    profile, _, start = (place or UNKNOWN_MODEL).partition("@")
    if today is None:
        today = MigInstance(uuid, profile, int(start) if start.isdecimal() else None, None, None)
    return replace(
        today,
        memory_total_mib=_whole(values.get("gpu_memory_total_mib")),
        memory_used_mib=_whole(values.get("gpu_memory_used_mib")),
        activity=_activity(values),
    )


@lru_cache(maxsize=512)
def _reasons(why: str, unknown: tuple[str, ...], throttled: float | None, *, mig: bool = False) -> Mapping[str, str]:
    """Why readings are None: the same object for all devices of which the same is not known."""
    reasons = dict.fromkeys(_NEVER_KEPT, NOT_KEPT) | {"throttles": _throttles(throttled)} | dict.fromkeys(unknown, why)
    if mig:
        del reasons["mig_enabled"]
    return reasons


def _throttles(held: float | None) -> str:
    """Of what holds clocks down is kept whether there was something, or of rollups for how much of the time."""
    if held is None:
        return NOT_KEPT
    if held == 0:
        return f"{NOT_KEPT}; nothing but settings held the clocks down"
    share = "" if held == 1 else f" for {held * 100:.0f} % of the time"
    return f"{NOT_KEPT}; something held the clocks down{share}"


_UNSAMPLED = _reasons(NOT_SAMPLED, tuple(READINGS), None)
_UNSAMPLED_BUT_TOTAL = {name: why for name, why in _UNSAMPLED.items() if name != "memory_total_mib"}


def _state(trouble: str) -> DeviceState:
    """The state that a condition begins with."""
    return next((state for state in DeviceState if trouble.startswith(f"{state}:")), DeviceState.FAILED)


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def _activity(values: _Values) -> Activity:
    sm, tensor, dram = map(values.get, ("sm_active_ratio", "tensor_active_ratio", "dram_active_ratio"))
    if sm is None and tensor is None and dram is None:
        return NO_ACTIVITY
    return Activity(sm_active_ratio=sm, tensor_active_ratio=tensor, dram_active_ratio=dram)


@lru_cache(maxsize=64)
def _ecc(uncorrected: int | None) -> Ecc:
    """The same object for all devices with as many errors, of which most have none."""
    return NO_ECC if uncorrected is None else Ecc(volatile_uncorrected=uncorrected)


def _pcie(base: Pcie, values: _Values) -> Pcie:
    rx, tx = values.get("pcie_rx_bytes_per_s"), values.get("pcie_tx_bytes_per_s")
    if rx is None and tx is None:
        return base
    return Pcie(generation_max=base.generation_max, width_max=base.width_max, rx_bytes_per_s=rx, tx_bytes_per_s=tx)
