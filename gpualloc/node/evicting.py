"""The step `evict`: a process on a device that it was not given is suspended or ended."""

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import accounts, adoptable, pidfd, processes
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts

TERMINATED = "terminated"

_POLL_S = 0.02
_KILLED_S = 10.0
"""How long the kernel may take to end a killed process."""


class Handler:
    """Suspends or ends single processes that the driver shows on a device now."""

    def __init__(self, parts: "Parts") -> None:
        self._nvml = parts.nvml

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a process that is another one, not on the device, the system's own, or not this account's."""
        self._check(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """TERM, grace, KILL; a process that is gone is done with."""
        if self._gone(step):
            return {"state": TERMINATED}
        self._check(step)
        pid, grace_s = step["process"]["pid"], step["process"]["grace_s"]
        ticks = adoptable.find(pid, step["process"]["started_at_s"]).start_ticks
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, _KILLED_S)):
            try:
                pidfd.send(pid, ticks, number)
            except PermissionError as error:
                raise Refused("not-permitted", "process %d may not be ended: %s" % (pid, error.strerror)) from error
            if _ended(pid, ticks, wait_s):
                return {"state": TERMINATED}
        raise Refused("failed", "process %d was killed and does not end: the driver may hold it" % pid)

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether that process is gone."""
        gone = self._gone(step)
        return {"holds": gone, "state": TERMINATED if gone else "running"}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Refuse: nothing gives a process back."""
        raise Refused("bad-request", "process %d cannot be brought back" % step["process"]["pid"])

    def _gone(self, step: "dict[str, Any]") -> bool:
        try:
            adoptable.find(step["process"]["pid"], step["process"]["started_at_s"])
        except Refused:
            return True
        return False

    def _check(self, step: "dict[str, Any]") -> None:
        pid = step["process"]["pid"]
        if step["process"]["action"] != "terminate":
            raise Refused("not-supported", "this node program cannot suspend process %d: it is no workload" % pid)
        found = adoptable.find(pid, step["process"]["started_at_s"])
        if pid == 1 or found.kernel or pid in adoptable.above(os.getpid()):
            raise Refused("not-permitted", "process %d is the system's own, or what runs this gpualloc" % pid)
        if not self._on_device(pid, step["device"]):
            raise Refused("gone", "process %d is not on device %s any more" % (pid, step["device"]))
        owner = processes.user(pid)
        if os.geteuid() != 0 and os.stat("/proc/%d" % pid).st_uid != os.geteuid():
            raise Refused(
                "not-permitted", "process %d belongs to %s, and this node program is not root's" % (pid, owner)
            )
        accounts.resolve(owner)

    def _on_device(self, pid: int, device: str) -> bool:
        rows = self._nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})
        return any(row["uuid"] == device and pid in [one[0] for one in row["processes"]] for row in rows)


def _ended(pid: int, ticks: int, wait_s: float) -> bool:
    until_s = time.monotonic() + wait_s
    while processes.is_same(pid, ticks):
        if time.monotonic() >= until_s:
            return False
        time.sleep(_POLL_S)
    return True
