"""The checkpoint hook of a workload: what makes it save itself before it is stopped.

Either a signal to its main process, or a command run as its owner in its own group. A signal is answered when the main
process ends; a command when it ends with 0.
"""

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import child

if TYPE_CHECKING:
    from gpualloc.node.cgroup import Cgroups

SAVED, FAILED, LATE, CUT_SHORT = "saved", "failed", "late", "cut short"
"""How a hook went: answered in time; its command ended otherwise than with 0; no answer within the grace; ended by a
stop that does not wait for it."""


class Hook:
    """The hook of one start; it is run at most once.

    Args:
        spec: the keeper's spec.
        cgroups: the back end that has the workload's group.
    """

    def __init__(self, spec: "dict[str, Any]", cgroups: "Cgroups") -> None:
        self._spec = spec
        self._cgroups = cgroups
        # A keeper started by an earlier version was told nothing of hooks.
        self._asked: "dict[str, Any]" = spec.get("checkpoint") or {"signal": None, "command": [], "grace_s": 0.0}
        self._until_s: "float | None" = None
        self.pid = 0
        """Of the running command; 0 when there is none."""
        self.outcome: "str | None" = None
        """SAVED, FAILED, LATE or CUT_SHORT; None when it did not run or is under way."""

    @property
    def known(self) -> bool:
        """Whether the workload has one."""
        return self._asked["signal"] is not None or bool(self._asked["command"])

    @property
    def begun(self) -> bool:
        """Whether it was run, now or before."""
        return self._until_s is not None

    @property
    def under_way(self) -> bool:
        """Whether its answer is still awaited."""
        return self.begun and self.outcome is None

    def begin(self, main_pid: int, output_fd: int) -> None:
        """Send the signal to the main process, which was not reaped yet, or start the command."""
        self._until_s = time.monotonic() + self._asked["grace_s"]
        if self._asked["signal"] is not None:
            os.kill(main_pid, getattr(signal, "SIG" + self._asked["signal"]))
            return
        env = dict(self._spec["env"], GPUALLOC_PID=str(main_pid))
        self.pid = os.fork()
        if self.pid == 0:
            # Its failure to start shows by its exit code.
            tell_fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            child.run(dict(self._spec, command=self._asked["command"], env=env), self._cgroups, output_fd, tell_fd)

    def heard(self, pid: int, status: int, *, is_main: bool) -> None:
        """Take note of a process that was reaped."""
        if not self.under_way:
            return
        if pid == self.pid:
            self.outcome = FAILED if status else SAVED
        elif is_main and self._asked["signal"] is not None:
            self.outcome = SAVED

    def left_s(self) -> "float | None":
        """Seconds until the grace is over, 0 when it is; None when no answer is awaited."""
        if self._until_s is None or not self.under_way:
            return None
        left_s = max(0.0, self._until_s - time.monotonic())
        if not left_s:
            self.outcome = LATE
        return left_s

    def cut_short(self) -> None:
        """Await nothing more."""
        if self.under_way:
            self.outcome = CUT_SHORT
