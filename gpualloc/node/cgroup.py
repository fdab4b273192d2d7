"""Control groups: one group per workload below `gpualloc`, its limits set and read back.

Back ends with one interface: `systemd.Systemd`, `cgroup2.Cgroup2` and `cgroup1.Cgroup1`; `probe` finds out which one
this host has.
"""

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node import device_rule
from gpualloc.node.group_files import read_value
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from typing import Protocol  # novm

    from gpualloc.node.device_rule import DeviceRule
else:
    Protocol = object

CONTROLLER_OF = {
    "cpus": "cpu",
    "cpu_weight": "cpu",
    "cpuset": "cpuset",
    "memory_mib": "memory",
    "pids": "pids",
    "io_weight": "io",
}
"""The controller that each limit needs."""

HELD = {
    "cpu": ("cpus", "cpu_weight", "cpuset"),
    "memory": ("memory_mib",),
    "pids": ("pids",),
    "io": ("io_weight",),
}
"""What `held_by` tells of: the limits behind each name."""

PARENT = "gpualloc"
"""Name of the group in which all groups of workloads are."""

_HIERARCHIES = {
    "blkio": "io",
    "cpu": "cpu",
    "cpuset": "cpuset",
    "devices": "devices",
    "freezer": "freezer",
    "memory": "memory",
    "pids": "pids",
}
"""Hierarchies of version 1 that are used, with the names that version 2 gives their controllers."""

_PERIOD_US = 100_000
_MIN_QUOTA_US = 1000
_LONG_PERIOD_US = 1_000_000


class Cgroups(Protocol):
    """What every back end can do. Group names are workload ids; a limit that was not asked for is None.

    Limits: `cpus` (a quota; 0.5 is half a CPU), `cpu_weight` and `io_weight` (1..10000, 100 is what everybody has),
    `cpuset` (a list such as `0-3,8`; memory comes from the NUMA nodes of these CPUs), `memory_mib` (swap included),
    `pids`. A function that acts raises OSError when the kernel refuses.
    """

    mode: str
    """`systemd`, `systemd-user`, `v2`, `v1` or `none`."""

    def controllers(self) -> "list[str]":
        """The controllers this host has: of cpu, cpuset, io, memory, pids."""

    def writable(self) -> bool:
        """Whether this account may make groups."""

    def make(self, workload: str) -> None:
        """Make the group, empty and without limits; one that exists is fine."""

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Set the given limits. A memory limit below what is in use is refused (EBUSY) and the old one stays."""

    def read(self, workload: str) -> "dict[str, Any]":
        """The limits in force, as far as the group has them; empty when there is no group."""

    def exists(self, workload: str) -> bool:
        """Whether the group is there, or a part of it."""

    def join(self, workload: str, pid: int) -> None:
        """Let a process in (0: the caller)."""

    def holds(self, workload: str, pid: int) -> bool:
        """Whether the process is in every part of the group."""

    def members(self, workload: str) -> "list[int]":
        """Pids in the group and below; empty when there is no group."""

    def oom_kills(self, workload: str) -> int:
        """How many processes the memory limit has killed; 0 when there is no such limit."""

    def remove(self, workload: str) -> None:
        """Remove the group, and the parent when it was the last; none is fine. Raises OSError when it has members."""

    def isolation(self) -> "str | None":
        """How device rules are put in force: `bpf`, `v1-devices` or `systemd-policy`.

        None when this host or account cannot keep a process from a device.
        """

    def restrict(self, workload: str, rule: "DeviceRule") -> None:
        """Put a device rule in force on a group that is made, in place of an older one.

        It holds for what is opened from now on; what is open already stays usable. Processes should come in
        after it.
        """

    def restricted(self, workload: str) -> "str | None":
        """Identity of the device rule in force, read from the kernel; None when there is none of ours.

        Raises OSError when this account may not ask.
        """

    def expected(self, rule: "DeviceRule") -> str:
        """What `restricted` answers while exactly that rule is in force."""

    def unrestrict(self, workload: str) -> None:
        """Take our device rule away; none is fine."""

    def freeze(self, workload: str, frozen: bool) -> None:
        """Stop every process of the group where it stands, or let them go on; returns when that is so."""

    def frozen(self, workload: str) -> "bool | None":
        """Whether the kernel says that the group stands still; None when there is no group or it cannot tell."""

    def kill(self, workload: str) -> None:
        """Kill every process of the group and wait until it is empty, frozen or not; no group is fine."""


def probe(mounts: "str | None" = None) -> "Cgroups":
    """The back end for this host. `mounts` is the content of /proc/self/mounts, read when None.

    Only with the mounts of this very host is its systemd asked.
    """
    from gpualloc.node import systemd
    from gpualloc.node.cgroup1 import Cgroup1
    from gpualloc.node.cgroup2 import Cgroup2

    manager = systemd.running if mounts is None else lambda _root: None
    if mounts is None:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
            mounts = file.read()
    hierarchies: "dict[str, str]" = {}
    unified = None
    for line in mounts.splitlines():
        _, path, kind, options = line.split()[:4]
        if kind == "cgroup2" and unified is None:
            unified = path
        if kind == "cgroup":
            for name in set(options.split(",")) & set(_HIERARCHIES):
                hierarchies.setdefault(_HIERARCHIES[name], path)
    if set(hierarchies) & set(CONTROLLER_OF.values()):
        return Cgroup1(hierarchies, unified)
    return Cgroup1({}) if unified is None else manager(unified) or Cgroup2(unified)


def wake(cgroups: "Cgroups", workload: str) -> None:
    """Let work that stands still hear a signal and die of it."""
    if cgroups.frozen(workload):
        with suppress(OSError):  # the signals are sent all the same, and sent again
            cgroups.freeze(workload, False)


def ensure(cgroups: "Cgroups", step: "dict[str, Any]") -> "dict[str, str | None]":
    """Make a workload's group, set the limits and the device rule of a step; answers what holds each limit.

    The rule is `step["rule"]`, as `device_rule.to_json` wrote it; a step without that key leaves the rule alone.
    A limit that cannot be set is `booked`, unless the step requires hard ones: then it is refused as `no-cgroup`,
    and the group is gone again. So it is when the step gives whole GPUs or MIG instances and the rule does not hold.
    """
    problems = _prepare(cgroups, step)
    held_by = read_back(cgroups, step)
    if step["require_hard"] and ("booked" in held_by.values() or not _keeps_devices(cgroups, step)):
        with suppress(OSError):  # it may be in use, and the refusal is the news
            cgroups.remove(step["workload"])
        why = "; ".join("%s: %s" % item for item in sorted(problems.items())) or "read back, they were different"
        raise Refused("no-cgroup", "the limits cannot be set on this node: %s" % why)
    return held_by


def _prepare(cgroups: "Cgroups", step: "dict[str, Any]") -> "dict[str, str]":
    """Make the group, set its limits, then its device rule; answers what failed, and why."""
    workload, problems = step["workload"], {}
    try:
        cgroups.make(workload)
    except OSError as error:
        return {"group": str(error)}
    for name in CONTROLLER_OF:
        if step.get(name) is not None:
            try:
                cgroups.set(workload, {name: step[name]})
            except OSError as error:
                problems[name] = str(error)
    try:
        if step.get("rule") is not None:
            cgroups.restrict(workload, device_rule.from_json(step["rule"]))
        elif "rule" in step:
            cgroups.unrestrict(workload)
            problems["devices"] = "it is not known which device files its GPUs have"
    except OSError as error:
        problems["devices"] = str(error)
    return problems


def _keeps_devices(cgroups: "Cgroups", step: "dict[str, Any]") -> bool:
    """Whether the device rule holds, or the step needs none: it brings none, or gives nothing of its own."""
    own = "rule" in step and any(grant["share"] in ("exclusive", "mig") for grant in step["grants"])
    return not own or keeps_to(cgroups, step["workload"], step["rule"])


def keeps_to(cgroups: "Cgroups", workload: str, rule: "dict[str, Any] | None") -> bool:
    """Whether exactly that device rule (as `device_rule.to_json` wrote it) is in force; False for None."""
    try:
        return rule is not None and cgroups.restricted(workload) == cgroups.expected(device_rule.from_json(rule))
    except OSError:
        return False


def read_back(cgroups: "Cgroups", step: "dict[str, Any]") -> "dict[str, str | None]":
    """What holds each limit of a step now: `hard` when the group has it, `booked` when not, None when not asked.

    `io` is told of only when it was asked for.
    """
    found = cgroups.read(step["workload"])
    held_by: "dict[str, str | None]" = {}
    for part, names in HELD.items():
        asked = [name for name in names if step.get(name) is not None]
        if asked:
            held_by[part] = "hard" if all(_same(name, step[name], found.get(name)) for name in asked) else "booked"
        elif part != "io":
            held_by[part] = None
    return held_by


def _same(name: str, wanted: Any, found: Any) -> bool:
    if found is None:
        return False
    if name == "cpus":
        # The kernel keeps whole microseconds of its period.
        return bool(abs(found - wanted) <= max(0.00001, wanted * 0.001))
    if name == "cpuset":
        return cpu_numbers(found) == cpu_numbers(wanted)
    if name == "io_weight" and wanted > 100:
        # Most kernels keep a tenth of this scale (`io_weight`).
        return bool(0 <= wanted - found <= 10)
    return bool(found == wanted)


def cpu_numbers(text: str) -> "set[int]":
    """The CPUs that a list such as `0-3,8` names."""
    numbers: "set[int]" = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        if int(last or first) > 65536:
            raise OSError(errno.EINVAL, "no such CPU: %s" % part)
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def memory_nodes(cpus: str, folder: str = "/sys/devices/system/node") -> "str | None":
    """The NUMA nodes with memory of those CPUs, as a list such as `0,1`; None when the kernel does not tell."""
    wanted = cpu_numbers(cpus)
    with_memory = cpu_numbers(read_value(os.path.join(folder, "has_memory")) or "")
    lists = {node: read_value(os.path.join(folder, "node%d" % node, "cpulist")) or "" for node in with_memory}
    near = sorted(node for node, text in lists.items() if cpu_numbers(text) & wanted)
    return ",".join(map(str, near)) or None


def quota(cpus: float) -> "tuple[int, int]":
    """CPU quota and period in microseconds; a tiny quota gets the longest period, since 1 ms is the least."""
    period = _PERIOD_US if cpus * _PERIOD_US >= _MIN_QUOTA_US else _LONG_PERIOD_US
    return max(_MIN_QUOTA_US, round(cpus * period)), period
