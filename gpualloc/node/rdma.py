"""Ports of RDMA adapters, InfiniBand and RoCE, as /sys/class/infiniband tells of them."""

import os
import re
from typing import TYPE_CHECKING

from gpualloc.node.port import Port, read_number, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOLDER = "sys/class/infiniband"
_WORD_BYTES = 4
"""Data is counted in words of this size."""

_ACTIVE = "4:"
"""The number of the state in which a port carries data; its name follows it."""

_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) Gb/sec")
_ERRORS = (
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "port_xmit_discards",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
)


def rdma_ports(root: str = "/") -> "Iterator[Port]":
    """Each port of each adapter; none on a host without such hardware."""
    top = os.path.join(root, _FOLDER)
    for adapter in _names(top):
        ports = os.path.join(top, adapter, "ports")
        for number in _names(ports):
            if number.isdigit():
                yield _port("%s/%s" % (adapter, number), os.path.join(ports, number))


def _port(name: str, folder: str) -> "Port":
    state = read_text(os.path.join(folder, "state"))
    ethernet = read_text(os.path.join(folder, "link_layer")) == "Ethernet"
    rate = _RATE.match(read_text(os.path.join(folder, "rate")) or "")
    return Port(
        name=name,
        kind="roce" if ethernet else "infiniband",
        up=None if not state else state.startswith(_ACTIVE),
        speed_bytes_per_s=float(rate.group(1)) * 1e9 / 8 if rate else None,
        counters=_counters(os.path.join(folder, "counters")),
    )


def _counters(folder: str) -> "dict[str, int]":
    found = {}
    for name, counted in (("rx", "port_rcv_data"), ("tx", "port_xmit_data")):
        words = read_number(os.path.join(folder, counted))
        if words is not None:
            found[name] = words * _WORD_BYTES
    errors = [read_number(os.path.join(folder, name)) for name in _ERRORS]
    if any(count is not None for count in errors):
        found["errors"] = sum(count for count in errors if count is not None)
    return found


def _names(folder: str) -> "list[str]":
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
