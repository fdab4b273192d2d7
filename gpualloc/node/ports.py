"""The ports of this host, read in a thread: what an adapter's firmware is asked for may never come."""

import time
from itertools import chain, islice
from typing import TYPE_CHECKING

from gpualloc.node.network import ethernet_ports
from gpualloc.node.rdma import rdma_ports
from gpualloc.node.worker import Hung, Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.port import Port

WITHIN_S = 0.5
"""How long all ports together may take to be read."""

MAX_PORTS = 256


class Ports:
    """Reads the ports; while one look hangs there is no other, and the host has no ports.

    Args:
        root: where /proc and /sys are found.
        read: tells the ports below that root; may never return.
    """

    def __init__(self, root: str = "/", read: "Callable[[str], list[Port]] | None" = None) -> None:
        self._root = root
        self._read = _ports_of if read is None else read
        self._worker = Worker("ports")

    def look(self) -> "list[Port]":
        """Ethernet ports, then those of RDMA adapters, each by name; at most 256."""
        job = self._worker.begin(lambda: self._read(self._root))
        try:
            found: "list[Port]" = job.result(time.monotonic() + WITHIN_S)
        except Hung:
            return []
        return found


def _ports_of(root: str) -> "list[Port]":
    return list(islice(chain(ethernet_ports(root), rdma_ports(root)), MAX_PORTS))
