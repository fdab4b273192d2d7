"""Control groups: one group per workload below `gpualloc`, its limits set and read back.

Two back ends with one interface: `cgroup1.Cgroup1` and `cgroup2.Cgroup2`; `probe` finds out which one this host has.
"""

import errno
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from typing import Protocol  # novm
else:
    Protocol = object

CONTROLLER_OF = {"cpus": "cpu", "cpuset": "cpuset", "memory_mib": "memory", "pids": "pids"}
"""The controller that each limit needs."""

PARENT = "gpualloc"
"""Name of the group in which all groups of workloads are."""

_PERIOD_US = 100_000
_MIN_QUOTA_US = 1000
_LONG_PERIOD_US = 1_000_000
_TRIES = 50


class Cgroups(Protocol):
    """What both versions can do. Group names are workload ids; a limit that was not asked for is None."""

    mode: str
    """`v1`, `v2` or `none`."""

    def controllers(self) -> "list[str]":
        """The limits this host can set: of cpu, cpuset, memory, pids."""

    def writable(self) -> bool:
        """Whether this account may make groups."""

    def make(self, workload: str) -> None:
        """Make the group, empty and without limits; one that exists is fine. Raises OSError."""

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Set cpus, cpuset, memory_mib or pids, those that are given; raises OSError when one cannot be."""

    def read(self, workload: str) -> "dict[str, Any]":
        """The limits in force, as far as the group has them; empty when there is no group."""

    def exists(self, workload: str) -> bool:
        """Whether the group is there, or a part of it."""

    def join(self, workload: str, pid: int) -> None:
        """Let a process in (0: the caller). Raises OSError."""

    def holds(self, workload: str, pid: int) -> bool:
        """Whether the process is in every part of the group."""

    def members(self, workload: str) -> "list[int]":
        """Pids in the group and below; empty when there is no group."""

    def oom_kills(self, workload: str) -> int:
        """How many processes the memory limit has killed; 0 when there is no such limit."""

    def remove(self, workload: str) -> None:
        """Remove the group, and the parent when it was the last; none is fine. Raises OSError when it has members."""


def probe(mounts: "str | None" = None) -> "Cgroups":
    """The back end for this host. `mounts` is the content of /proc/self/mounts, read when None."""
    from gpualloc.node.cgroup1 import Cgroup1
    from gpualloc.node.cgroup2 import Cgroup2

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
            for name in set(options.split(",")) & {"cpu", "cpuset", "memory", "pids"}:
                hierarchies.setdefault(name, path)
    if hierarchies:
        return Cgroup1(hierarchies)
    return Cgroup2(unified) if unified is not None else Cgroup1({})


def ensure(cgroups: "Cgroups", step: "dict[str, Any]") -> "dict[str, str | None]":
    """Make a workload's group and set what the step asks for; answers what holds each limit.

    A limit that cannot be set is `booked`, unless the step requires hard ones: then it is refused as `no-cgroup`,
    and the group is gone again.
    """
    workload, problems = step["workload"], {}
    try:
        cgroups.make(workload)
    except OSError as error:
        problems["group"] = str(error)
    for name in ("cpus", "cpuset", "memory_mib", "pids"):
        if step[name] is None:
            continue
        try:
            if problems.get("group") is None:
                cgroups.set(workload, {name: step[name]})
        except OSError as error:
            problems[name] = str(error)
    held_by = read_back(cgroups, step)
    if step["require_hard"] and "booked" in held_by.values():
        with suppress(OSError):  # it may be in use, and the refusal is the news
            cgroups.remove(workload)
        why = "; ".join("%s: %s" % item for item in sorted(problems.items())) or "read back, they were different"
        raise Refused("no-cgroup", "the limits cannot be set on this node: %s" % why)
    return held_by


def read_back(cgroups: "Cgroups", step: "dict[str, Any]") -> "dict[str, str | None]":
    """What holds each limit of a step now: `hard` when the group has it, `booked` when not, None when not asked."""
    found = cgroups.read(step["workload"])

    def held(*names: str) -> "str | None":
        asked = [name for name in names if step[name] is not None]
        if not asked:
            return None
        return "hard" if all(_same(name, step[name], found.get(name)) for name in asked) else "booked"

    return {"cpu": held("cpus", "cpuset"), "memory": held("memory_mib"), "pids": held("pids")}


def _same(name: str, wanted: Any, found: Any) -> bool:
    if found is None:
        return False
    if name == "cpus":
        # The kernel keeps whole microseconds of its period.
        return bool(abs(found - wanted) <= max(0.00001, wanted * 0.001))
    if name == "cpuset":
        return cpu_numbers(found) == cpu_numbers(wanted)
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


def quota(cpus: float) -> "tuple[int, int]":
    """CPU quota and period in microseconds; a tiny quota gets the longest period, since 1 ms is the least."""
    period = _PERIOD_US if cpus * _PERIOD_US >= _MIN_QUOTA_US else _LONG_PERIOD_US
    return max(_MIN_QUOTA_US, round(cpus * period)), period


def read_value(path: str) -> "str | None":
    """Content of a group's file; None when it does not exist."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20).decode("ascii", "replace").strip()
    except OSError:
        return None


def write_value(path: str, value: str) -> None:
    """Write one value in one write: a buffered file would swallow the kernel's refusal. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(fd)


def make_below(parent: str, name: str, prepare: "Any" = None) -> str:
    """Make a group below a parent that another program may be removing; `prepare(parent)` runs before. Returns it."""
    path = os.path.join(parent, name)
    for _ in range(_TRIES):
        try:
            os.makedirs(parent, 0o755, exist_ok=True)
            if prepare is not None:
                prepare(parent)
            os.mkdir(path, 0o755)
        except FileExistsError:
            return path
        except (FileNotFoundError, NotADirectoryError):
            continue
        return path
    raise OSError(errno.EAGAIN, "the parent group keeps vanishing", parent)


def remove_below(parent: str, name: str) -> None:
    """Remove a group and then its parent if that is empty. Raises OSError when members stay in it."""
    path = os.path.join(parent, name)
    for attempt in range(_TRIES):
        try:
            _remove_tree(path)
            break
        except OSError as error:
            # A process that just died is still counted for a moment.
            if error.errno != errno.EBUSY or attempt == _TRIES - 1:
                raise
            time.sleep(0.01)
    try:
        os.rmdir(parent)
    except OSError:
        pass  # other workloads are in it, or it is gone


def _remove_tree(path: str) -> None:
    try:
        below = [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
        for inner in below:
            _remove_tree(inner)
        os.rmdir(path)
    except FileNotFoundError:
        pass


def all_members(path: str) -> "list[int]":
    """Pids in a group and in every group below it; empty when it does not exist."""
    found: "set[int]" = set()
    for folder, _, _ in os.walk(path):
        found.update(int(pid) for pid in (read_value(os.path.join(folder, "cgroup.procs")) or "").split())
    return sorted(found - {0})
