"""The steps `suspend` and `resume`: a workload's GPU memory on the host, its devices free, and back."""

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gpualloc.node import claims, device_rule, host, processes, progress
from gpualloc.node.cuda import RUNNING
from gpualloc.node.cuda_process import CudaProcess
from gpualloc.node.cuda_work import DRIVER_ERRORS, NO_CUDA, CudaWork, reason_of
from gpualloc.node.group_memory import memory_used_mib
from gpualloc.node.ledger import FileLedger
from gpualloc.node.resume import Resumption
from gpualloc.node.suspend import SUSPENDED, Suspension
from gpualloc.node.suspended import Suspended
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpualloc.node.parts import Parts

_BUSY_S = 30.0
"""How long another suspension or resumption of the same workload may take before this one is refused."""
_POLL_S = 0.02


class Handler:
    """Suspends and resumes workloads."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._workloads = parts.workloads

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what can be known to be refused, without changing anything."""
        with self._work(step) as work:
            if step["kind"] == "suspend":
                Suspension(work, step["grants"]).preflight()
            else:
                Resumption(work, _devices(step)).preflight()

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Bring the workload to rest, or back on the devices of the step."""
        with self._work(step) as work:
            if step["kind"] == "suspend":
                return Suspension(work, step["grants"]).suspend()
            let_through(self._parts, step["workload"], step["grants"])
            facts = Resumption(work, _devices(step)).resume()
            self._keep_claims(step["workload"])
            progress.note_resumed(self._workloads.folder(step["workload"]))
            return facts

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether it is suspended, or runs."""
        if self._ended(step):
            return {"holds": step["kind"] == "resume", "state": None}
        with self._work(step) as work:
            try:
                state = Suspension(work, step["grants"]).state()
            except DRIVER_ERRORS as error:
                raise Refused(reason_of(error), str(error)) from error
            if step["kind"] == "resume":
                return {"holds": state in (RUNNING, NO_CUDA) and not work.record.exists, "state": state}
            moved_mib = sum(work.record.size_mib(pid) for pid in work.record.processes)
            return {"holds": state == SUSPENDED, "state": state, "gpu_memory_mib": moved_mib}

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Resume what was suspended where it was, or suspend what was resumed; what has ended is left alone.

        Devices that were given back meanwhile are claimed again first; refused when others have them.
        """
        if self._ended(step):
            return {}
        if step["kind"] == "resume":
            return self.do(dict(step, kind="suspend"))
        ledger = self._ledger()
        with ledger.locked(_BUSY_S):
            again = claims.again(step, claims.alive(ledger.claims(), self._workloads.records()), time.time())
            ledger.add_claims(again)
        return self.do(dict(step, kind="resume"))

    def _ended(self, step: "dict[str, Any]") -> bool:
        return not self._workloads.runs(step["workload"], step["attempt"])

    @contextmanager
    def _work(self, step: "dict[str, Any]") -> "Iterator[CudaWork]":
        """The CUDA processes of the step's workload, for nobody else at the same time."""
        if self._ended(step):
            raise Refused("gone", "start %d of %s does not run here" % (step["attempt"], step["workload"]))
        folder = self._workloads.folder(step["workload"])
        lock_fd = take_turn(folder.file("suspending"))
        driver = CudaProcess(lock_fd)
        try:
            yield CudaWork(
                driver, Surroundings(self._parts, step["workload"]), Suspended(folder.file("suspended.json"))
            )
        finally:
            driver.close()
            os.close(lock_fd)

    def _keep_claims(self, workload: str) -> None:
        """Bind the new claims to the keeper, as a start does."""
        started = self._workloads.folder(workload).started()
        if started is not None:
            self._ledger().keep_claims(workload, started["keeper_pid"], started["keeper_start_ticks"])

    def _ledger(self) -> "FileLedger":
        return FileLedger(self._parts.state_dir, self._parts.boot_id, self._parts.claim_folders)


class Surroundings:
    """The host around a workload, as `cuda_work.Site`.

    Args:
        parts: the host's hardware and groups.
        workload: its id.
    """

    def __init__(self, parts: "Parts", workload: str) -> None:
        self._parts = parts
        self._workload = workload
        self._folder = parts.workloads.folder(workload)

    def members(self) -> "dict[int, int]":
        """Pid to start ticks: those in its group, or without a group those of its session and below its first one."""
        if self._parts.cgroups.exists(self._workload):
            pids = self._parts.cgroups.members(self._workload)
        else:
            pids = self._parts.workloads.survivors(self._folder)
        found = (processes.stat(pid) for pid in pids)
        return {one.pid: one.start_ticks for one in found if one is not None and not one.dead}

    def on_devices(self) -> "dict[int, dict[str, int | None]]":
        """Pid to device to MiB used."""
        rows = self._parts.nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})
        found: "dict[int, dict[str, int | None]]" = {}
        for row in rows:
            for pid, _, used_mib, _ in row["processes"]:
                found.setdefault(pid, {})[row["uuid"]] = used_mib
        return found

    def devices(self) -> "dict[str, dict[str, Any]]":
        """Every GPU by UUID."""
        rows = self._parts.nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())
        loads = self._parts.nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())
        used = {load["uuid"]: load["memory_used_mib"] for load in loads if load["state"] == "ok"}
        return {row["uuid"]: _device(row, used.get(row["uuid"])) for row in rows}

    def host_free_mib(self) -> "int | None":
        """What the kernel says can be had."""
        free_mib: "int | None" = host.Host().sample()["memory_available_mib"]
        return free_mib

    def memory(self) -> "tuple[int | None, int | None]":
        """The memory limit of the group, and what is used of it."""
        limit_mib: "int | None" = self._parts.cgroups.read(self._workload).get("memory_mib")
        used = (memory_used_mib(pid) for pid in self.members())
        return limit_mib, next((mib for mib in used if mib is not None), None)

    def set_memory(self, mib: int) -> None:
        """Set the limit of the group."""
        self._parts.cgroups.set(self._workload, {"memory_mib": mib})

    def frozen(self) -> "bool | None":
        """Whether the group stands still."""
        return self._parts.cgroups.frozen(self._workload)

    def freeze(self, frozen: bool) -> None:
        """Freeze or thaw the group."""
        self._parts.cgroups.freeze(self._workload, frozen)


def let_through(parts: "Parts", workload: str, grants: "list[dict[str, Any]]") -> None:
    """Where a device rule is in force, let the devices of the grants through and no others; refuses unknown ones."""
    if parts.cgroups.restricted(workload) is None:
        return
    rule = device_rule.of_grants(grants, parts.devices())
    if rule is None:
        raise Refused("failed", "the device files of the GPUs it is to have from now on are not known")
    parts.cgroups.restrict(workload, rule)


def _device(row: "dict[str, Any]", used_mib: "int | None") -> "dict[str, Any]":
    total_mib = row["memory_total_mib"]
    known = total_mib is not None and used_mib is not None
    return {
        "model": row["model"],
        "mig": bool(row["mig_enabled"]),
        "used_mib": used_mib,
        "free_mib": max(0, total_mib - used_mib) if known else None,
        "ok": row["state"] == "ok" and used_mib is not None,
    }


def _devices(step: "dict[str, Any]") -> "list[str]":
    return [grant["device"] for grant in step["grants"]]


def take_turn(path: str) -> int:
    """Take the lock under which one workload is suspended, resumed or resized; answers its file descriptor.

    Whoever holds it, or a call it left behind, is waited for. Refused as `busy` when that takes too long.
    """
    until_s = time.monotonic() + _BUSY_S
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until_s:
                time.sleep(_POLL_S)
                continue
            os.close(fd)
            raise Refused("busy", "another suspension or resize of this workload is under way") from None
        return fd
