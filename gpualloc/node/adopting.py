"""The steps `adopt` and `let-go`: a process that runs already, into a workload's group and out of it."""

import os
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import adoptable, origin, processes
from gpualloc.node.launch import Launcher
from gpualloc.node.limiting import check_hard
from gpualloc.node.watcher import UNKNOWN_EXIT_CODE
from gpualloc.node.wire import Refused
from gpualloc.node.workloads import told_end

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts
    from gpualloc.node.workloads import Folder


class Handler:
    """Adopts processes and lets them go."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._workloads = parts.workloads
        self._launcher = _Adopter(
            parts.state_dir,
            parts.boot_id,
            parts.cgroups,
            parts.workloads,
            claim_folders=parts.claim_folders,
            devices=parts.devices,
        )

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a process that may not be taken in, or whose limits are below what it uses."""
        if step["kind"] == "adopt":
            if step["require_hard"]:
                check_hard(self._parts.cgroups, step)
            self._checked(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Take the process in, or let it go."""
        folder = self._workloads.folder(step["workload"])
        if step["kind"] == "let-go":
            self._launcher.let_go(folder)
            return {"end": told_end(folder.end())}
        if self._launcher.facts(folder, step["attempt"]) is None:
            self._checked(step)
        return self._launcher.start(step)

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether it was taken in and not let go since, or let go."""
        folder = self._workloads.folder(step["workload"])
        record = self._workloads.record(folder)
        if step["kind"] == "let-go":
            return {"holds": record is None or record["end"] is not None, "end": record and record["end"]}
        facts = self._launcher.facts(folder, step["attempt"])
        let_go = record is not None and record["end"] is not None and record["end"]["reason"] == "let-go"
        return dict(facts or {}, holds=facts is not None and not let_go)

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Let the process go again."""
        return self.do(dict(step, kind="let-go"))

    def _checked(self, step: "dict[str, Any]") -> None:
        pid = adoptable.check(step, self._workloads.roots()).pid
        used_mib = adoptable.memory_mib(adoptable.tree(pid))
        if step["memory_mib"] is not None and used_mib > step["memory_mib"]:
            raise Refused(
                "memory",
                "process %d uses %d MiB already, more than the limit of %d MiB" % (pid, used_mib, step["memory_mib"]),
            )


class _Adopter(Launcher):
    """Begins to keep what runs already."""

    keeper = "watcher"

    _came_from: "list[tuple[str, str]]" = []

    def start(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Take the process in once for this attempt; answers what holds it. Raises Refused."""
        pid, before = step["process"]["pid"], self._workloads.folder(step["workload"]).spec()
        self._came_from = origin.groups_of(pid)
        if before is not None and processes.group_workload(pid) == step["workload"]:
            # A keeper that was killed on the way brought it there; where it came from is in what that one was told.
            self._came_from = before["came_from"]
        return super().start(step)

    def let_go(self, folder: "Folder") -> None:
        """End the keeping and leave the processes running where they came from; nothing kept is fine."""
        if not os.path.isdir(folder.path):
            return
        lock_fd = folder.hold()
        if lock_fd is None:
            self._stop_keeper(folder, {"grace_s": 0.0, "checkpoint": False, "let_go": True})
            return
        try:
            self._put_back(folder)
            self._cgroups.remove(folder.workload)
            if folder.started() is None:
                folder.remove()
            elif folder.end() is None:
                folder.write_end(exit_code=UNKNOWN_EXIT_CODE, signal=None, oom=False, at_s=time.time(), reason="let-go")
        finally:
            os.close(lock_fd)

    def _spec(self, step: "dict[str, Any]") -> "dict[str, Any]":
        pid = step["process"]["pid"]
        found = adoptable.find(pid, step["process"]["started_at_s"])
        return dict(
            self._base(step),
            process={"pid": pid, "start_ticks": found.start_ticks},
            came_from=self._came_from,
            env={},
            at_most_s=None,
        )

    def _forget(self, folder: "Folder") -> None:
        self._put_back(folder)
        super()._forget(folder)

    def _put_back(self, folder: "Folder") -> None:
        spec = folder.spec()
        if spec is not None:
            back = [(controllers, path) for controllers, path in spec["came_from"]]
            origin.empty(self._cgroups, folder.workload, back)
