"""What a node says beside the load of its devices: errors, links, real use, the kernel log, the host's ports."""

from __future__ import annotations

import re
from typing import Any

from gpualloc.adapters.fields import Fields, clean
from gpualloc.model.health import KernelMessage, Trouble
from gpualloc.model.inventory import HostReading
from gpualloc.model.readings import (
    NO_ACTIVITY,
    NO_BOARD,
    NO_ECC,
    NO_PCIE,
    Activity,
    Board,
    Ecc,
    NetworkPort,
    NvLink,
    Pcie,
    ReadingCost,
    Throttle,
)

_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-9a-f]")
_LINK_WORD = re.compile(r"NV[0-9]{1,2}|PIX|PXB|PHB|NODE|SYS")
_UUID = re.compile(r"GPU-[A-Za-z0-9-]{1,120}")
_PORT_KINDS = ("ethernet", "infiniband", "roce")
_KERNEL_TROUBLES = {
    "xid": Trouble.XID,
    "sxid": Trouble.SXID,
    "driver": Trouble.DRIVER_MESSAGE,
}
_MAX_COUNT = 1 << 62
_MAX_LANES = 64
_MAX_MIB = 1 << 40
_MAX_TEXT = 500
MAX_KERNEL_MESSAGES = 256
_MAX_PORTS = 256


def decode_activity(fields: Fields) -> Activity:
    """`activity` of a device or instance; all unknown where it is left out."""
    if not fields.has("activity"):
        return NO_ACTIVITY
    told = fields.record("activity")
    return Activity(*(told.number_or_none(name, 0, 1) for name in Activity.__struct_fields__))


def decode_ecc(fields: Fields) -> Ecc:
    """`ecc` of a device."""
    if not fields.has("ecc"):
        return NO_ECC
    told = fields.record("ecc")
    flags = ("enabled", "pending", "remap_pending", "remap_failed")
    values: dict[str, Any] = {
        name: told.flag_or_none(name) if name in flags else told.integer_or_none(name, 0, _MAX_COUNT)
        for name in Ecc.__struct_fields__
    }
    return Ecc(**values)


def decode_pcie(fields: Fields) -> Pcie:
    """`pcie` of a device."""
    if not fields.has("pcie"):
        return NO_PCIE
    told = fields.record("pcie")
    return Pcie(
        generation=told.integer_or_none("generation", 0, _MAX_LANES),
        width=told.integer_or_none("width", 0, _MAX_LANES),
        generation_max=told.integer_or_none("generation_max", 0, _MAX_LANES),
        width_max=told.integer_or_none("width_max", 0, _MAX_LANES),
        replays=told.integer_or_none("replays", 0, _MAX_COUNT),
        rx_bytes_per_s=told.number_or_none("rx_bytes_per_s"),
        tx_bytes_per_s=told.number_or_none("tx_bytes_per_s"),
    )


def decode_nvlinks(fields: Fields) -> tuple[NvLink, ...]:
    """`nvlinks` of a device."""
    if not fields.has("nvlinks"):
        return ()
    return tuple(
        NvLink(
            index=link.integer("index", 0, _MAX_LANES),
            up=link.flag_or_none("up"),
            remote=link.text_or_none("remote"),
            errors=link.integer_or_none("errors", 0, _MAX_COUNT),
        )
        for link in fields.records("nvlinks")
    )


def decode_board(fields: Fields) -> Board:
    """`board` of a device."""
    if not fields.has("board"):
        return NO_BOARD
    told = fields.record("board")
    return Board(
        pci_bus_id=told.text_or_none("pci_bus_id", _PCI),
        serial=_short(told, "serial"),
        vbios_version=_short(told, "vbios_version"),
        inforom_version=_short(told, "inforom_version"),
    )


def decode_peers(fields: Fields) -> dict[str, str]:
    """`peers` of a device: UUID to word; what is neither is left out."""
    told = fields.map_of_texts("peers")
    return {uuid: word for uuid, word in told.items() if _UUID.fullmatch(uuid) and _LINK_WORD.fullmatch(word)}


def decode_throttles(fields: Fields) -> tuple[Throttle, ...] | None:
    """`throttles` of a device; a word that we do not know is another reason."""
    if not fields.has("throttles"):
        return None
    words = {throttle.value for throttle in Throttle}
    told = [Throttle(word) if word in words else Throttle.OTHER for word in fields.texts("throttles")]
    return tuple(dict.fromkeys(told))


def decode_host(fixed: Fields, reading: Fields) -> HostReading:
    """The host's size and load."""
    rates = {
        name: reading.number_or_none(name)
        for name in (
            "network_rx_bytes_per_s",
            "network_tx_bytes_per_s",
            "swap_in_bytes_per_s",
            "swap_out_bytes_per_s",
            "disk_reads_per_s",
            "disk_writes_per_s",
            "network_errors_per_s",
            "rdma_rx_bytes_per_s",
            "rdma_tx_bytes_per_s",
        )
    }
    return HostReading(
        cpus=fixed.integer_or_none("cpus", 0, 1 << 20),
        cpu_utilization_ratio=reading.number_or_none("cpu_utilization_ratio", 0, 1),
        memory_total_mib=fixed.integer_or_none("memory_total_mib", 0, _MAX_MIB),
        memory_available_mib=reading.integer_or_none("memory_available_mib", 0, _MAX_MIB),
        disk_total_mib=fixed.integer_or_none("disk_total_mib", 0, _MAX_MIB),
        disk_used_mib=reading.integer_or_none("disk_used_mib", 0, _MAX_MIB),
        ports=tuple(map(_port, reading.records("ports")[:_MAX_PORTS])) if reading.has("ports") else (),
        gpus_on_bus=fixed.integer_or_none("gpus_on_bus", 0, 4096),
        **rates,
    )


def decode_kernel(result: object) -> tuple[tuple[KernelMessage, ...], str | None]:
    """The answer to `kernel`: messages about GPUs, and why the log cannot be read."""
    fields = Fields(result, "kernel")
    messages = fields.records("messages")[-MAX_KERNEL_MESSAGES:]
    return tuple(map(_kernel_message, messages)), fields.text_or_none("reason")


def decode_cost(result: object) -> tuple[ReadingCost, ...]:
    """The answer to `cost`."""
    return tuple(
        ReadingCost(
            group=group.text("group"),
            every_s=group.number_or_none("every_s"),
            calls=group.integer("calls"),
            mean_s=group.number("mean_s"),
            max_s=group.number("max_s"),
        )
        for group in Fields(result, "cost").records("groups")
    )


def _kernel_message(fields: Fields) -> KernelMessage:
    kind = fields.text("kind")
    return KernelMessage(
        seq=fields.integer("seq"),
        at_s=fields.number("at_s"),
        trouble=_KERNEL_TROUBLES.get(kind, Trouble.DRIVER_MESSAGE),
        code=fields.integer_or_none("code", 0, 1 << 31),
        pci_bus_id=fields.text_or_none("pci_bus_id", _PCI),
        text=clean(fields.text("text"), _MAX_TEXT),
    )


def _port(fields: Fields) -> NetworkPort:
    kind = fields.text("kind")
    return NetworkPort(
        name=clean(fields.text("name"), 64),
        kind=kind if kind in _PORT_KINDS else "ethernet",
        up=fields.flag_or_none("up"),
        speed_bytes_per_s=fields.number_or_none("speed_bytes_per_s"),
        rx_bytes_per_s=fields.number_or_none("rx_bytes_per_s"),
        tx_bytes_per_s=fields.number_or_none("tx_bytes_per_s"),
        errors_per_s=fields.number_or_none("errors_per_s"),
    )


def _short(fields: Fields, key: str) -> str | None:
    text = fields.text_or_none(key)
    return None if text is None else clean(text, 64)
