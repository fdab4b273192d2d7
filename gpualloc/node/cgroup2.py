"""Control groups version 2, written directly below the mount: one hierarchy for all controllers."""

import os
from typing import Any

from gpualloc.node import cgroup, group_files

_WANTED = ("cpu", "cpuset", "memory", "pids")


class Cgroup2:
    """Groups below the mount of version 2.

    Args:
        root: folder where the hierarchy is mounted.
    """

    mode = "v2"

    def __init__(self, root: str) -> None:
        self._root = root
        self._parent = os.path.join(root, cgroup.PARENT)

    def controllers(self) -> "list[str]":
        """Those of cpu, cpuset, memory and pids that the root offers."""
        offered = (group_files.read_value(os.path.join(self._root, "cgroup.controllers")) or "").split()
        return [name for name in _WANTED if name in offered]

    def writable(self) -> bool:
        """Whether groups can be made here and controllers passed on to them."""
        return os.access(self._root, os.W_OK) and os.access(os.path.join(self._root, "cgroup.subtree_control"), os.W_OK)

    def make(self, workload: str) -> None:
        """Make the group, with every controller that the root offers passed on to it."""
        group_files.make_below(self._parent, workload, lambda parent: self._pass_on(self._root, parent))

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Set the given limits."""
        folder = self._folder(workload)
        for name, value in limits.items():
            for file, text in _values(name, value):
                path = os.path.join(folder, file)
                # Without swap accounting there is no such file, and no swap to limit.
                if file != "memory.swap.max" or os.path.exists(path):
                    group_files.write_value(path, text)

    def read(self, workload: str) -> "dict[str, Any]":
        """The limits in force."""
        folder = self._folder(workload)

        def value(file: str) -> str:
            return group_files.read_value(os.path.join(folder, file)) or ""

        found: "dict[str, Any]" = {}
        quota, _, period = value("cpu.max").partition(" ")
        if quota.isdigit() and period:
            found["cpus"] = int(quota) / int(period)
        if value("cpuset.cpus"):
            found["cpuset"] = value("cpuset.cpus")
        if value("memory.max").isdigit() and value("memory.swap.max") in ("0", ""):
            found["memory_mib"] = int(value("memory.max")) >> 20
        if value("pids.max").isdigit():
            found["pids"] = int(value("pids.max"))
        return found

    def exists(self, workload: str) -> bool:
        """Whether it is there."""
        return os.path.isdir(self._folder(workload))

    def join(self, workload: str, pid: int) -> None:
        """Let a process in."""
        group_files.write_value(os.path.join(self._folder(workload), "cgroup.procs"), str(pid))

    def holds(self, workload: str, pid: int) -> bool:
        """Whether the kernel says that the process is in the group."""
        lines = (group_files.read_value("/proc/%d/cgroup" % pid) or "").splitlines()
        own = next((line for line in lines if line.startswith("0::")), "")
        return own.endswith("/%s/%s" % (cgroup.PARENT, workload))

    def members(self, workload: str) -> "list[int]":
        """Pids in the group and below."""
        return group_files.all_members(self._folder(workload))

    def oom_kills(self, workload: str) -> int:
        """The kernel's count; 0 without the memory controller."""
        text = group_files.read_value(os.path.join(self._folder(workload), "memory.events")) or ""
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0))

    def remove(self, workload: str) -> None:
        """Remove the group."""
        if os.path.isdir(self._folder(workload)):
            group_files.remove_below(self._parent, workload)

    def _folder(self, workload: str) -> str:
        return os.path.join(self._parent, workload)

    def _pass_on(self, root: str, parent: str) -> None:
        """Enable each controller at the root, then in our parent; one that refuses is read back as missing later."""
        for folder in (root, parent):
            offered = (group_files.read_value(os.path.join(folder, "cgroup.controllers")) or "").split()
            enabled = (group_files.read_value(os.path.join(folder, "cgroup.subtree_control")) or "").split()
            for name in _WANTED:
                if name in offered and name not in enabled:
                    try:
                        group_files.write_value(os.path.join(folder, "cgroup.subtree_control"), "+" + name)
                    except OSError:
                        continue


def _values(name: str, value: Any) -> "list[tuple[str, str]]":
    if name == "cpus":
        return [("cpu.max", "%d %d" % cgroup.quota(value))]
    if name == "cpuset":
        return [("cpuset.cpus", value)]
    if name == "memory_mib":
        return [("memory.max", str(value << 20)), ("memory.swap.max", "0")]
    return [("pids.max", str(value))]
