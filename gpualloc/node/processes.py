"""Processes as /proc tells them. A process may be gone between any two reads; then there is nothing to tell."""

import os
import pwd
import re
from typing import TYPE_CHECKING, Any

from gpualloc.node.epoch import BOOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MAX_COMMAND_BYTES = 4096
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GROUP = re.compile(r"/gpualloc(?:/|\.slice/gpualloc-)(w[0-9a-hjkmnp-tv-z]{8})(?:\.slice)?(?:/|$)", re.MULTILINE)
_MAX_ANCESTORS = 64
_PF_KTHREAD = 0x00200000


class Stat:
    """The fields of /proc/<pid>/stat that matter here."""

    def __init__(self, pid: int, line: str) -> None:
        # The name in parentheses may itself hold spaces and parentheses.
        fields = line[line.rindex(")") + 2 :].split()
        self.pid = pid
        self.name = line[line.index("(") + 1 : line.rindex(")")]
        """At most 15 bytes of the program's name; what it was executed as, unless it took another."""
        self.dead = fields[0] in "ZX"
        """Over, though its parent has not taken note of it."""
        self.stopped = fields[0] == "T"
        """Whether a signal stopped it."""
        self.parent = int(fields[1])
        self.session = int(fields[3])
        self.kernel = bool(int(fields[6]) & _PF_KTHREAD)
        """Whether it is a thread of the kernel."""
        self.cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        """Time that its threads spent on CPUs, those included that ended."""
        self.start_ticks = int(fields[19])
        """With the pid and the boot, the identity of the process."""
        self.resident_mib = int(fields[21]) * _PAGE_BYTES >> 20
        """Its resident set, shared pages included."""


def stat(pid: int) -> "Stat | None":
    """The process with that pid; None when there is none."""
    line = _read("/proc/%d/stat" % pid)
    return None if line is None or ")" not in line else Stat(pid, line)


def every() -> "Iterator[Stat]":
    """Each process of this host."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            found = stat(int(name))
            if found is not None:
                yield found


def is_same(pid: int, start_ticks: int) -> bool:
    """Whether the process with that identity still runs."""
    found = stat(pid)
    return found is not None and found.start_ticks == start_ticks and not found.dead


def started_at_s(start_ticks: int) -> float:
    """Epoch seconds at which a process with those start ticks began; the same at every look."""
    # Not by `btime` of /proc/stat: it is whole seconds, and work would begin before it was asked for.
    return BOOT.at_s() + start_ticks / _TICKS_PER_S


def start_s(start_ticks: int) -> float:
    """Seconds after the boot at which a process with those start ticks began."""
    return start_ticks / _TICKS_PER_S


def uid(pid: int) -> "int | None":
    """Number of the account of the process; None when it is gone."""
    try:
        return os.stat("/proc/%d" % pid).st_uid
    except OSError:
        return None


def user(pid: int) -> "str | None":
    """Account of the process, a number when it has no name; None when it is gone."""
    number = uid(pid)
    if number is None:
        return None
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def command(pid: int) -> "str | None":
    """Command line, at most 4 KiB of it; a kernel thread's or zombie's name in brackets; None when it is gone."""
    line = _read("/proc/%d/cmdline" % pid, _MAX_COMMAND_BYTES)
    if line:
        return line.rstrip("\0").replace("\0", " ")
    name = _read("/proc/%d/comm" % pid)
    return None if name is None else "[%s]" % name.strip()


def environment(pid: int) -> "dict[str, str]":
    """Environment the process was executed with; empty when it is gone or may not be read."""
    pairs = (_read("/proc/%d/environ" % pid, 4 << 20) or "").split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def groups(pid: int) -> str:
    """The control groups of the process, a line each as /proc tells them; empty when it is gone."""
    return _read("/proc/%d/cgroup" % pid) or ""


def group_workload(pid: int) -> "str | None":
    """Id of the workload in whose control group the process is; None when it is in none."""
    return named_in(groups(pid))


def descendants(ancestor: int) -> "list[int]":
    """Pids of the processes below that one that still run."""
    return below([ancestor])


def below(ancestors: "Iterable[int]") -> "list[int]":
    """Pids of the processes below any of those that still run; one of them that is below another is among them."""
    children: "dict[int, list[Stat]]" = {}
    for process in every():
        children.setdefault(process.parent, []).append(process)
    found: "list[int]" = []
    seen: "set[int]" = set()
    todo = [child for ancestor in ancestors for child in children.get(ancestor, ())]
    while todo:
        process = todo.pop()
        if process.pid in seen:
            continue
        seen.add(process.pid)
        todo += children.get(process.pid, ())
        if not process.dead:
            found.append(process.pid)
    return found


def own_memory_kib(pid: int) -> int:
    """Memory of the process that no file backs, shared memory included; 0 when it is gone."""
    lines = (_read("/proc/%d/status" % pid) or "").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return sum(int(fields[name].split()[0]) for name in ("RssAnon", "RssShmem") if name in fields)


def named_in(path: str) -> "str | None":
    """Id of the workload whose control group that path is, or is in; None when it is no workload's."""
    found = _GROUP.search(path)
    return found.group(1) if found else None


def workload_of(pid: int, roots: "dict[int, str]") -> "str | None":
    """Id of the workload that a process belongs to: by its control group, else by an ancestor in `roots`."""
    found = group_workload(pid)
    return workload_above(pid, roots) if found is None else found


def workload_above(pid: int, roots: "dict[int, str]") -> "str | None":
    """Id of the workload that a process belongs to by being, or having as an ancestor, one in `roots`."""
    for _ in range(_MAX_ANCESTORS if roots else 0):
        if pid in roots:
            return roots[pid]
        above = stat(pid)
        if above is None or above.parent <= 1:
            return None
        pid = above.parent
    return None


def describe(pid: int, roots: "dict[int, str]") -> "dict[str, Any]":
    """User, command, start and workload of a process; each None when it is gone or of another pid namespace."""
    found = stat(pid)
    return {
        "pid": pid,
        "user": user(pid),
        "command": command(pid),
        "started_at_s": None if found is None else started_at_s(found.start_ticks),
        "workload": workload_of(pid, roots),
    }


def _read(path: str, limit: int = 1 << 20) -> "str | None":
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return None
