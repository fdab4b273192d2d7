"""The machine this program runs on: NVML, /proc, control groups and keepers behind `server.Machine`."""

import binascii
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import cgroup, host, output, processes, progress
from gpualloc.node.ledger import SHARED_FOLDERS, FileLedger
from gpualloc.node.nvml import Nvml, deadline_s
from gpualloc.node.parts import Parts, handler
from gpualloc.node.presence import Presence
from gpualloc.node.quiesce import Quiesce
from gpualloc.node.wire import Refused
from gpualloc.node.workloads import Workloads

if TYPE_CHECKING:
    from gpualloc.node.cgroup import Cgroups
    from gpualloc.node.parts import StepHandler

_EVENT_POLL_S = 0.1


class LocalMachine:
    """This host. Begins to open NVML when made.

    Args:
        state_dir: the node's state folder.
        nvml: the driver library.
        cgroups: the back end for limits; found out when None.
        claim_folders: where claims of all accounts are; None when this state stands alone.
    """

    def __init__(
        self,
        state_dir: str,
        nvml: "Nvml",
        cgroups: "Cgroups | None" = None,
        claim_folders: "tuple[str, ...] | None" = None,
    ) -> None:
        self._state_dir = state_dir
        self._nvml = nvml
        self._host = host.Host(os.path.join(state_dir, "host.json"))
        self._boot_id = host.boot_id()
        self._cgroups = cgroup.probe() if cgroups is None else cgroups
        self._claim_folders = claim_folders
        self._workloads = Workloads(state_dir, self._cgroups, self._boot_id)
        self._presence = Presence()
        self._ended: "set[tuple[str, int]] | None" = None

    @property
    def state_dir(self) -> str:
        """The node's state folder."""
        return self._state_dir

    def hello(self) -> "dict[str, Any]":
        """Who and what this node is."""
        from gpualloc import __version__

        return {
            "version": __version__,
            "hostname": host.hostname(),
            "boot_id": self._boot_id,
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "user": processes.user(os.getpid()),
            "python": "%d.%d.%d" % sys.version_info[:3],
            "privileged": os.geteuid() == 0,
            "state_dir": self._state_dir,
            "cgroup": {
                "mode": self._cgroups.mode,
                "controllers": self._cgroups.controllers(),
                "writable": self._cgroups.writable(),
                "isolation": self._cgroups.isolation(),
            },
            "mps": host.has_program("nvidia-cuda-mps-control"),
            "other_controllers": host.other_controllers(),
            "nvml": self._nvml.status(),
        }

    def inventory(self) -> "dict[str, Any]":
        """The devices and the host's size."""
        rows = self._nvml.ask(lambda gpu: gpu.inventory(), lambda gpu: gpu.blank_inventory())
        if rows:
            from gpualloc.node.settings import Remembered  # needs pynvml, which is there only now

            remembered = Remembered(self._state_dir, self._boot_id)
            for row in rows:
                row["settings"].update(remembered.clocks(row["uuid"]))
        return {"devices": rows, "host": self._host.inventory()}

    def present(self, paths: "list[str]") -> "dict[str, bool | None]":
        """For each path whether it is there; None when that cannot be told."""
        return self._presence.look(paths)

    def sample(self) -> "dict[str, Any]":
        """The load of the devices and of the host."""
        rows = self._nvml.ask(lambda gpu: gpu.sample(), lambda gpu: gpu.blank_sample())
        return {"at_s": time.time(), "devices": rows, "host": self._host.sample()}

    def processes(self) -> "dict[str, Any]":
        """What runs on the devices, and whose it is."""
        rows = self._nvml.ask(lambda gpu: gpu.processes(), lambda gpu: {"uuid": gpu.uuid, "processes": []})
        roots = self._roots() if any(row["processes"] for row in rows) else {}
        found = []
        for row in rows:
            for pid, instance, used_mib in row["processes"]:
                told = processes.describe(pid, roots)
                told.update(device=row["uuid"], mig_instance=instance, gpu_memory_used_mib=used_mib)
                found.append(told)
        return {"processes": found}

    def kernel(self) -> "dict[str, Any]":
        """What the kernel log says of GPUs."""
        return {"messages": [], "reason": "not read"}

    def cost(self) -> "dict[str, Any]":
        """What readings cost so far."""
        return {"groups": []}

    def process(self, pid: int) -> "dict[str, Any]":
        """One process, those below it, and the devices they use."""
        from gpualloc.node import adoptable

        told = processes.describe(pid, self._roots())
        if told["started_at_s"] is None:
            raise Refused("gone", "there is no process %d" % pid)
        own = adoptable.tree(pid)
        used = [(row["device"], row["mig_instance"]) for row in self.processes()["processes"] if row["pid"] in own]
        uses = [{"device": device, "mig_instance": instance} for device, instance in dict.fromkeys(used)]
        return dict(told, pids=own, count=len(own), uses=uses, memory_mib=adoptable.memory_mib(own))

    def records(self) -> "list[dict[str, Any]]":
        """What this node remembers of its workloads, and how far those that run say they are."""
        records = self._workloads.records()
        self._ended = _ended(records)
        for record in records:
            if record["end"] is None:
                record["progress"] = progress.read(self._workloads.folder(record["workload"]))
        return records

    def events(self, timeout_s: float) -> "dict[str, Any]":
        """Whether a workload ended since the records were last told."""
        until_s = time.monotonic() + timeout_s
        known = self._ended
        while True:
            ended = _ended(self._workloads.records())
            if known is None:
                known = ended
            if ended - known:
                self._ended = ended
                return {"changed": True}
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                self._ended = known
                return {"changed": False}
            time.sleep(min(_EVENT_POLL_S, left_s))

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse what `do` would refuse."""
        self._handler(step).preflight(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Carry a step out."""
        return self._handler(step).do(step)

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Take a step back."""
        return self._handler(step).undo(step)

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Read the effect of a step back."""
        return self._handler(step).verify(step)

    def logs(self, workload: str, offset: int, limit: int) -> "dict[str, Any]":
        """A piece of a workload's output."""
        folder = self._workloads.folder(workload)
        record = self._workloads.record(folder)
        if record is None:
            raise Refused("gone", "this node knows no workload %s" % workload)
        data, next_offset = output.read(folder.path, offset, limit)
        ended = record["end"] is not None and next_offset >= output.end_offset(folder.path)
        return {
            "data": binascii.b2a_base64(data, newline=False).decode("ascii"),
            "next_offset": next_offset,
            "ended": ended,
        }

    def _roots(self) -> "dict[int, str]":
        """Pids from which work descends: what this program started, and what other accounts' claims tell of."""
        ledger = FileLedger(self._state_dir, self._boot_id, self._claim_folders)
        roots = ledger.keepers()
        roots.update(self._workloads.roots())
        return roots

    def _handler(self, step: "dict[str, Any]") -> "StepHandler":
        return handler(
            step["kind"],
            Parts(
                self._state_dir,
                self._boot_id,
                nvml=self._nvml,
                cgroups=self._cgroups,
                workloads=self._workloads,
                claim_folders=self._claim_folders,
            ),
        )


def this_host() -> "tuple[LocalMachine, FileLedger]":
    """The machine and its ledger, as the environment says (GPUALLOC_NODE_STATE_DIR, GPUALLOC_NVML_DEADLINE_S)."""
    from gpualloc.node.state import state_dir

    folder = state_dir()
    shared = None if os.environ.get("GPUALLOC_NODE_STATE_DIR") else SHARED_FOLDERS
    nvml = Nvml(deadline_s(), Quiesce(folder, shared is not None).asked)
    return LocalMachine(folder, nvml, None, shared), FileLedger(folder, host.boot_id(), shared)


def _ended(records: "list[dict[str, Any]]") -> "set[tuple[str, int]]":
    return {(record["workload"], record["attempt"]) for record in records if record["end"] is not None}
