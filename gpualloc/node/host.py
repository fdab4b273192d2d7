"""The host's own load from /proc.

Rates are over the time since the previous look. The counters are kept in a file between programs, so that a look from
cron tells the mean since the one before; a first look has no rates.
"""

import os
import time
from typing import Any

from gpualloc.node import processes
from gpualloc.node.state import read_json, write_json

_MIN_WINDOW_S = 0.05
"""Ticks are 10 ms: a rate over less than this would be noise."""

_MAX_WINDOW_S = 3600.0
"""A mean over more than this says nothing of how the host stands."""

_CONTROLLERS = {
    "slurmd": "slurmd",
    "kubelet": "kubelet",
    "k3s-server": "kubelet",
    "k3s-agent": "kubelet",
    "pbs_mom": "pbs_mom",
    "sge_execd": "sge_execd",
    "nomad": "nomad",
}
"""Process name to the name told: other programs that give this host's devices away."""


class Host:
    """Reads the host; remembers the last counters to make rates of them.

    Args:
        kept: file that holds the counters of the last program that looked; None keeps nothing.
    """

    def __init__(self, kept: "str | None" = None) -> None:
        self._kept = kept
        self._at_s = time.monotonic()
        self._cpu = _cpu_ticks()
        self._network = _network_bytes()
        self._take_over()

    def inventory(self) -> "dict[str, Any]":
        """`cpus`, `memory_total_mib`, `disk_total_mib`."""
        disk = os.statvfs("/")
        return {
            "cpus": os.cpu_count(),
            "memory_total_mib": _memory_mib("MemTotal"),
            "disk_total_mib": (disk.f_blocks * disk.f_frsize) >> 20,
        }

    def sample(self) -> "dict[str, Any]":
        """`cpu_utilization_ratio`, `memory_available_mib`, `disk_used_mib` and network rates; None is unknown."""
        disk = os.statvfs("/")
        now = {
            "cpu_utilization_ratio": None,
            "memory_available_mib": _memory_mib("MemAvailable"),
            "disk_used_mib": ((disk.f_blocks - disk.f_bfree) * disk.f_frsize) >> 20,
            "network_rx_bytes_per_s": None,
            "network_tx_bytes_per_s": None,
        }
        now.update(self._rates())
        return now

    def _take_over(self) -> None:
        """Go on from the counters of an earlier program, if they are of this boot and not too old."""
        before = read_json(self._kept) if self._kept is not None else None
        try:
            if before is not None and before["boot_id"] == boot_id():
                at_s, cpu, network = float(before["at_s"]), before["cpu"], before["network"]
                if 0 <= self._at_s - at_s <= _MAX_WINDOW_S:
                    counters = (int(cpu[0]), int(cpu[1])), (int(network[0]), int(network[1]))
                    self._at_s, (self._cpu, self._network) = at_s, counters
        except (KeyError, IndexError, TypeError, ValueError):
            return  # another version wrote it; the next look writes it anew

    def _keep(self) -> None:
        if self._kept is None:
            return
        content = {"boot_id": boot_id(), "at_s": self._at_s, "cpu": self._cpu, "network": self._network}
        try:
            os.makedirs(os.path.dirname(self._kept), 0o700, exist_ok=True)
            write_json(self._kept, content, durable=False)
        except OSError:
            return  # it only costs the next program its rates

    def _rates(self) -> "dict[str, Any]":
        elapsed_s = time.monotonic() - self._at_s
        if elapsed_s < _MIN_WINDOW_S:
            self._keep()
            return {}
        before_cpu, before_network = self._cpu, self._network
        self._at_s = time.monotonic()
        self._cpu, self._network = _cpu_ticks(), _network_bytes()
        self._keep()
        rates: "dict[str, Any]" = {}
        passed = self._cpu[1] - before_cpu[1]
        if passed > 0:
            rates["cpu_utilization_ratio"] = min(1.0, max(0.0, (self._cpu[0] - before_cpu[0]) / passed))
        # A counter goes back when an interface goes away: no rate rather than a negative one.
        for index, name in enumerate(("rx", "tx")):
            passed = self._network[index] - before_network[index]
            if passed >= 0:
                rates["network_%s_bytes_per_s" % name] = passed / elapsed_s
        return rates


def boot_id() -> str:
    """The kernel's id of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read(64).strip()


def hostname() -> str:
    """The host's name as the kernel has it."""
    return os.uname().nodename


def other_controllers() -> "list[str]":
    """Names of other programs found running that give this host's devices away."""
    found = set()
    for process in processes.every():
        try:
            with open("/proc/%d/comm" % process.pid, "rb") as file:
                name = file.read(64).decode("utf-8", "replace").strip()
        except OSError:
            continue
        if name in _CONTROLLERS:
            found.add(_CONTROLLERS[name])
    return sorted(found)


def _memory_mib(field: str) -> "int | None":
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == field:
                return int(rest.split()[0]) >> 10
    return None


def _cpu_ticks() -> "tuple[int, int]":
    """Busy and all CPU ticks since boot."""
    with open("/proc/stat", encoding="ascii") as file:
        # Guest time is counted in user time already.
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _network_bytes() -> "tuple[int, int]":
    """Bytes received and sent since boot on all interfaces but loopback."""
    received = sent = 0
    with open("/proc/net/dev", encoding="utf-8", errors="replace") as file:
        for line in file.readlines()[2:]:
            name, _, rest = line.partition(":")
            if name.strip() != "lo":
                fields = rest.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def has_program(name: str) -> bool:
    """Whether a program of that name is on PATH."""
    folders = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders if folder)
