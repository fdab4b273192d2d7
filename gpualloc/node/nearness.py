"""The CPUs beside a GPU, as the kernel tells them for its PCI address."""

import glob
import os
import re
from typing import Any

import pynvml

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_CPU_LIST = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")


def cpus(device: Any, sys_folder: str = "/sys") -> "str | None":
    """CPU list such as `0-15,32-47`; None on a host with one NUMA node, or where nothing is told; raises NVMLError."""
    told = pynvml.nvmlDeviceGetPciInfo(device).busId
    address = (told.decode("ascii", "replace") if isinstance(told, bytes) else told).lower()
    nodes = glob.glob(os.path.join(sys_folder, "devices/system/node/node[0-9]*"))
    if len(nodes) < 2 or not _ADDRESS.fullmatch(address):
        return None
    # NVML writes the domain with eight digits, the kernel with four unless it needs more.
    domain, rest = address.split(":", 1)
    folder = os.path.join(sys_folder, "bus/pci/devices", "%04x:%s" % (int(domain, 16), rest))
    near = _read(os.path.join(folder, "local_cpulist"))
    # The kernel gives all CPUs to a device whose node it does not know.
    known = _read(os.path.join(folder, "numa_node")) not in ("", "-1")
    return near if known and _CPU_LIST.fullmatch(near) else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""
