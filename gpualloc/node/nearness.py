"""The CPUs and the NUMA node beside a GPU, as the kernel tells them for its PCI address."""

import glob
import os
import re
from typing import Any

_ADDRESS = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_CPU_LIST = re.compile(r"[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*")


def address(pci: Any) -> "str | None":
    """The PCI address of what NVML tells of a device, as the kernel writes it: `0000:3b:00.0`; None when it is none."""
    told = pci.busId
    text = (told.decode("ascii", "replace") if isinstance(told, bytes) else told).lower()
    if not _ADDRESS.fullmatch(text):
        return None
    # NVML writes the domain with eight digits, the kernel with four unless it needs more.
    domain, rest = text.split(":", 1)
    return "%04x:%s" % (int(domain, 16), rest)


def cpus(pci_address: "str | None", sys_folder: str = "/sys") -> "str | None":
    """CPU list such as `0-15,32-47`; None on a host with one NUMA node, or where nothing is told."""
    folder = _folder(pci_address, sys_folder)
    if _single(sys_folder) or folder is None:
        return None
    near = _read(os.path.join(folder, "local_cpulist"))
    # The kernel gives all CPUs to a device whose node it does not know.
    return near if _number(folder) is not None and _CPU_LIST.fullmatch(near) else None


def numa_node(pci_address: "str | None", sys_folder: str = "/sys") -> "int | None":
    """Number of the NUMA node, 0 on a host that has only one; None where nothing is told."""
    if _single(sys_folder):
        return 0
    folder = _folder(pci_address, sys_folder)
    return None if folder is None else _number(folder)


def _single(sys_folder: str) -> bool:
    return len(glob.glob(os.path.join(sys_folder, "devices/system/node/node[0-9]*"))) < 2


def _folder(pci_address: "str | None", sys_folder: str) -> "str | None":
    """Where the kernel tells of the device."""
    return None if pci_address is None else os.path.join(sys_folder, "bus/pci/devices", pci_address)


def _number(folder: str) -> "int | None":
    """The device's NUMA node; None where the kernel does not know it."""
    told = _read(os.path.join(folder, "numa_node"))
    return int(told) if told.isdigit() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(4096).strip()
    except OSError:
        return ""
