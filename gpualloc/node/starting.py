"""The steps `start` and `stop`: a workload's command, through its keeper."""

from typing import TYPE_CHECKING, Any

from gpualloc.node.keeper import GRACE_S
from gpualloc.node.launch import Launcher
from gpualloc.node.ledger import FileLedger
from gpualloc.node.limiting import check_hard

if TYPE_CHECKING:
    from gpualloc.node.parts import Parts


class Handler:
    """Starts and stops workloads."""

    def __init__(self, parts: "Parts") -> None:
        self._parts = parts
        self._workloads = parts.workloads
        self._launcher = Launcher(
            parts.state_dir,
            parts.boot_id,
            parts.cgroups,
            parts.workloads,
            claim_folders=parts.claim_folders,
            devices=parts.devices,
        )

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a start without an account or folder to start in, or whose limits must be hard and cannot be."""
        if step["kind"] == "start":
            if step["require_hard"]:
                check_hard(self._parts.cgroups, step)
            self._launcher.preflight(step)

    def do(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Start the command, or stop it."""
        if step["kind"] == "stop":
            folder = self._workloads.folder(step["workload"])
            end = self._launcher.stop(folder, step["grace_s"], checkpoint=step["checkpoint"])
            return {"end": end, "checkpoint": (folder.end() or {}).get("checkpoint")}
        self._sweep()
        return self._launcher.start(step)

    def verify(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Whether it was started, or stopped."""
        folder = self._workloads.folder(step["workload"])
        if step["kind"] == "stop":
            record = self._workloads.record(folder)
            return {"holds": record is None or record["end"] is not None, "end": record and record["end"]}
        facts = self._launcher.facts(folder, step["attempt"])
        return dict(facts or {}, holds=facts is not None)

    def undo(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Stop what was started."""
        return self.do(dict(step, kind="stop", grace_s=GRACE_S, checkpoint=False))

    def _sweep(self) -> None:
        ledger = FileLedger(self._parts.state_dir, self._parts.boot_id, self._parts.claim_folders)
        for record in self._workloads.records():
            attempts = [c["attempt"] for c in ledger.claims() if c["workload"] == record["workload"]]
            if record["end"] is not None and attempts and max(attempts) <= record["attempt"]:
                ledger.remove_claims(record["workload"])
        self._workloads.sweep()
