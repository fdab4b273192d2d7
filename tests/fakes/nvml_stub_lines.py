"""Lines of the C library's state file about sensors (nvml_stub_sensors_state.h)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fakes.nvml_sensors import Link, Sensors


def known(value: int | None) -> int:
    """The number as the file has it; -1 is not told."""
    return -1 if value is None else int(value)


def milli(value: float | None) -> int:
    """A thousand times the number."""
    return -1 if value is None else round(value * 1000)


def sensor_lines(sensors: Sensors) -> Iterator[str]:
    """What differs from a GPU that tells nothing of it."""
    numbers = {
        "memory_temperature": sensors.memory_temperature_c,
        "memory_clock": sensors.memory_clock_mhz,
        "fan": sensors.fan_percent,
        "energy_mj": sensors.energy_mj,
        "performance_state": sensors.performance_state,
        "encoder": sensors.encoder_percent,
        "decoder": sensors.decoder_percent,
        "throttle": sensors.throttle_bits,
        "pcie_replays": sensors.pcie_replays,
        "near": sensors.near,
        "over_nvlink": int(sensors.over_nvlink),
    }
    yield from (f"{name} {value}" for name, value in numbers.items() if value is not None)
    for name, values in (
        ("ecc_modes", sensors.ecc_modes),
        ("ecc_totals", sensors.ecc_totals),
        ("remapped", sensors.remapped),
        ("pcie_link", sensors.pcie_link),
        ("pcie_kb", sensors.pcie_kb),
        ("nvlink_kib", sensors.nvlink_kib),
        ("activity", None if sensors.activity is None else (-1, *sensors.activity)),
    ):
        if values is not None:
            yield f"{name} {_joined(values)}"
    yield from (f"activity {gi} {_joined(percent)}" for gi, percent in sensors.instance_activity)
    yield from (f"use {_joined(each)}" for each in sensors.use)
    yield from map(_link_line, sensors.nvlinks)
    for name, text in (
        ("serial", sensors.serial),
        ("vbios", sensors.vbios),
        ("inforom", sensors.inforom),
        ("pci_bus_id", sensors.pci_bus_id or None),
    ):
        if text is not None:
            yield f"{name} {text}"


def _link_line(link: Link) -> str:
    flit = link.crc if link.flit_crc is None else link.flit_crc
    counts = (link.replays, link.recoveries, link.crc, flit, link.data_crc)
    return f"nvlink {int(link.up)} {link.remote or '-'} {_joined([known(count) for count in counts])}"


def _joined(values: Sequence[float]) -> str:
    return " ".join(str(value) for value in values)
