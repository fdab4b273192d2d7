"""Control groups version 2, written directly below the mount: one hierarchy for all controllers."""

import errno
import os
from typing import TYPE_CHECKING, Any

from gpualloc.node import bpf, cgroup, group_files, group_life, io_weight

if TYPE_CHECKING:
    from gpualloc.node.device_rule import DeviceRule

_ALWAYS = ("cpu", "cpuset", "memory", "pids")
"""Controllers passed on to every group; `io` only to those that ask, since it costs each disk access."""

_OPTIONAL = ("memory.swap.max", "memory.oom.group")
"""Files that are missing without swap accounting, and before kernel 4.19."""

_DROPPABLE = ("inactive_file", "active_file", "slab_reclaimable")
"""Parts of `memory.stat` that the kernel gives back by itself."""


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
        """Those that the root offers, sorted."""
        offered = (group_files.read_value(os.path.join(self._root, "cgroup.controllers")) or "").split()
        return sorted(set(offered) & set(cgroup.CONTROLLER_OF.values()))

    def writable(self) -> bool:
        """Whether groups can be made here and controllers passed on to them."""
        return os.access(self._root, os.W_OK) and os.access(os.path.join(self._root, "cgroup.subtree_control"), os.W_OK)

    def make(self, workload: str) -> None:
        """Make the group, with the controllers that the root offers passed on to it."""
        group_files.make_below(self._parent, workload, lambda parent: self._pass_on(parent, _ALWAYS))

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Set the given limits."""
        folder = self._folder(workload)
        for name, value in limits.items():
            if name == "io_weight":
                self._pass_on(self._parent, ("io",))
                io_weight.set_weight(folder, value)
                continue
            if name == "memory_mib":
                refuse_below_use(folder, value << 20)
            for file, text in _values(name, value):
                path = os.path.join(folder, file)
                if file not in _OPTIONAL or os.path.exists(path):
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
        if value("cpu.weight").isdigit():
            found["cpu_weight"] = int(value("cpu.weight"))
        if value("cpuset.cpus"):
            # The kernel takes CPUs that the parent does not have, and gives others.
            found["cpuset"] = value("cpuset.cpus.effective") or value("cpuset.cpus")
        if value("memory.max").isdigit() and value("memory.swap.max") in ("0", ""):
            found["memory_mib"] = int(value("memory.max")) >> 20
        if value("pids.max").isdigit():
            found["pids"] = int(value("pids.max"))
        weight = io_weight.weight(folder)
        if weight is not None:
            found["io_weight"] = weight
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

    def isolation(self) -> "str | None":
        """`bpf`, when this kernel and account can."""
        return "bpf" if self.writable() and bpf.available() else None

    def restrict(self, workload: str, rule: "DeviceRule") -> None:
        """Put a device rule in force, as a program."""
        bpf.attach(self._folder(workload), rule, workload)

    def restricted(self, workload: str) -> "str | None":
        """Tag of the program."""
        return bpf.restricted(self._folder(workload), workload)

    def expected(self, rule: "DeviceRule") -> str:
        """Tag of that rule's program."""
        return bpf.tag(rule)

    def unrestrict(self, workload: str) -> None:
        """Take the program off."""
        bpf.detach(self._folder(workload), workload)

    def freeze(self, workload: str, frozen: bool) -> None:
        """Stop or wake the group."""
        group_life.freeze(self._folder(workload), frozen)

    def frozen(self, workload: str) -> "bool | None":
        """What the kernel tells of the group."""
        return group_life.is_frozen(self._folder(workload))

    def kill(self, workload: str) -> None:
        """Kill the group."""
        group_life.kill([self._folder(workload)], lambda: self.members(workload))

    def _folder(self, workload: str) -> str:
        return os.path.join(self._parent, workload)

    def _pass_on(self, parent: str, controllers: "tuple[str, ...]") -> None:
        """Enable controllers at the root, then in our parent; one that refuses is read back as missing later."""
        for folder in (self._root, parent):
            offered = (group_files.read_value(os.path.join(folder, "cgroup.controllers")) or "").split()
            enabled = (group_files.read_value(os.path.join(folder, "cgroup.subtree_control")) or "").split()
            for name in controllers:
                if name in offered and name not in enabled:
                    try:
                        group_files.write_value(os.path.join(folder, "cgroup.subtree_control"), "+" + name)
                    except OSError:
                        continue


def _values(name: str, value: Any) -> "list[tuple[str, str]]":
    if name == "cpus":
        return [("cpu.max", "%d %d" % cgroup.quota(value))]
    if name == "cpu_weight":
        return [("cpu.weight", str(value))]
    if name == "cpuset":
        nodes = cgroup.memory_nodes(value)
        return [("cpuset.cpus", value)] + ([] if nodes is None else [("cpuset.mems", nodes)])
    if name == "memory_mib":
        # A memory kill takes the whole workload: half of one computes nothing.
        return [("memory.max", str(value << 20)), ("memory.swap.max", "0"), ("memory.oom.group", "1")]
    return [("pids.max", str(value))]


def refuse_below_use(folder: str, limit: int) -> None:
    """Refuse (EBUSY) a limit in bytes below what the group uses and cannot drop: version 2 would kill for it."""
    in_use = group_files.read_value(os.path.join(folder, "memory.current"))
    if in_use is None:
        return
    text = group_files.read_value(os.path.join(folder, "memory.stat")) or ""
    counts = dict(line.split() for line in text.splitlines())
    kept = int(in_use) - sum(int(counts.get(name, 0)) for name in _DROPPABLE)
    if kept > limit:
        raise OSError(errno.EBUSY, "%d MiB are in use, which is more than the limit" % (kept >> 20), folder)
