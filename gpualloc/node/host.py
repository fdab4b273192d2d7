"""The host's own load from /proc and /sys.

Rates are over the time since the previous look. The counters are kept in a file between programs, so that a look from
cron tells the mean since the one before; a first look has no rates.
"""

import os
import threading
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import processes
from gpualloc.node.counters import MIN_WINDOW_S, Counters, from_kept, total
from gpualloc.node.disks import disk_counters, swap_counters
from gpualloc.node.network import network_counters
from gpualloc.node.state import read_json, write_json

if TYPE_CHECKING:
    from gpualloc.node.gpu_bus import GpuBus
    from gpualloc.node.port import Port
    from gpualloc.node.ports import Ports

_RATES = (
    ("network_rx_bytes_per_s", "network_rx"),
    ("network_tx_bytes_per_s", "network_tx"),
    ("network_errors_per_s", "network_errors"),
    ("swap_in_bytes_per_s", "swap_in"),
    ("swap_out_bytes_per_s", "swap_out"),
    ("disk_reads_per_s", "disk_reads"),
    ("disk_writes_per_s", "disk_writes"),
)
"""Rates of the host, and the counters they are made of."""

_PORT_RATES = (("rx_bytes_per_s", "rx"), ("tx_bytes_per_s", "tx"), ("errors_per_s", "errors"))
_RDMA = ("infiniband", "roce")

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
    """Reads the host; remembers the last counters to make rates of them. Several threads may look.

    Args:
        kept: file that holds the counters of the last program that looked; None keeps nothing.
        ports: network and RDMA ports of this host; None tells none.
        bus: GPUs on the bus of this host; None tells nothing of them.
        root: where /proc and /sys are found.
    """

    def __init__(
        self,
        kept: "str | None" = None,
        ports: "Ports | None" = None,
        bus: "GpuBus | None" = None,
        root: str = "/",
    ) -> None:
        self._kept = kept
        self._ports = ports
        self._bus = bus
        self._root = root
        self._looking = threading.Lock()
        self._before = self._taken_over() or self._counters([])

    def inventory(self) -> "dict[str, Any]":
        """`cpus`, `memory_total_mib`, `disk_total_mib`, `gpus_on_bus`; None is unknown."""
        disk = os.statvfs("/")
        return {
            "cpus": os.cpu_count(),
            "memory_total_mib": self._memory_mib("MemTotal"),
            "disk_total_mib": (disk.f_blocks * disk.f_frsize) >> 20,
            "gpus_on_bus": None if self._bus is None else self._bus.count(),
        }

    def sample(self) -> "dict[str, Any]":
        """The load as `host` of `sample` in docs/wire.md; None is unknown."""
        disk = os.statvfs("/")
        with self._looking:
            ports = [] if self._ports is None else self._ports.look()
            before, now = self._step(ports)
        rows = [(port, self._row(port, now, before)) for port in ports]
        told = {
            "cpu_utilization_ratio": _busy(now, before),
            "memory_available_mib": self._memory_mib("MemAvailable"),
            "disk_used_mib": ((disk.f_blocks - disk.f_bfree) * disk.f_frsize) >> 20,
            "ports": [row for _, row in rows],
        }
        told.update((name, now.rate(counter, before)) for name, counter in _RATES)
        rdma = [row for port, row in rows if port.kind in _RDMA and port.counters]
        for direction in ("rx", "tx"):
            name = direction + "_bytes_per_s"
            told["rdma_" + name] = total(row[name] for row in rdma)
        return told

    def _step(self, ports: "list[Port]") -> "tuple[Counters, Counters]":
        """The counters of the look before and of now; the same ones twice when too little time passed for rates."""
        now = self._counters(ports)
        if now.at_s - self._before.at_s < MIN_WINDOW_S:
            # What is counted for the first time begins here all the same.
            values = dict(now.values, **self._before.values)
            self._before = Counters(values, self._before.at_s)
            now = self._before
        before, self._before = self._before, now
        self._keep()
        return before, now

    def _counters(self, ports: "list[Port]") -> "Counters":
        values = _cpu_ticks(self._root)
        for counters in (network_counters(self._root), swap_counters(self._root), disk_counters(self._root)):
            values.update(counters)
        for port in ports:
            values.update((_counter(port, name), count) for name, count in port.counters.items())
        return Counters(values)

    def _row(self, port: "Port", now: "Counters", before: "Counters") -> "dict[str, Any]":
        rates = {name: now.rate(_counter(port, counter), before) for name, counter in _PORT_RATES}
        return dict(port.row(), **rates)

    def _taken_over(self) -> "Counters | None":
        """The counters of an earlier program, if they are of this boot and not too old."""
        before = read_json(self._kept) if self._kept is not None else None
        if before is None or before.get("boot_id") != boot_id():
            return None
        return from_kept(before, time.monotonic())

    def _keep(self) -> None:
        if self._kept is None:
            return
        try:
            os.makedirs(os.path.dirname(self._kept), 0o700, exist_ok=True)
            write_json(self._kept, dict(self._before.kept(), boot_id=boot_id()), durable=False)
        except OSError:
            return  # it only costs the next program its rates

    def _memory_mib(self, field: str) -> "int | None":
        with open(os.path.join(self._root, "proc/meminfo"), encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name == field:
                    return int(rest.split()[0]) >> 10
        return None


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


def _counter(port: "Port", name: str) -> str:
    return "%s %s %s" % (port.kind, port.name, name)


def _busy(now: "Counters", before: "Counters") -> "float | None":
    """Share of the CPU time that passed which was not idle; None when none passed."""
    busy, passed = now.passed("cpu_busy", before), now.passed("cpu_all", before)
    return min(1.0, busy / passed) if passed and busy is not None else None


def _cpu_ticks(root: str) -> "dict[str, int]":
    """Busy and all CPU ticks since the boot."""
    with open(os.path.join(root, "proc/stat"), encoding="ascii") as file:
        # Guest time is counted in user time already.
        ticks = [int(field) for field in file.readline().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return {"cpu_busy": sum(ticks) - idle, "cpu_all": sum(ticks)}


def has_program(name: str) -> bool:
    """Whether a program of that name is on PATH."""
    folders = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders if folder)
