"""What a node says of its devices, turned into the model's nouns."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gpualloc.adapters.alike_parts import DecodedOnce
from gpualloc.adapters.decode_again import Again
from gpualloc.adapters.decode_readings import (
    decode_activity,
    decode_board,
    decode_ecc,
    decode_nvlinks,
    decode_pcie,
    decode_peers,
    decode_throttles,
)
from gpualloc.adapters.fields import Fields, MalformedError
from gpualloc.model.desired import NOTHING_SET, ComputeMode, DeviceSettings
from gpualloc.model.inventory import Device, DeviceState, MigInstance
from gpualloc.model.mig import MigProfile
from gpualloc.node.wire import UNAVAILABLE

DEVICE_UUID = re.compile(r"GPU-[A-Za-z0-9-]{1,120}")
MIG_UUID = re.compile(r"MIG-[A-Za-z0-9/-]{1,120}")
_PROFILE = re.compile(r"[0-9]{1,2}g\.[0-9]{1,4}gb([+-][a-z.]{1,16})*")
_ARCHITECTURE = re.compile(r"[a-z][a-z0-9-]{0,31}")
_CPU_LIST = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")
_ENGINES = ("copy", "nvdec", "nvenc", "nvjpg", "ofa")
_MAX_MIB = 1 << 40
_MAX_W = 1e6
_MAX_MHZ = 1_000_000
_MAX_UNITS = 1024
"""Longer than any placement axis."""
_MAX_PROFILES = 64
_MAX_COUNT = 4096
"""More than any GPU has of instances, engines or SMs."""
_DRIVER_FIELDS = frozenset(
    {
        "mig_enabled",
        "mig_pending",
        "mig_profiles",
        "architecture",
        "cpus",
        "numa_node",
        "power_limit_default_w",
        "power_limit_min_w",
        "power_limit_max_w",
        "settings.power_limit_w",
        "settings.compute_mode",
        "settings.persistence",
    }
)
"""Fields whose None means that the model has no such thing, unless the node says why."""

_PARTS = ("activity.", "board.", "ecc.", "pcie.")
_TOLD_FIELDS = frozenset(
    {
        "memory_temperature_c",
        "memory_clock_mhz",
        "fan_ratio",
        "energy_j",
        "performance_state",
        "encoder_utilization_ratio",
        "decoder_utilization_ratio",
        "throttles",
        "nvlinks",
        "nvlink_rx_bytes_per_s",
        "nvlink_tx_bytes_per_s",
        "peers",
        "processes",
    }
)
"""Readings that older node programs do not know; for them and `_PARTS` the node's own reason is the only one."""

_OWN_REASONS = _DRIVER_FIELDS | _TOLD_FIELDS
_READINGS = (
    "memory_total_mib",
    "memory_used_mib",
    "gpu_utilization_ratio",
    "memory_utilization_ratio",
    "power_w",
    "power_limit_w",
    "temperature_c",
    "sm_clock_mhz",
    "minor",
)


_UNREAD: dict[str, object] = {"state": None, "mig_instances": []}


_Known = tuple[object, dict[str, Any], Mapping[str, object], Device]
KnownDevices = dict[str, _Known]
"""By UUID what the inventory said of a device and what was made of that, and the same of the sample."""

_DECODED_PARTS: Mapping[str, Callable[[Fields], object]] = {
    "activity": decode_activity,
    "ecc": DecodedOnce("ecc", decode_ecc),
    "pcie": decode_pcie,
    "nvlinks": DecodedOnce("nvlinks", decode_nvlinks),
}
"""Parts of a sample that have parts: much to decode, and most of them seldom change."""

_SAMPLED: Mapping[str, Callable[[Fields], object]] = {
    "memory_used_mib": lambda told: told.integer_or_none("memory_used_mib", 0, _MAX_MIB),
    "gpu_utilization_ratio": lambda told: told.number_or_none("gpu_utilization_ratio", 0, 1),
    "memory_utilization_ratio": lambda told: told.number_or_none("memory_utilization_ratio", 0, 1),
    "power_w": lambda told: told.number_or_none("power_w", 0, _MAX_W),
    "power_limit_w": lambda told: told.number_or_none("power_limit_w", 0, _MAX_W),
    "temperature_c": lambda told: told.integer_or_none("temperature_c", -273, 1000),
    "sm_clock_mhz": lambda told: told.integer_or_none("sm_clock_mhz", 0, _MAX_MHZ),
    "memory_temperature_c": lambda told: told.integer_or_none("memory_temperature_c", -273, 1000),
    "memory_clock_mhz": lambda told: told.integer_or_none("memory_clock_mhz", 0, _MAX_MHZ),
    "fan_ratio": lambda told: told.number_or_none("fan_ratio", 0, 2),
    "energy_j": lambda told: told.number_or_none("energy_j"),
    "performance_state": lambda told: told.integer_or_none("performance_state", 0, 32),
    "encoder_utilization_ratio": lambda told: told.number_or_none("encoder_utilization_ratio", 0, 1),
    "decoder_utilization_ratio": lambda told: told.number_or_none("decoder_utilization_ratio", 0, 1),
    "throttles": decode_throttles,
    "nvlink_rx_bytes_per_s": lambda told: told.number_or_none("nvlink_rx_bytes_per_s"),
    "nvlink_tx_bytes_per_s": lambda told: told.number_or_none("nvlink_tx_bytes_per_s"),
}
"""Readings of a sample, each by itself."""

_AGAIN = Again(Device, {**_SAMPLED, **_DECODED_PARTS})


def decode_devices(inventory: Fields, sample: Fields, known: KnownDevices | None = None) -> tuple[Device, ...]:
    """The devices of an inventory with their readings of a sample, in the order of their index.

    Args:
        inventory: the answer to `inventory`.
        sample: the answer to `sample`.
        known: what came of the node's answers before: of what are the same objects nothing is decoded again. What
            comes of these takes its place.

    Raises:
        MalformedError: the node sent nonsense.
    """
    readings = {reading.text("uuid", DEVICE_UUID): reading for reading in sample.records("devices")}
    unread = Fields(_UNREAD, "sample.devices")
    known = {} if known is None else known
    before = dict(known)
    known.clear()
    for fixed in inventory.records("devices"):
        uuid = fixed.text("uuid", DEVICE_UUID)
        reading = readings.get(uuid, unread)
        kept = before.get(uuid)
        if kept is not None and kept[0] is fixed.told and kept[2] is reading.told:
            known[uuid] = kept
            continue
        values = kept[1] if kept is not None and kept[0] is fixed.told else _fixed(fixed)
        device = _AGAIN.made(kept[3], kept[2], reading) if kept is not None and kept[1] is values else None
        if device is None:
            parts = _parts(reading, kept)
            device = _device(uuid, fixed, {**values, **parts}, reading, seen=uuid in readings)
        known[uuid] = (fixed.told, values, reading.told, device)
    devices = [device for _, _, _, device in known.values()]
    return tuple(sorted(devices, key=lambda device: (device.index, device.uuid)))


def _fixed(fixed: Fields) -> dict[str, Any]:
    """What the inventory says of a device."""
    return {
        "index": fixed.integer("index", 0, 1 << 20),
        "model": fixed.text("model"),
        "memory_total_mib": fixed.integer_or_none("memory_total_mib", 0, _MAX_MIB),
        "mig_enabled": fixed.flag_or_none("mig_enabled"),
        "mig_pending": fixed.flag_or_none("mig_pending"),
        "minor": fixed.integer_or_none("minor", 0, 1 << 20),
        "architecture": fixed.text_or_none("architecture", _ARCHITECTURE),
        "cpus": fixed.text_or_none("cpus", _CPU_LIST),
        "numa_node": fixed.integer_or_none("numa_node", 0, _MAX_COUNT),
        "power_limit_default_w": fixed.number_or_none("power_limit_default_w", 0, _MAX_W),
        "power_limit_min_w": fixed.number_or_none("power_limit_min_w", 0, _MAX_W),
        "power_limit_max_w": fixed.number_or_none("power_limit_max_w", 0, _MAX_W),
        "mig_profiles": _MIG_PROFILES(fixed),
        "settings": _SETTINGS(fixed),
        "board": decode_board(fixed),
        "peers": decode_peers(fixed),
    }


def _parts(reading: Fields, kept: _Known | None) -> dict[str, Any]:
    """What has parts of its own; decoded again only where it is another object than before."""
    if kept is None:
        return {name: decode(reading) for name, decode in _DECODED_PARTS.items()}
    before, device = kept[2], kept[3]
    return {
        name: getattr(device, name) if before.get(name) is reading.told.get(name) else decode(reading)
        for name, decode in _DECODED_PARTS.items()
    }


def _device(uuid: str, fixed: Fields, values: Mapping[str, Any], reading: Fields, *, seen: bool) -> Device:
    state, reason = _state(fixed, reading)
    sampled = {name: read(reading) for name, read in _SAMPLED.items()}
    values = {**values, **sampled, "mig_instances": _mig_instances(fixed, reading)}
    said = {**fixed.map_of_texts("unavailable"), **reading.map_of_texts("unavailable")}
    unavailable = _unavailable(values, said, default="failed" if seen else "vanished")
    return Device(uuid=uuid, state=state, reason=reason, unavailable=unavailable, **values)


def _state(fixed: Fields, reading: Fields) -> tuple[DeviceState, str | None]:
    """The worse of what the inventory and the sample say; a word we do not know takes no new work either."""
    words = {state.value: state for state in DeviceState}
    for source in (reading, fixed):
        said = source.text_or_none("state")
        state = words.get(said or DeviceState.OK.value, DeviceState.FAILED)
        if state is not DeviceState.OK:
            reason = source.text_or_none("reason")
            return state, reason if said in words else f"the node program says {said!r}"
    return DeviceState.OK, None


def _mig_instances(fixed: Fields, reading: Fields) -> tuple[MigInstance, ...]:
    readings = {instance.text("uuid", MIG_UUID): instance for instance in reading.records("mig_instances")}
    unread = Fields({}, "sample.mig_instances")
    return tuple(
        _mig_instance(instance, readings.get(instance.text("uuid", MIG_UUID), unread))
        for instance in fixed.records("mig_instances")
    )


def _mig_instance(fixed: Fields, reading: Fields) -> MigInstance:
    return MigInstance(
        uuid=fixed.text("uuid", MIG_UUID),
        profile=fixed.text("profile"),
        start=fixed.integer_or_none("start", 0, _MAX_UNITS),
        size=fixed.integer_or_none("size", 0, _MAX_UNITS),
        memory_total_mib=fixed.integer_or_none("memory_total_mib", 0, _MAX_MIB),
        memory_used_mib=reading.integer_or_none("memory_used_mib", 0, _MAX_MIB),
        activity=decode_activity(reading),
    )


def _mig_profiles(fixed: Fields) -> tuple[MigProfile, ...]:
    rows = fixed.records("mig_profiles") if fixed.has("mig_profiles") else []
    profiles = tuple(_mig_profile(row) for row in rows)
    names = {profile.name for profile in profiles}
    if len(profiles) > _MAX_PROFILES or len(names) < len(profiles):
        raise MalformedError(f"mig_profiles are not at most {_MAX_PROFILES} of different names")
    return profiles


def _mig_profile(row: Fields) -> MigProfile:
    size = row.integer("size", 1, _MAX_UNITS)
    engines = row.record("engines")
    return MigProfile(
        name=row.text("name", _PROFILE),
        id=row.integer("id", 0, 1 << 31),
        size=size,
        starts=tuple(sorted(set(row.integers("starts", 0, _MAX_UNITS - size)))),
        memory_mib=row.integer("memory_mib", 0, _MAX_MIB),
        sm_count=row.integer_or_none("sm_count", 0, _MAX_COUNT),
        max_count=row.integer("max_count", 0, _MAX_COUNT),
        engines=tuple((name, engines.integer_or_none(name, 0, _MAX_COUNT)) for name in _ENGINES),
        media_extension=row.flag("media_extension"),
    )


def _settings(fixed: Fields) -> DeviceSettings:
    if not fixed.has("settings"):
        return NOTHING_SET
    told = fixed.record("settings")
    return DeviceSettings(
        power_limit_w=told.number_or_none("power_limit_w", 0, _MAX_W),
        sm_clock_min_mhz=told.integer_or_none("sm_clock_min_mhz", 0, _MAX_MHZ),
        sm_clock_max_mhz=told.integer_or_none("sm_clock_max_mhz", 0, _MAX_MHZ),
        compute_mode=told.word("compute_mode", ComputeMode) if told.has("compute_mode") else None,
        persistence=told.flag_or_none("persistence"),
    )


_MIG_PROFILES = DecodedOnce("mig_profiles", _mig_profiles)
_SETTINGS = DecodedOnce("settings", _settings)


def _unavailable(values: Mapping[str, Any], said: Mapping[str, str], default: str) -> dict[str, str]:
    """A reason for every reading that is None, from the node where it gave one that the wire knows."""
    missing = [name for name in _READINGS if values[name] is None]
    reasons = {name: said.get(name, default) for name in missing}
    reasons |= {name: why for name, why in said.items() if name in _OWN_REASONS or name.startswith(_PARTS)}
    return {name: reason if reason in UNAVAILABLE else "failed" for name, reason in reasons.items()}
