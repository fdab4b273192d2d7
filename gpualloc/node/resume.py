"""Resume a suspended workload, on the devices it was on or on others of their model.

    thaw -> room on the devices -> restore all -> unlock all

From any mixture of states, as `suspend`; what fails before the first process goes on is taken back.
"""

import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import cuda
from gpualloc.node.cuda import CHECKPOINTED, LOCKED, RUNNING, CudaError
from gpualloc.node.cuda_work import DRIVER_ERRORS, not_undone, reason_of
from gpualloc.node.suspended import moves
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.cuda_work import CudaWork

_GPU_MARGIN_MIB = 64


class Resumption:
    """Resumes one workload.

    Args:
        work: its CUDA processes.
        devices: the devices it is to be on, in the order of its grants.
    """

    def __init__(self, work: "CudaWork", devices: "list[str]") -> None:
        self._work = work
        self._site = work.site
        self._record = work.record
        self._devices = devices
        self._restored: "list[int]" = []

    def preflight(self) -> None:
        """Refuse what `resume` would refuse, as far as it can be known of work that stands still."""
        try:
            self._check_room([pid for pid in self._record.processes if self._work.lives(pid)])
        except DRIVER_ERRORS as error:
            raise Refused(reason_of(error), str(error)) from error

    def resume(self) -> "dict[str, Any]":
        """Bring the workload back; answers `seconds`, `state`, and `memory_limit_mib` when a raised limit must stay.

        Raises:
            Refused: and it stands still as before; processes that do not are named.
        """
        began_s = time.monotonic()
        try:
            self._bring_back()
        except DRIVER_ERRORS as error:
            raise self._taken_back(reason_of(error), str(error)) from error
        except Refused as refused:
            raise self._taken_back(refused.reason, refused.message) from refused
        except OSError as error:
            raise self._taken_back("failed", str(error)) from error
        self._let_go_on()
        kept_mib = self._work.put_limit_back()
        self._record.remove()
        facts: "dict[str, Any]" = {"seconds": round(time.monotonic() - began_s, 3), "state": RUNNING}
        return facts if kept_mib is None else dict(facts, memory_limit_mib=kept_mib)

    # ---- what must be so

    def _check_room(self, pids: "list[int]") -> None:
        """Refuse a restore that would fail for want of memory: drivers never restore a process after one that did."""
        known = self._site.devices()
        needed: "dict[str, int]" = {}
        for pid in pids:
            entry = self._record.processes.get(pid)
            if entry is None:
                continue
            if len(entry["devices"]) != len(self._devices):
                told = len(entry["devices"]), len(self._devices)
                raise Refused("bad-request", "it was suspended on %d devices, not on %d" % told)
            moved = moves(entry["devices"], self._devices)
            for old in entry["devices"]:
                self._check_device(known, old, moved.get(old, old))
            for uuid, mib in entry["memory"].items():
                needed[moved.get(uuid, uuid)] = needed.get(moved.get(uuid, uuid), 0) + mib
        for uuid, mib in sorted(needed.items()):
            free_mib = known.get(uuid, {}).get("free_mib")
            if free_mib is not None and free_mib < mib + _GPU_MARGIN_MIB:
                raise Refused("memory", "%s: it needs %d MiB, %d are free" % (uuid, mib + _GPU_MARGIN_MIB, free_mib))

    def _check_device(self, known: "dict[str, dict[str, Any]]", old: str, new: str) -> None:
        if new not in known:
            raise Refused("gone", "device %s does not exist here" % new)
        if not known[new]["ok"]:
            raise Refused("unhealthy", "device %s does not answer" % new)
        if known[new]["mig"]:
            raise Refused("not-supported", "device %s is in MIG mode" % new)
        if old == new:
            return
        if old not in known or known[old]["model"] != known[new]["model"]:
            raise Refused("not-supported", "%s is not of the same model as %s" % (new, old))
        if self._work.driver.version() < cuda.REMAP_VERSION:
            raise Refused("not-supported", "driver >= 580 needed to resume on another device")

    # ---- up

    def _bring_back(self) -> None:
        work = self._work
        if self._site.frozen():
            self._site.freeze(False)
        work.look()
        work.check_failed()
        down = work.within(CHECKPOINTED)
        self._check_room(down)
        if self._record.move(down, self._devices):
            self._record.save()
        for pid in down:
            if self._restore(pid):
                self._restored.append(pid)
                self._record.settle(pid)

    def _restore(self, pid: int) -> bool:
        entry = self._record.processes.get(pid)
        before = self._devices if entry is None else entry["devices"]
        moved = moves(before, self._devices)
        if not moved:
            return self._work.restore(pid, [])
        try:
            return self._work.restore(pid, pairs(sorted(self._site.devices()), moved))
        except CudaError as error:
            # Drivers want each GPU named that the process could see: all of the host, or those its device rule left it.
            if error.code != cuda.INVALID_VALUE:
                raise
            return self._work.restore(pid, [[old, moved.get(old, old)] for old in before])

    def _let_go_on(self) -> None:
        wrong = []
        for pid in self._work.within(LOCKED):
            try:
                self._work.unlock(pid)
            except DRIVER_ERRORS as error:
                wrong.append("process %d: %s" % (pid, error))
        if wrong:
            raise Refused("failed", "its memory is back, and it does not go on: %s" % "; ".join(wrong))

    # ---- and back

    def _taken_back(self, reason: str, why: str) -> "Refused":
        """Put back to the host what was restored and let all stand still; the refusal to raise."""
        work, wrong = self._work, []
        if self._restored and self._record.exists:
            try:
                self._record.save()  # where they are now, before they leave it again
            except OSError as error:
                return not_undone(reason, why, ["its memory is back, and where that is cannot be noted: %s" % error])
        for pid in self._restored:
            try:
                work.checkpoint(pid)
            except DRIVER_ERRORS as error:
                wrong.append("process %d: %s" % (pid, error))
        for pid in [pid for pid, state in work.states.items() if state is None and pid not in self._restored]:
            try:
                work.states[pid] = work.driver.state(pid)
            except DRIVER_ERRORS as error:
                wrong.append("process %d: %s" % (pid, error))
        if self._record.exists:
            self._stand_still(wrong)
        return not_undone(reason, why, wrong)

    def _stand_still(self, wrong: "list[str]") -> None:
        self._record.stay(self._work.within(CHECKPOINTED))
        try:
            self._record.save()
            if set(self._work.states.values()) == {CHECKPOINTED} and self._site.frozen() is False:
                self._site.freeze(True)
        except OSError as error:
            wrong.append(str(error))


def pairs(devices: "list[str]", moved: "dict[str, str]") -> "list[list[str]]":
    """Every device with the one that takes its place: those moved, and in turn those whose place is taken."""
    target = {uuid: uuid for uuid in devices if uuid not in moved and uuid not in moved.values()}
    target.update(moved)
    displaced = [uuid for uuid in devices if uuid not in target]
    left = [uuid for uuid in devices if uuid not in target.values()]
    target.update({uuid: left[place] for place, uuid in enumerate(displaced)})
    return [[uuid, target[uuid]] for uuid in devices]
