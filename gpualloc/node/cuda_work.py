"""The processes of one workload that use CUDA: where each stands, and moving one from state to state.

A process is named by pid and start, and is left alone once it has ended or left the workload. A frozen process cannot
answer the driver and would block it: nothing may be asked while the workload stands still.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from gpualloc.node import cuda
from gpualloc.node.cuda import CHECKPOINTED, FAILED, LOCKED, RUNNING, CudaError, CudaMissing
from gpualloc.node.cuda_process import CudaSilent
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol  # novm

    from gpualloc.node.suspended import Suspended
else:
    Protocol = object

LOCK_S = 30.0
"""How long the work under way on a GPU may take to end."""

DRIVER_ERRORS = (CudaError, CudaMissing, CudaSilent)

MIXED, NO_CUDA = "mixed", "none"
"""States of a workload beside those of a process (`cuda.STATES`)."""

_LIMIT_WAIT_S = 5.0
_POLL_S = 0.05
_REASONS = {
    cuda.NOT_READY: "busy",
    cuda.NOT_SUPPORTED: "not-supported",
    cuda.NOT_PERMITTED: "not-permitted",
    cuda.OUT_OF_MEMORY: "memory",
}


class Driver(Protocol):
    """As `cuda_process.CudaProcess`."""

    def version(self) -> int:
        """CUDA version of the driver."""

    def state(self, pid: int) -> "str | None":
        """State of a process; None when it has nothing to do with CUDA."""

    def lock(self, pid: int, timeout_s: float) -> None:
        """RUNNING to LOCKED."""

    def checkpoint(self, pid: int, size_mib: int) -> None:
        """LOCKED to CHECKPOINTED."""

    def restore(self, pid: int, pairs: "list[list[str]]", size_mib: int) -> None:
        """CHECKPOINTED to LOCKED."""

    def unlock(self, pid: int) -> None:
        """LOCKED to RUNNING."""


class Site(Protocol):
    """The host around one workload. Memory in MiB; None is unknown, or no limit."""

    def members(self) -> "dict[int, int]":
        """Pid to start ticks of each process of the workload that lives."""

    def on_devices(self) -> "dict[int, dict[str, int | None]]":
        """Pid to device to memory used, of every process the driver library shows."""

    def devices(self) -> "dict[str, dict[str, Any]]":
        """Every GPU of the host by UUID: `model`, `mig` (in that mode), `used_mib`, `free_mib`, `ok` (it answers)."""

    def host_free_mib(self) -> "int | None":
        """Host memory that can be had."""

    def memory(self) -> "tuple[int | None, int | None]":
        """The workload's memory limit, and what it uses of it."""

    def set_memory(self, mib: int) -> None:
        """Set the limit; raises OSError."""

    def frozen(self) -> "bool | None":
        """Whether the workload stands still; None where it cannot be made to."""

    def freeze(self, frozen: bool) -> None:
        """Let it stand still, or go on; raises OSError."""


class CudaWork:
    """The CUDA processes of a workload.

    Args:
        driver: the CUDA driver.
        site: the host around the workload.
        record: what was written down of its suspension.
    """

    def __init__(self, driver: "Driver", site: "Site", record: "Suspended") -> None:
        self.driver = driver
        self.site = site
        self.record = record
        self.starts: "dict[int, int]" = {}
        """Every process of the workload, as at the last look."""
        self.states: "dict[int, str | None]" = {}
        """Where each CUDA process stands; None: a call failed, and only the driver knows."""

    def look(self) -> None:
        """Ask the driver where each process stands."""
        self.starts = self.site.members()
        self.states = {}
        for pid in self.starts:
            state = self.driver.state(pid)
            if state is not None:
                self.states[pid] = state
                if state != CHECKPOINTED:
                    self.record.settle(pid)

    def at_rest(self) -> bool:
        """Whether it was frozen by us, which happens only once all its GPU memory is on the host."""
        return self.record.exists and self.site.frozen() is True

    def lives(self, pid: int) -> bool:
        """Whether the process is still the one it was, and still of this workload."""
        now, noted = self.site.members(), self.record.processes.get(pid)
        start = self.starts.get(pid, noted["start_ticks"] if noted is not None else None)
        return pid in now and now[pid] == start

    def within(self, state: str) -> "list[int]":
        """The processes in that state."""
        return sorted(pid for pid, found in self.states.items() if found == state)

    def lock(self, pid: int) -> bool:
        """RUNNING to LOCKED; as all of these, False when the process has ended, and raises `DRIVER_ERRORS`."""
        return self._move(pid, LOCKED, partial(self.driver.lock, pid, LOCK_S))

    def checkpoint(self, pid: int) -> bool:
        """LOCKED to CHECKPOINTED."""
        return self._move(pid, CHECKPOINTED, partial(self.driver.checkpoint, pid, self.record.size_mib(pid)))

    def restore(self, pid: int, pairs: "list[list[str]]") -> bool:
        """CHECKPOINTED to LOCKED."""
        return self._move(pid, LOCKED, partial(self.driver.restore, pid, pairs, self.record.size_mib(pid)))

    def unlock(self, pid: int) -> bool:
        """LOCKED to RUNNING."""
        return self._move(pid, RUNNING, partial(self.driver.unlock, pid))

    def check_failed(self) -> None:
        """Refuse processes that the driver gave up."""
        for pid, state in sorted(self.states.items()):
            if state not in (RUNNING, LOCKED, CHECKPOINTED):
                raise Refused("failed", "the driver says that process %d is %s: only ending it helps" % (pid, state))

    def memory_of(self, pid: int) -> "dict[str, int]":
        """MiB of a process on each device; where the driver does not tell, all that is used there."""
        devices = self.site.devices()
        found = self.site.on_devices().get(pid, {})
        return {
            uuid: (devices.get(uuid, {}).get("used_mib") or 0) if mib is None else mib for uuid, mib in found.items()
        }

    def put_limit_back(self) -> "int | None":
        """Lower the memory limit to what it was before the suspension; answers the one in force if that cannot be."""
        before_mib = self.record.memory_mib
        until_s = time.monotonic() + _LIMIT_WAIT_S
        while before_mib is not None:
            limit_mib, used_mib = self.site.memory()
            try:
                if used_mib is None or used_mib <= before_mib:
                    self.site.set_memory(before_mib)
                    return None
            except OSError:
                pass  # still in use for a moment
            if time.monotonic() >= until_s:
                return limit_mib
            time.sleep(_POLL_S)
        return None

    def _move(self, pid: int, after: str, call: "Callable[[], None]") -> bool:
        if self.lives(pid):
            self.states[pid] = None
            try:
                call()
            except CudaError:
                if self.lives(pid):
                    raise
            else:
                self.states[pid] = after
                return True
        self.states.pop(pid, None)
        return False


def state_of(states: "list[str | None]") -> str:
    """What the states of its processes make of a workload: one of theirs, MIXED, or NO_CUDA."""
    if FAILED in states:
        return FAILED
    if not states:
        return NO_CUDA
    return (states[0] or MIXED) if len(set(states)) == 1 else MIXED


def reason_of(error: Exception) -> str:
    """The wire's word for one of `DRIVER_ERRORS`."""
    if isinstance(error, CudaMissing):
        return "not-supported"
    return _REASONS.get(error.code, "failed") if isinstance(error, CudaError) else "failed"


def not_undone(reason: str, why: str, wrong: "list[str]") -> "Refused":
    """The refusal of a step that failed for that reason, and whose taking back left this wrong."""
    return (
        Refused("failed", "%s; and it was not undone: %s" % (why, "; ".join(wrong))) if wrong else Refused(reason, why)
    )
