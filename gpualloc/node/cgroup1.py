"""Control groups version 1, written directly: each controller is a hierarchy of its own.

Where version 2 is mounted beside it, a workload's group has a part there too: it knows the members, stops and kills
them at once, and carries the device rule.
"""

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node import bpf, cgroup, device_list, group_files, group_life, io_weight

if TYPE_CHECKING:
    from gpualloc.node.device_rule import DeviceRule

_TRACKING = ("unified", "freezer", "pids", "memory", "cpu", "cpuset")
"""The first of these that is mounted gets a group even when no limit is asked for, to know the members."""

_TURNS = 20
_UNLIMITED_BYTES = 1 << 60
_HEAVIEST = 10000
"""Largest weight there is; somebody else may have set more shares than that."""
_SHARES = 1024
"""What everybody has, as a weight of 100 in version 2; the kernel itself converts in this proportion."""


class Cgroup1:
    """Groups below the mounts of version 1.

    Args:
        mounts: controller (cpu, cpuset, devices, freezer, io, memory, pids) to the folder where its hierarchy is
            mounted; empty on a host without control groups, where nothing can be made and nothing is there to remove.
        unified: where version 2 is mounted beside them; None when it is not.
    """

    def __init__(self, mounts: "dict[str, str]", unified: "str | None" = None) -> None:
        self.mode = "v1" if mounts else "none"
        self._mounts = dict(mounts)
        if unified is not None and os.access(unified, os.W_OK):
            self._mounts["unified"] = unified

    def controllers(self) -> "list[str]":
        """The mounted ones that can limit, sorted."""
        return sorted(set(self._mounts) & set(cgroup.CONTROLLER_OF.values()))

    def writable(self) -> bool:
        """Whether groups can be made in every mounted hierarchy."""
        return bool(self._mounts) and all(os.access(path, os.W_OK) for path in self._mounts.values())

    def make(self, workload: str) -> None:
        """Make the group that tells who belongs to the workload."""
        tracking = next((name for name in _TRACKING if name in self._mounts), None)
        if tracking is None:
            raise OSError(errno.ENOTSUP, "this host has no control groups")
        folder = self._make(tracking, workload)
        if tracking == "unified" and "freezer" in self._mounts and group_life.is_frozen(folder) is None:
            self._make("freezer", workload)

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Set the given limits, making the group below each controller that is needed."""
        for name, value in limits.items():
            if cgroup.CONTROLLER_OF[name] not in self._mounts:
                raise OSError(errno.ENOTSUP, "the %s controller is not mounted" % cgroup.CONTROLLER_OF[name])
            folder = self._make(cgroup.CONTROLLER_OF[name], workload)
            _SETTERS[name](folder, value)
        self._gather(workload)

    def read(self, workload: str) -> "dict[str, Any]":
        """The limits in force."""
        found = {}
        for name, controller in cgroup.CONTROLLER_OF.items():
            if controller in self._mounts:
                value = _READERS[name](self._folder(controller, workload))
                if value is not None:
                    found[name] = value
        return found

    def exists(self, workload: str) -> bool:
        """Whether any part is there."""
        return bool(self._parts(workload))

    def join(self, workload: str, pid: int) -> None:
        """Let a process into each part of the group."""
        for folder in self._parts(workload):
            group_files.write_value(os.path.join(folder, "cgroup.procs"), str(pid))

    def holds(self, workload: str, pid: int) -> bool:
        """Whether the kernel says that the process is in every part."""
        lines = (group_files.read_value("/proc/%d/cgroup" % pid) or "").splitlines()
        inside = [line for line in lines if line.endswith("/%s/%s" % (cgroup.PARENT, workload))]
        parts = self._parts(workload)
        return bool(parts) and len(inside) >= len(parts)

    def members(self, workload: str) -> "list[int]":
        """Pids in any part."""
        found: "set[int]" = set()
        for folder in self._parts(workload):
            found.update(group_files.all_members(folder))
        return sorted(found)

    def oom_kills(self, workload: str) -> int:
        """The kernel's own count; 0 on kernels before 4.13, which keep none."""
        if "memory" not in self._mounts:
            return 0
        text = group_files.read_value(os.path.join(self._folder("memory", workload), "memory.oom_control")) or ""
        counts = dict(line.split() for line in text.splitlines())
        return int(counts.get("oom_kill", 0))

    def remove(self, workload: str) -> None:
        """Remove every part."""
        for controller, mount in self._mounts.items():
            if os.path.isdir(self._folder(controller, workload)):
                group_files.remove_below(os.path.join(mount, cgroup.PARENT), workload)

    def isolation(self) -> "str | None":
        """`bpf` where version 2 is mounted too, else `v1-devices` where that controller is."""
        if "unified" in self._mounts and bpf.available():
            return "bpf"
        listed = self._mounts.get("devices")
        return "v1-devices" if listed is not None and os.access(listed, os.W_OK) else None

    def restrict(self, workload: str, rule: "DeviceRule") -> None:
        """Put a device rule in force: a program, else an allow-list in a part of its own."""
        how = self.isolation()
        if how is None:
            raise OSError(errno.ENOTSUP, "this host, or this account, cannot keep processes from devices")
        if how == "bpf":
            bpf.attach(self._make("unified", workload), rule, workload)
        else:
            _restrict_by_list(self._make("devices", workload), rule)
        self._gather(workload)

    def restricted(self, workload: str) -> "str | None":
        """Tag of the program, or the identity of the allow-list."""
        if self.isolation() == "bpf":
            return bpf.restricted(self._folder("unified", workload), workload)
        return device_list.restricted(self._folder("devices", workload)) if "devices" in self._mounts else None

    def expected(self, rule: "DeviceRule") -> str:
        """What `restricted` answers under that rule."""
        return bpf.tag(rule) if self.isolation() == "bpf" else device_list.identity(device_list.entries(rule))

    def unrestrict(self, workload: str) -> None:
        """Take the program off, or allow everything in the list."""
        if self.isolation() == "bpf":
            bpf.detach(self._folder("unified", workload), workload)
        elif "devices" in self._mounts:
            device_list.unrestrict(self._folder("devices", workload))

    def freeze(self, workload: str, frozen: bool) -> None:
        """By version 2 where it is mounted and can, else by the freezer."""
        group_life.freeze(self._life(workload), frozen)

    def frozen(self, workload: str) -> "bool | None":
        """What that part tells."""
        return group_life.is_frozen(self._life(workload))

    def kill(self, workload: str) -> None:
        """Kill the members of every part."""
        group_life.kill(self._parts(workload), lambda: self.members(workload))

    def _gather(self, workload: str) -> None:
        """Bring the members of older parts into a new one; what they forked meanwhile comes with the next turn."""
        for _ in range(_TURNS):
            inside = {folder: set(group_files.all_members(folder)) for folder in self._parts(workload)}
            everybody = set().union(*inside.values())
            if all(pids == everybody for pids in inside.values()):
                return
            for folder, pids in inside.items():
                for pid in everybody - pids:
                    with suppress(ProcessLookupError):
                        group_files.write_value(os.path.join(folder, "cgroup.procs"), str(pid))

    def _life(self, workload: str) -> str:
        """The part that can be frozen; the folder of one that is not there when none can."""
        folders = [self._folder(name, workload) for name in ("unified", "freezer") if name in self._mounts]
        able = [folder for folder in folders if group_life.is_frozen(folder) is not None]
        return (able + folders + [""])[0]

    def _folder(self, controller: str, workload: str) -> str:
        return os.path.join(self._mounts[controller], cgroup.PARENT, workload)

    def _parts(self, workload: str) -> "list[str]":
        folders = {self._folder(controller, workload) for controller in self._mounts}
        return sorted(folder for folder in folders if os.path.isdir(folder))

    def _make(self, controller: str, workload: str) -> str:
        mount = self._mounts[controller]
        folder = group_files.make_below(os.path.join(mount, cgroup.PARENT), workload, _fill_cpuset)
        # A cpuset group without both lets nobody in.
        _fill_cpuset(folder)
        return folder


def _restrict_by_list(folder: str, rule: "DeviceRule") -> None:
    try:
        device_list.restrict(folder, rule)
    except OSError:
        # Half a list would deny what the rule does not.
        with suppress(OSError):
            device_list.unrestrict(folder)
            os.rmdir(folder)
        raise


def _fill_cpuset(folder: str) -> None:
    """Give a new cpuset group what its parent has: version 1 begins with nothing. Other groups have no such files."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        if group_files.read_value(os.path.join(folder, name)) == "":
            inherited = group_files.read_value(os.path.join(os.path.dirname(folder), name))
            group_files.write_value(os.path.join(folder, name), inherited or "0")


def _set_cpus(folder: str, cpus: float) -> None:
    quota, period = cgroup.quota(cpus)
    group_files.write_value(os.path.join(folder, "cpu.cfs_period_us"), str(period))
    group_files.write_value(os.path.join(folder, "cpu.cfs_quota_us"), str(quota))


def _read_cpus(folder: str) -> "float | None":
    quota = group_files.read_value(os.path.join(folder, "cpu.cfs_quota_us"))
    period = group_files.read_value(os.path.join(folder, "cpu.cfs_period_us"))
    return int(quota) / int(period) if quota and period and int(quota) > 0 else None


def _set_cpu_weight(folder: str, weight: int) -> None:
    group_files.write_value(os.path.join(folder, "cpu.shares"), str(round(weight * _SHARES / 100)))


def _read_cpu_weight(folder: str) -> "int | None":
    shares = group_files.read_value(os.path.join(folder, "cpu.shares"))
    return min(_HEAVIEST, round(int(shares) * 100 / _SHARES)) if shares else None


def _set_cpuset(folder: str, cpus: str) -> None:
    group_files.write_value(os.path.join(folder, "cpuset.cpus"), cpus)
    nodes = cgroup.memory_nodes(cpus)
    if nodes is not None:
        group_files.write_value(os.path.join(folder, "cpuset.mems"), nodes)


def _read_cpuset(folder: str) -> "str | None":
    return group_files.read_value(os.path.join(folder, "cpuset.cpus"))


def _set_memory(folder: str, mib: int) -> None:
    value = str(mib << 20)
    files = [os.path.join(folder, "memory.limit_in_bytes"), os.path.join(folder, "memory.memsw.limit_in_bytes")]
    if not os.path.exists(files[1]):
        group_files.write_value(files[0], value)
        group_files.write_value(os.path.join(folder, "memory.swappiness"), "0")
        return
    # The sum with swap may never be below the memory limit: raise it first, lower it last.
    if int(group_files.read_value(files[1]) or 0) < mib << 20:
        files.reverse()
    before = group_files.read_value(files[0])
    group_files.write_value(files[0], value)
    try:
        group_files.write_value(files[1], value)
    except OSError:
        group_files.write_value(files[0], before or value)
        raise


def _read_memory(folder: str) -> "int | None":
    limit = group_files.read_value(os.path.join(folder, "memory.limit_in_bytes"))
    with_swap = group_files.read_value(os.path.join(folder, "memory.memsw.limit_in_bytes"))
    if limit is None or int(limit) > _UNLIMITED_BYTES or (with_swap is not None and with_swap != limit):
        return None
    return int(limit) >> 20


def _set_pids(folder: str, pids: int) -> None:
    group_files.write_value(os.path.join(folder, "pids.max"), str(pids))


def _read_pids(folder: str) -> "int | None":
    value = group_files.read_value(os.path.join(folder, "pids.max"))
    return int(value) if value is not None and value.isdigit() else None


_SETTERS: "dict[str, Any]" = {
    "cpus": _set_cpus,
    "cpu_weight": _set_cpu_weight,
    "cpuset": _set_cpuset,
    "memory_mib": _set_memory,
    "pids": _set_pids,
    "io_weight": io_weight.set_weight,
}
_READERS: "dict[str, Any]" = {
    "cpus": _read_cpus,
    "cpu_weight": _read_cpu_weight,
    "cpuset": _read_cpuset,
    "memory_mib": _read_memory,
    "pids": _read_pids,
    "io_weight": io_weight.weight,
}
