"""Suspend a workload without killing it: its GPU memory moves to host memory, its devices are free, it stands still.

    room on the host -> lock all -> checkpoint all -> memory seen free -> freeze

From any mixture of states, since the driver tells where each process stands: a program killed at any point is repaired
by doing this again, or by `resume`. What fails on the way is taken back.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node.cuda import CHECKPOINTED, FAILED, LOCKED, RUNNING
from gpualloc.node.cuda_work import DRIVER_ERRORS, not_undone, reason_of, state_of
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.cuda_work import CudaWork

SUSPENDED, FROZEN = "suspended", "frozen"
"""States of a workload beside those of `cuda_work.state_of`; `frozen`: by somebody else, so nobody can be asked."""

_MARGIN = 1.1
"""Host memory needed for each byte of GPU memory."""
_ROUNDS = 3
"""How often processes that begin to use CUDA in the middle are gone after."""
_FREE_WAIT_S = 10.0
_POLL_S = 0.05


class Suspension:
    """Suspends one workload.

    Args:
        work: its CUDA processes.
        grants: what it holds, as in a step; each device in the order in which the work sees it.
    """

    def __init__(self, work: "CudaWork", grants: "list[dict[str, Any]]") -> None:
        self._work = work
        self._site = work.site
        self._record = work.record
        self._grants = grants

    def state(self) -> str:
        """SUSPENDED, FROZEN, or what `cuda_work.state_of` says. Raises `cuda_work.DRIVER_ERRORS`."""
        if self._work.at_rest():
            return SUSPENDED
        if self._site.frozen():
            return FROZEN
        self._work.look()
        told = state_of(list(self._work.states.values()))
        # Where nothing can be frozen, this is all there is.
        return SUSPENDED if told == CHECKPOINTED and self._record.exists and self._site.frozen() is None else told

    def preflight(self) -> None:
        """Refuse what `suspend` would refuse, without changing anything."""
        if self._work.at_rest():
            return
        self._check_kind()
        if self._site.frozen():
            return
        try:
            self._work.look()
        except DRIVER_ERRORS as error:
            raise Refused(reason_of(error), str(error)) from error
        self._check_processes()
        self._check_host(self._needed_mib())

    def suspend(self) -> "dict[str, Any]":
        """Bring the workload to rest; answers `gpu_memory_mib`, `left_mib`, `seconds` and `state`.

        `left_mib` is what the driver library still shows as its own, which some drivers do; None is unknown.

        Raises:
            Refused: and everything runs as before; processes that do not are named.
        """
        began_s = time.monotonic()
        left_mib: "int | None" = 0
        if not self._work.at_rest():
            if self._site.frozen():
                self._site.freeze(False)
            try:
                self._check_kind()
            except Refused as refused:
                raise self._taken_back(refused.reason, refused.message) from refused
            left_mib = self._bring_down()
        return {
            "gpu_memory_mib": sum(self._record.size_mib(pid) for pid in self._record.processes),
            "left_mib": left_mib,
            "seconds": round(time.monotonic() - began_s, 3),
            "state": SUSPENDED,
        }

    # ---- what must be so

    def _check_kind(self) -> None:
        if os.uname().machine != "x86_64":
            raise Refused("not-supported", "the driver suspends on x86-64 only; this is %s" % os.uname().machine)
        if not self._grants:
            raise Refused("not-supported", "it has no GPU: there is nothing to free")
        shares = {grant["share"] for grant in self._grants} & {"mig", "mps"}
        known = self._site.devices()
        if shares or any(known.get(grant["device"], {}).get("mig") for grant in self._grants):
            raise Refused("not-supported", "the driver cannot suspend work on MIG instances or under MPS")
        for grant in self._grants:
            if not known.get(grant["device"], {}).get("ok"):
                raise Refused("unhealthy", "device %s does not answer" % grant["device"])
        try:
            self._work.driver.version()
        except DRIVER_ERRORS as error:
            raise Refused(reason_of(error), str(error)) from error

    def _check_processes(self) -> None:
        work = self._work
        work.check_failed()
        seen = self._site.on_devices()
        without = sorted(pid for pid in work.starts if pid in seen and pid not in work.states and work.lives(pid))
        if without:
            raise Refused("not-supported", "process %d uses a GPU, and not through CUDA" % without[0])
        if not work.states:
            raise Refused("busy", "no process of it uses CUDA now: there is nothing to free")

    def _check_host(self, needed_mib: int) -> None:
        free_mib = self._site.host_free_mib()
        if free_mib is not None and free_mib < needed_mib:
            raise Refused(
                "memory", "its GPU memory needs %d MiB on the host, where %d are free" % (needed_mib, free_mib)
            )

    def _needed_mib(self) -> int:
        up = [pid for pid, state in self._work.states.items() if state != CHECKPOINTED]
        return int(sum(sum(self._work.memory_of(pid).values()) for pid in up) * _MARGIN)

    # ---- down

    def _bring_down(self) -> "int | None":
        """Lock, checkpoint and freeze everything; answers the MiB the driver library still shows as theirs."""
        for _ in range(_ROUNDS):
            try:
                self._move_to_host()
            except DRIVER_ERRORS as error:
                raise self._taken_back(reason_of(error), str(error)) from error
            except Refused as refused:
                raise self._taken_back(refused.reason, refused.message) from refused
            left_mib = self._await_free()
            try:
                # Not before: a frozen process cannot move its memory.
                if self._site.frozen() is not None:
                    self._site.freeze(True)
            except OSError as error:
                raise self._taken_back("failed", "it cannot be made to stand still: %s" % error) from error
            late = set(self._site.on_devices()) & set(self._site.members()) - set(self._work.states)
            if not late:
                return left_mib
            if self._site.frozen():
                self._site.freeze(False)
        raise self._taken_back("busy", "its processes keep beginning to use CUDA")

    def _move_to_host(self) -> None:
        work = self._work
        work.look()
        self._check_processes()
        self._make_room()
        for pid in work.within(RUNNING):
            work.lock(pid)
        for pid in work.within(LOCKED):
            work.checkpoint(pid)
        if not work.states:
            raise Refused("gone", "its processes ended while it was suspended")

    def _make_room(self) -> None:
        """See that the host can take the memory, and write down what will be moved before anything is."""
        needed_mib = self._needed_mib()
        self._check_host(needed_mib)
        devices = [grant["device"] for grant in self._grants]
        self._record.stay(self._work.within(CHECKPOINTED))
        for pid, state in self._work.states.items():
            if state != CHECKPOINTED:
                self._record.put(pid, self._work.starts[pid], self._work.memory_of(pid), devices)
        limit_mib, used_mib = self._site.memory()
        if limit_mib is None or (used_mib is not None and limit_mib - used_mib >= needed_mib):
            self._record.save()
            return
        if self._record.memory_mib is None:
            self._record.memory_mib = limit_mib
        self._record.save()
        try:
            # Else the kernel would kill the work in the middle of being saved.
            self._site.set_memory((limit_mib if used_mib is None else used_mib) + needed_mib)
        except OSError as error:
            raise Refused("memory", "its memory limit of %d MiB cannot be raised: %s" % (limit_mib, error)) from error

    def _await_free(self) -> "int | None":
        """Wait until the driver library shows no memory of the processes; answers what is left, None when unknown."""
        until_s = time.monotonic() + _FREE_WAIT_S
        while True:
            seen, known = self._site.on_devices(), self._site.devices()
            sizes = [mib for pid in self._work.states for mib in seen.get(pid, {}).values()]
            told = [mib for mib in sizes if mib is not None]
            heard = len(told) == len(sizes) and all(known.get(grant["device"], {}).get("ok") for grant in self._grants)
            if heard and not sum(told):
                return 0
            if time.monotonic() >= until_s:
                return sum(told) if heard else None
            time.sleep(_POLL_S)

    # ---- and back

    def _taken_back(self, reason: str, why: str) -> "Refused":
        """Let everything run again; the refusal to raise."""
        wrong: "list[str]" = []
        if not self._work.states and self._record.exists:
            # Begun by a program that was killed, and refused before anybody was asked.
            try:
                self._work.look()
            except DRIVER_ERRORS as error:
                wrong.append(str(error))
        states = self._work.states
        # Those known to be down first: a locked one may be what blocks the driver for another.
        for pid in sorted(states, key=lambda pid: (states[pid] is None, pid)):
            try:
                self._let_run(pid)
            except DRIVER_ERRORS as error:
                if self._work.lives(pid):
                    wrong.append("process %d: %s" % (pid, error))
        wrong += ["process %d is failed, only ending it helps" % pid for pid in self._work.within(FAILED)]
        if not wrong:
            self._work.put_limit_back()
            self._record.remove()
        return not_undone(reason, why, wrong)

    def _let_run(self, pid: int) -> None:
        work = self._work
        if work.states[pid] is None:
            work.states[pid] = work.driver.state(pid) or RUNNING
        if work.states[pid] == CHECKPOINTED:
            work.restore(pid, [])
        if work.states.get(pid) == LOCKED:
            work.unlock(pid)
