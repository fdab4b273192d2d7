"""Which running processes may be taken in: none of ours, none of the system's, none that another controller runs."""

import os
import re
from typing import Any

from gpualloc.node import accounts, origin, processes
from gpualloc.node.wire import Refused

SAME_START_S = 0.25
"""Start times are told in epoch seconds worked out from ticks of 10 ms and a clock that may be corrected meanwhile."""

_OWNERS = (
    (re.compile(r"/slurm|slurmstepd"), "Slurm"),
    (re.compile(r"kubepods"), "the kubelet"),
    (re.compile(r"docker"), "Docker"),
    (re.compile(r"libpod"), "Podman"),
    (re.compile(r"/pbs[_/]|/pbspro"), "PBS"),
    (re.compile(r"containerd|crio|/lxc|/garden|machine\.slice|systemd-nspawn"), "a container runtime"),
)
"""Who owns the groups whose path says so."""


def tree(pid: int) -> "list[int]":
    """The process and those below it that still run."""
    return [pid, *processes.descendants(pid)]


def find(pid: int, started_at_s: float) -> "processes.Stat":
    """The process of that identity; raises Refused (`gone`) when it is another one or none."""
    found = processes.stat(pid)
    if found is None or found.dead:
        raise Refused("gone", "there is no process %d" % pid)
    if abs(processes.started_at_s(found.start_ticks) - started_at_s) > SAME_START_S:
        raise Refused("gone", "process %d is not the one that was named: it began at another time" % pid)
    return found


def check(step: "dict[str, Any]", roots: "dict[int, str]") -> "processes.Stat":
    """The process that an adopt step names.

    Args:
        step: the step.
        roots: pids from which running workloads descend, to their ids.

    Raises Refused: it is gone, not this account's, the system's, ours, or another controller's; the message says which.
    """
    pid = step["process"]["pid"]
    found = find(pid, step["process"]["started_at_s"])
    if pid == 1 or found.kernel:
        raise Refused("not-permitted", "process %d is the system's own" % pid)
    if pid in above(os.getpid()):
        raise Refused("not-permitted", "process %d is what runs this gpualloc" % pid)
    for one in tree(pid):
        other = processes.workload_of(one, roots)
        if other not in (None, step["workload"]):
            raise Refused("claimed", "process %d belongs to workload %s already" % (one, other))
        _check_groups(one)
    _check_account(pid, step["user"])
    return found


def memory_mib(pids: "list[int]") -> int:
    """Host memory of its own that these processes hold; what is gone holds none."""
    return sum(processes.own_memory_kib(pid) for pid in pids) >> 10


def above(pid: int) -> "list[int]":
    """The process and those it descends from, but for the first of all."""
    found = []
    while pid > 1:
        found.append(pid)
        own = processes.stat(pid)
        pid = 0 if own is None else own.parent
    return found


def _check_groups(pid: int) -> None:
    for _, path in origin.groups_of(pid):
        for pattern, owner in _OWNERS:
            if pattern.search(path):
                raise Refused("not-permitted", "process %d belongs to %s (group %s)" % (pid, owner, ascii(path[:200])))
    try:
        own, its = (os.stat("/proc/%s/ns/pid" % name).st_ino for name in ("self", pid))
    except OSError:
        return  # not ours to see: the account decides
    if own != its:
        raise Refused("not-permitted", "process %d runs in a container" % pid)


def _check_account(pid: int, asked: "str | None") -> None:
    owner = processes.user(pid)
    if owner is None:
        raise Refused("gone", "process %d ended" % pid)
    if asked not in (None, owner):
        raise Refused("no-user", "process %d belongs to %s, not to %s" % (pid, owner, asked))
    if os.geteuid() != 0 and os.stat("/proc/%d" % pid).st_uid != os.geteuid():
        raise Refused("not-permitted", "process %d belongs to %s, and this node program is not root's" % (pid, owner))
    accounts.resolve(owner)
