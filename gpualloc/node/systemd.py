"""Control groups of a node that systemd runs: systemd alone writes limits there, and is asked to over D-Bus.

Each workload has a transient slice, `gpualloc-<workload>.slice`: made empty, given its limits and device rule, and only
then entered by processes, each as a scope within it. What is in force is read from the kernel. A limit written past
systemd would be gone with its next `daemon-reload`; a device program of ours stays, beside systemd's own.
"""

import errno
import os
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import busctl, cgroup, group_files
from gpualloc.node.cgroup2 import Cgroup2, refuse_below_use

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PARENT = cgroup.PARENT + ".slice"
_RUNNING = "/run/systemd/system"
"""There while systemd is the first process of this host."""

_LINGERING = "/var/lib/systemd/linger"
_UNLIMITED = str((1 << 64) - 1)
_WAIT_S = 10.0
_END_WAIT_S = 0.5
_POLL_S = 0.01
_TRIES = 20


class Systemd(Cgroup2):
    """Slices of a systemd manager.

    Args:
        root: folder where version 2 is mounted.
        own: the manager of this account, which gives limits without root; else the system's.
    """

    def __init__(self, root: str, own: bool = False) -> None:
        manager = _own_group() if own else ""
        super().__init__(os.path.join(root, manager))
        self.mode = "systemd-user" if own else "systemd"
        self._own = own
        self._parent = os.path.join(self._root, _PARENT)
        self._kernel_name = os.path.join("/", manager, _PARENT)

    def writable(self) -> bool:
        """Whether the manager does what this account asks for."""
        return self._own or os.geteuid() == 0

    def make(self, workload: str) -> None:
        """Start the slice, empty."""
        for attempt in range(_TRIES):
            if self.exists(workload):
                return
            try:
                self._start_slice(workload, first=attempt % 2 == 0 and not os.path.isdir(self._parent))
            except OSError:
                if attempt == _TRIES - 1:
                    raise
                # One that was stopped is known for a moment yet, and one whose group somebody removed for ever.
                self._stop(workload)
                time.sleep(_POLL_S)

    def set(self, workload: str, limits: "dict[str, Any]") -> None:
        """Have the given limits set, and wait until the kernel shows them."""
        self._refuse_missing(workload)
        self._refuse(workload, limits)
        properties = [one for name, value in limits.items() for one in _properties(name, value)]
        busctl.call(self._own, "SetUnitProperties", "sba(sv)", _slice(workload), "true", *_encoded(properties))
        step = dict(limits, workload=workload)
        _await(
            lambda: "booked" not in cgroup.read_back(self, step).values(),
            "put %s of %s in force" % (", ".join(sorted(limits)), _slice(workload)),
            _WAIT_S,
        )

    def join(self, workload: str, pid: int) -> None:
        """Let a process in, as a scope named after it; one that is in already is fine."""
        pid = pid or os.getpid()
        if self.holds(workload, pid):
            return
        self._refuse_missing(workload)
        unit = "%s-%s-%d.scope" % (cgroup.PARENT, workload, pid)
        properties = [
            ("PIDs", "au", "1", str(pid)),
            ("Slice", "s", _slice(workload)),
            ("CollectMode", "s", "inactive-or-failed"),
            # systemd limits every scope that does not say so.
            ("TasksMax", "t", _UNLIMITED),
        ]
        busctl.call(self._own, "StartTransientUnit", "ssa(sv)a(sa(sv))", unit, "fail", *_encoded(properties), "0")
        _await(lambda: self.holds(workload, pid), "move process %d into %s" % (pid, unit), _WAIT_S)
        if "memory_mib" in self.read(workload):
            self._kill_as_one(workload)

    def holds(self, workload: str, pid: int) -> bool:
        """Whether the kernel says that the process is in the slice or below."""
        lines = (group_files.read_value("/proc/%d/cgroup" % pid) or "").splitlines()
        inside = "0::%s/%s/" % (self._kernel_name, _slice(workload))
        return any((line + "/").startswith(inside) for line in lines)

    def remove(self, workload: str) -> None:
        """Stop the slice, of which nothing is left then."""
        if not self.exists(workload):
            return
        # Stopping it would kill what is in it.
        _await(lambda: not self.members(workload), "remove %s: it is busy" % _slice(workload), _END_WAIT_S)
        self._stop(workload)
        _await(lambda: not self.exists(workload), "remove %s" % _slice(workload), _WAIT_S)

    def isolation(self) -> "str | None":
        """`bpf`, with root and where the kernel can."""
        return None if self._own else super().isolation()

    def restricted(self, workload: str) -> "str | None":
        """Tag of the program; without root there can be none."""
        return None if self._own else super().restricted(workload)

    def unrestrict(self, workload: str) -> None:
        """Take the program off."""
        if not self._own:
            super().unrestrict(workload)

    def _folder(self, workload: str) -> str:
        return os.path.join(self._parent, _slice(workload))

    def _start_slice(self, workload: str, first: bool) -> None:
        properties = [("Description", "s", "gpualloc: workload %s" % workload)]
        # The slice that holds all of them comes with the first and goes with the last.
        parent = ["1", _PARENT, *_encoded([("StopWhenUnneeded", "b", "true")])] if first else ["0"]
        words = [_slice(workload), "replace", *_encoded(properties), *parent]
        busctl.call(self._own, "StartTransientUnit", "ssa(sv)a(sa(sv))", *words)
        _await(lambda: self.exists(workload), "make the group of %s" % _slice(workload), _WAIT_S)

    def _stop(self, workload: str) -> None:
        try:
            busctl.call(self._own, "StopUnit", "ss", _slice(workload), "replace")
        except OSError:
            if self.exists(workload):
                raise

    def _refuse_missing(self, workload: str) -> None:
        """systemd would make a slice of that name, and keep it."""
        if not self.exists(workload):
            raise OSError(errno.ENOENT, "there is no %s" % _slice(workload))

    def _refuse(self, workload: str, limits: "dict[str, Any]") -> None:
        """Refuse what systemd would take, and the kernel not, or only by killing."""
        missing = {cgroup.CONTROLLER_OF[name] for name in limits} - set(self.controllers())
        if missing:
            raise OSError(errno.ENOTSUP, "no such controller for this account: %s" % ", ".join(sorted(missing)))
        if "cpuset" in limits:
            there = group_files.read_value(os.path.join(self._root, "cpuset.cpus.effective")) or ""
            if not cgroup.cpu_numbers(limits["cpuset"]) <= cgroup.cpu_numbers(there):
                raise OSError(errno.ERANGE, "CPUs out of range: %s of %s" % (limits["cpuset"], there))
        if "memory_mib" in limits:
            refuse_below_use(self._folder(workload), limits["memory_mib"] << 20)

    def _kill_as_one(self, workload: str) -> None:
        """Let a memory kill take the whole workload, until systemd, which has no word for it on slices, is reloaded."""
        path = os.path.join(self._folder(workload), "memory.oom.group")
        if os.path.exists(path):
            group_files.write_value(path, "1")


def running(root: str) -> "Systemd | None":
    """The manager that this account can ask, below the mount of version 2; None when there is none.

    An account's own manager counts only when it lingers: otherwise it ends with the last login, and its slices too.
    """
    if not os.path.isdir(_RUNNING) or busctl.program() is None:
        return None
    if os.geteuid() == 0:
        return Systemd(root) if os.path.exists(busctl.SYSTEM_SOCKET) else None
    if not _lingers() or not os.path.exists(busctl.user_socket()):
        return None
    own = Systemd(root, own=True)
    return own if own.controllers() else None


def _await(true: "Callable[[], bool]", what: str, timeout_s: float) -> None:
    """Wait for what systemd does after it answered."""
    until_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > until_s:
            raise OSError(errno.EBUSY, "systemd did not %s" % what)
        time.sleep(_POLL_S)


def _lingers() -> bool:
    import pwd

    try:
        return os.path.exists(os.path.join(_LINGERING, pwd.getpwuid(os.geteuid()).pw_name))
    except KeyError:
        return False


def _own_group() -> str:
    """The group, below the root, that is delegated to this account's manager."""
    uid = os.geteuid()
    return "user.slice/user-%d.slice/user@%d.service" % (uid, uid)


def _slice(workload: str) -> str:
    return "%s-%s.slice" % (cgroup.PARENT, workload)


def _properties(name: str, value: Any) -> "list[tuple[str, ...]]":
    """What a limit is called by systemd, with its D-Bus type and value."""
    if name == "cpus":
        return [("CPUQuotaPerSecUSec", "t", str(max(1, round(value * 1000000))))]
    if name == "cpuset":
        nodes = cgroup.memory_nodes(value)
        near = [] if nodes is None else [("AllowedMemoryNodes", "ay", *_mask(cgroup.cpu_numbers(nodes)))]
        return [("AllowedCPUs", "ay", *_mask(cgroup.cpu_numbers(value))), *near]
    if name == "memory_mib":
        return [("MemoryMax", "t", str(value << 20)), ("MemorySwapMax", "t", "0")]
    return [({"cpu_weight": "CPUWeight", "io_weight": "IOWeight", "pids": "TasksMax"}[name], "t", str(value))]


def _mask(numbers: "set[int]") -> "list[str]":
    """A set of numbers as the length and the bytes of a bit mask, the lowest first."""
    mask = sum(1 << number for number in numbers)
    data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
    return [str(len(data)), *map(str, data)]


def _encoded(properties: "Sequence[tuple[str, ...]]") -> "list[str]":
    return [str(len(properties)), *(word for one in properties for word in one)]
