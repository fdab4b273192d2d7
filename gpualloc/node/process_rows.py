"""Whose the processes on the devices are, and what they take of the host: rows of `processes` in docs/wire.md."""

import os
import threading
import time
from typing import Any

from gpualloc.node import attribution, processes
from gpualloc.node.commands import Commands
from gpualloc.node.epoch import since_boot_s

_WITHIN_S = 1.0
"""Time that the names and command lines of new processes may take together."""

_MIN_WINDOW_S = 0.25
"""CPU time is counted in ticks of 10 ms: a rate over less than this would be noise."""

_FIELDS = (
    "user",
    "command",
    "started_at_s",
    "workload",
    "container",
    "pod",
    "slurm_job",
    "parent",
    "cpu_utilization_ratio",
    "host_memory_mib",
)
_NAMESPACE_OF_HOST = "pid:[4026531836]"
"""The kernel gives the first pid namespace this number."""


class ProcessRows:
    """Tells rows; remembers the CPU time of each process from one look to the next. Several threads may look.

    Args:
        pods: names of the pods of this host.
        commands: command lines of processes.
        of_host: whether this program counts pids as the host does; found out when None.
    """

    def __init__(
        self,
        pods: "attribution.Pods | None" = None,
        commands: "Commands | None" = None,
        of_host: "bool | None" = None,
    ) -> None:
        self._pods = attribution.Pods() if pods is None else pods
        self._commands = Commands() if commands is None else commands
        self._of_host = _is_namespace_of_host() if of_host is None else of_host
        self._cpu: "dict[tuple[int, int], _Cpu]" = {}
        self._looking = threading.Lock()

    def look(self, pids: "set[int]", roots: "dict[int, str]") -> "dict[int, dict[str, Any]]":
        """A row for each pid that the driver told just now; all None for one that is not there, or not the one meant.

        Args:
            pids: pids as the driver counts them.
            roots: pids from which work descends, with the work.
        """
        told_s = since_boot_s()
        with self._looking:
            until_s = time.monotonic() + _WITHIN_S
            rows = {pid: self._row(pid, roots, told_s, until_s) for pid in pids}
            self._cpu = {identity: cpu for identity, cpu in self._cpu.items() if identity[0] in pids}
            self._commands.keep(pids)
        return rows

    def _row(self, pid: int, roots: "dict[int, str]", told_s: float, until_s: float) -> "dict[str, Any]":
        found = processes.stat(pid)
        if found is None or not self._is_meant(found, told_s):
            return _blank(pid)
        groups = processes.groups(pid)
        user, command, slurm_job = self._commands.told(found, until_s)
        row = {
            "pid": pid,
            "user": user,
            "command": command,
            "started_at_s": processes.started_at_s(found.start_ticks),
            "workload": processes.named_in(groups) or processes.workload_above(pid, roots),
            "container": attribution.container(groups),
            "pod": self._pod(groups),
            "slurm_job": attribution.slurm_job(groups) or slurm_job,
            "parent": found.parent,
            "cpu_utilization_ratio": self._busy(found),
            "host_memory_mib": found.resident_mib,
        }
        after = processes.stat(pid)
        # Its pid may have gone to another process while it was read.
        return row if after is not None and after.start_ticks == found.start_ticks else _blank(pid)

    def _is_meant(self, found: "processes.Stat", told_s: float) -> bool:
        """Whether it can be the process that the driver means by this pid."""
        if processes.start_s(found.start_ticks) > told_s:
            return False  # the one on the device ended, and this one got its pid
        # In a container the driver may count as the host does: a pid of ours is then one of its by chance.
        return self._of_host or _uses_driver(found.pid)

    def _pod(self, groups: str) -> "str | None":
        uid = attribution.pod(groups)
        return None if uid is None else self._pods.name(uid)

    def _busy(self, found: "processes.Stat") -> "float | None":
        """CPUs it kept busy since the look before; None at the first."""
        identity = (found.pid, found.start_ticks)
        now, last = _Cpu(time.monotonic(), found.cpu_s), self._cpu.get(identity)
        if last is not None:
            if now.at_s - last.at_s < _MIN_WINDOW_S:
                return last.busy
            now.busy = max(0.0, now.cpu_s - last.cpu_s) / (now.at_s - last.at_s)
        self._cpu[identity] = now
        return now.busy


class _Cpu:
    """CPU time of a process at one moment."""

    def __init__(self, at_s: float, cpu_s: float) -> None:
        self.at_s = at_s
        self.cpu_s = cpu_s
        self.busy: "float | None" = None
        """CPUs it kept busy until then."""


def _is_namespace_of_host() -> bool:
    try:
        return os.readlink("/proc/self/ns/pid") == _NAMESPACE_OF_HOST
    except OSError:
        return True  # a kernel without namespaces


def _blank(pid: int) -> "dict[str, Any]":
    return dict(dict.fromkeys(_FIELDS), pid=pid)


def _uses_driver(pid: int) -> bool:
    """Whether it has a device file of the driver open; False where that may not be seen."""
    folder = "/proc/%d/fd" % pid
    try:
        return any(_target(os.path.join(folder, name)).startswith("/dev/nvidia") for name in os.listdir(folder))
    except OSError:
        return False


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""
