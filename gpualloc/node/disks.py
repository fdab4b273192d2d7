"""Operations of whole disks, and pages swapped, as the kernel counts them."""

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SWAP = {"pswpin": "swap_in", "pswpout": "swap_out"}


def swap_counters(root: str = "/") -> "dict[str, int]":
    """Bytes read from swap (`swap_in`) and written to it (`swap_out`) since the boot; empty when nothing is counted."""
    found: "dict[str, int]" = {}
    try:
        with open(os.path.join(root, "proc/vmstat"), encoding="ascii", errors="replace") as file:
            for line in file:
                name, _, count = line.partition(" ")
                if name in _SWAP:
                    found[_SWAP[name]] = int(count) * _PAGE_BYTES
    except (OSError, ValueError):
        return {}
    return found


def disk_counters(root: str = "/") -> "dict[str, int]":
    """Reads and writes that all disks completed since the boot: `disk_reads`, `disk_writes`; empty where none are.

    Only what has a device of its own counts: not partitions, nor what is laid over disks, such as dm, md and loop.
    """
    reads = writes = disks = 0
    try:
        with open(os.path.join(root, "proc/diskstats"), encoding="ascii", errors="replace") as file:
            for line in file:
                fields = line.split()
                if len(fields) >= 8 and _is_whole(root, fields[2]):
                    reads, writes, disks = reads + int(fields[3]), writes + int(fields[7]), disks + 1
    except (OSError, ValueError):
        return {}
    return {"disk_reads": reads, "disk_writes": writes} if disks else {}


def _is_whole(root: str, name: str) -> bool:
    return os.path.exists(os.path.join(root, "sys/block", name.replace("/", "!"), "device"))
