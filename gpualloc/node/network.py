"""Network interfaces: what all of them carry, and the ports that lead out of the host."""

import os
from typing import TYPE_CHECKING

from gpualloc.node.port import Port, read_number, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_ETHERNET = 1
"""What the kernel calls this kind of interface; InfiniBand's are told as RDMA ports."""

_MAX_MBIT_S = 10_000_000
_FOLDER = "sys/class/net"


def interfaces(root: str = "/") -> "dict[str, tuple[int, int, int]]":
    """Bytes received, bytes sent, and errors and drops of both directions since the boot, by interface; no loopback."""
    found: "dict[str, tuple[int, int, int]]" = {}
    try:
        with open(os.path.join(root, "proc/net/dev"), encoding="utf-8", errors="replace") as file:
            for line in file.readlines()[2:]:
                name, _, rest = line.rpartition(":")
                fields = list(map(int, rest.split()))
                if name.strip() != "lo" and len(fields) >= 12:
                    found[name.strip()] = fields[0], fields[8], fields[2] + fields[3] + fields[10] + fields[11]
    except (OSError, ValueError):
        return {}
    return found


def network_counters(root: str = "/") -> "dict[str, int]":
    """`network_rx` and `network_tx` in bytes, and `network_errors`, of all interfaces but loopback since the boot."""
    told = list(interfaces(root).values())
    names = "network_rx", "network_tx", "network_errors"
    return {name: sum(one[index] for one in told) for index, name in enumerate(names)} if told else {}


def ethernet_ports(root: str = "/") -> "Iterator[Port]":
    """Interfaces that are hardware of this host, or bonds of such; none that belong to containers and bridges."""
    for name, (received, sent, errors) in sorted(interfaces(root).items()):
        folder = os.path.join(root, _FOLDER, name)
        if _leads_out(folder):
            mbit_s = read_number(os.path.join(folder, "speed"))
            downs = read_number(os.path.join(folder, "carrier_down_count")) or 0
            yield Port(
                name=name,
                kind="ethernet",
                up=_is_up(folder),
                speed_bytes_per_s=mbit_s * 1e6 / 8 if mbit_s is not None and 0 < mbit_s <= _MAX_MBIT_S else None,
                counters={"rx": received, "tx": sent, "errors": errors + downs},
            )


def _leads_out(folder: str) -> bool:
    if read_number(os.path.join(folder, "type")) != _ETHERNET:
        return False
    if os.path.isdir(os.path.join(folder, "bonding")):
        return True
    device = os.path.join(folder, "device")
    # A virtual function of a card is given to a guest or a container; what it carries, the card counts too.
    return os.path.exists(device) and not os.path.exists(os.path.join(device, "physfn"))


def _is_up(folder: str) -> "bool | None":
    """Whether it has a link; the kernel tells no carrier of an interface that is switched off."""
    carrier = read_text(os.path.join(folder, "carrier"))
    if carrier is not None:
        return carrier == "1"
    return False if read_text(os.path.join(folder, "operstate")) == "down" else None
