"""Starts and stops workloads through their keepers. Its caller holds the node's lock for starts."""

import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import accounts, cgroup, device_rule, keeper, processes, progress, sharing
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.wire import Refused
from gpualloc.node.workloads import told_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpualloc.node.cgroup import Cgroups
    from gpualloc.node.workloads import Folder, Workloads

START_WAIT_S = 30.0
"""How long a keeper gets to execute the command; much, as its machine may be busy with the work of others."""

_POLL_S = 0.005
_STOP_POLL_S = 0.02
_STOP_MARGIN_S = 10.0
"""How long a keeper gets beyond the grace; then it is taken for hung."""

_BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv[1]); from gpualloc.node import %s as keeper; keeper.main(int(sys.argv[2]))"
)


class Launcher:
    """Starts and stops the workloads of one state folder.

    Args:
        state_dir: the node's state folder.
        boot_id: this boot.
        cgroups: where groups are made.
        workloads: what was started already.
        claim_folders: where a keeper finds its claims; None for the state folder's own.
        devices: tells the rows of `inventory`, for the device files that /proc does not name; None when nobody can.
    """

    keeper = "keeper"
    """Module of `gpualloc.node` whose `main` keeps what is started."""

    def __init__(
        self,
        state_dir: str,
        boot_id: str,
        cgroups: "Cgroups",
        workloads: "Workloads",
        *,
        claim_folders: "tuple[str, ...] | None" = None,
        devices: "Callable[[], list[dict[str, Any]]] | None" = None,
    ) -> None:
        self._state_dir = state_dir
        self._boot_id = boot_id
        self._cgroups = cgroups
        self._workloads = workloads
        self._claim_folders = claim_folders
        self._devices = devices

    def preflight(self, step: "dict[str, Any]") -> None:
        """Refuse a start that has no account or working directory here."""
        accounts.resolve(step["user"])
        # Who came through sudo is not told what lies where only root may look.
        root = os.geteuid() == 0 and accounts.caller() is None
        if step["cwd"] is not None and root and not os.path.isdir(step["cwd"]):
            raise Refused("no-command", "the working directory %s does not exist" % ascii(step["cwd"][:200]))

    def facts(self, folder: "Folder", attempt: int) -> "dict[str, Any] | None":
        """The facts of a start, running or ended; None when there was none of that attempt."""
        started = folder.started()
        if started is None or started["attempt"] != attempt:
            return None
        facts = {name: started[name] for name in ("pid", "started_at_s", "held_by", "visible")}
        return dict(facts, state_dir=self._state_dir)

    def start(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """Start the command once for this attempt; answers what it really got. Raises Refused."""
        folder, attempt = self._workloads.folder(step["workload"]), step["attempt"]
        facts = self.facts(folder, attempt)
        if facts is not None:
            return facts
        lock_fd = folder.hold()
        if lock_fd is None:
            # Its keeper is at work, begun by a node program that did not live to see it start.
            self._await_same_attempt(folder, attempt)
            facts = self._told(folder, attempt)
            if facts is not None:
                return facts
            # Nor did that program live to tell it what to start.
            lock_fd = folder.hold()
        if lock_fd is not None:
            try:
                self._refuse_survivors(folder)
                folder.clear()
                self._spawn(folder, lock_fd, self._spec(step))
            finally:
                os.close(lock_fd)
        facts = self._told(folder, attempt)
        if facts is None:
            raise self._untold(folder)
        return facts

    def stop(self, folder: "Folder", grace_s: float, *, checkpoint: bool = False) -> "dict[str, Any] | None":
        """End a workload: its checkpoint hook if asked, TERM, grace, KILL.

        Answers its end; None when it never ran. A hook needs its keeper: without one it is not run. Raises Refused.
        """
        if not os.path.isdir(folder.path):
            return None
        lock_fd = folder.hold()
        if lock_fd is None:
            return self._stop_keeper(folder, {"grace_s": grace_s, "checkpoint": checkpoint})
        try:
            if folder.started() is None:
                folder.remove()
                return None
            return told_end(folder.end() or self._stop_survivors(folder, grace_s))
        finally:
            os.close(lock_fd)

    def _spec(self, step: "dict[str, Any]") -> "dict[str, Any]":
        account = accounts.resolve(step["user"])
        base = self._base(step)
        env = account.environment()
        env.update(step["env"])
        env["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
        env["CUDA_VISIBLE_DEVICES"] = ",".join(grant["mig_instance"] or grant["device"] for grant in step["grants"])
        env["GPUALLOC_WORKLOAD"] = step["workload"]
        env.update(sharing.client_environment(step["grants"], account))
        told_in = progress.make(self._workloads.folder(step["workload"]), account)
        env.pop(progress.VARIABLE, None)
        if told_in is not None:
            env[progress.VARIABLE] = told_in
        return dict(
            base,
            command=step["command"],
            env=env,
            cwd=account.home if step["cwd"] is None and os.path.isdir(account.home) else step["cwd"],
            account={"name": account.name, "uid": account.uid, "gid": account.gid},
            at_most_s=step["at_most_s"],
            checkpoint=step["checkpoint"],
        )

    def _base(self, step: "dict[str, Any]") -> "dict[str, Any]":
        """What every keeper is told; the workload's group is made, with its limits."""
        rule = device_rule.for_grants(step["grants"], self._devices)
        return {
            "format": FORMAT,
            "state_dir": self._state_dir,
            "boot_id": self._boot_id,
            "claim_folders": self._claim_folders,
            "log_cap_bytes": keeper.LOG_CAP_BYTES,
            "workload": step["workload"],
            "controller": step["controller"],
            "attempt": step["attempt"],
            "grants": step["grants"],
            "rule": rule,
            "held_by": cgroup.ensure(self._cgroups, dict(step, rule=rule)),
            "require_hard": step["require_hard"],
            "grace_s": keeper.GRACE_S,
        }

    def _spawn(self, folder: "Folder", lock_fd: int, spec: "dict[str, Any]") -> None:
        """Start a keeper that holds the lock from its first moment and lives on when this program is killed."""
        import json
        import subprocess  # 10 ms that readings need not wait for

        write_json(folder.file("spec.json"), dict(spec, env=sorted(spec["env"])))
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _BOOTSTRAP % self.keeper, root, str(lock_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            pass_fds=(lock_fd,),
            start_new_session=True,
        )
        process.communicate(json.dumps(spec).encode("ascii"))

    def _await_same_attempt(self, folder: "Folder", attempt: int) -> None:
        spec = folder.spec()
        if spec is not None and spec["attempt"] != attempt:
            raise Refused("failed", "attempt %d of %s still runs" % (spec["attempt"], folder.workload))

    def _refuse_survivors(self, folder: "Folder") -> None:
        started = folder.started()
        if started is not None and folder.end() is None and self._workloads.survivors(folder):
            raise Refused("failed", "attempt %d of %s still runs" % (started["attempt"], folder.workload))

    def _told(self, folder: "Folder", attempt: int) -> "dict[str, Any] | None":
        """Wait for the keeper to tell how the start went: the facts, or None when it ended without a word.

        A keeper that neither tells nor ends is killed. Raises Refused.
        """
        until_s = time.monotonic() + START_WAIT_S
        gone = False
        while True:
            facts = self.facts(folder, attempt)
            if facts is not None:
                return facts
            self._raise_failure(folder, attempt)
            if gone:
                return None
            gone = _is_free(folder)
            if time.monotonic() > until_s:
                self._kill_keeper(folder)
                raise self._untold(folder)
            time.sleep(_POLL_S)

    def _untold(self, folder: "Folder") -> Refused:
        """Nothing is left of a start of which nobody told."""
        self._forget(folder)
        return Refused("failed", "the keeper of %s ended before the command was executed" % folder.workload)

    def _forget(self, folder: "Folder") -> None:
        """Leave nothing of a start that failed."""
        folder.remove()
        self._cgroups.remove(folder.workload)

    def _raise_failure(self, folder: "Folder", attempt: int) -> None:
        failed = read_json(folder.file("failed.json"))
        if failed is not None and failed["attempt"] == attempt:
            folder.remove()
            raise Refused(failed["reason"], failed["message"])

    def _kill_keeper(self, folder: "Folder") -> None:
        found = folder.keeper()
        if found is not None and processes.is_same(*found):
            below = processes.descendants(found[0])
            _kill([found[0], *below], signal.SIGKILL)

    def _stop_keeper(self, folder: "Folder", asked: "dict[str, Any]") -> "dict[str, Any] | None":
        """Tell the keeper to stop its workload and wait until it did."""
        until_s = time.monotonic() + asked["grace_s"] + START_WAIT_S + _STOP_MARGIN_S
        if asked["checkpoint"]:
            until_s += ((folder.spec() or {}).get("checkpoint") or {"grace_s": 0.0})["grace_s"]
        told = False
        while folder.end() is None and not _is_free(folder):
            found = folder.keeper()
            if not told and folder.started() is not None and found is not None and processes.is_same(*found):
                write_json(folder.file("stop.json"), asked)
                _kill([found[0]], signal.SIGTERM)
                told = True
            if time.monotonic() > until_s:
                self._kill_keeper(folder)
                raise Refused("failed", "the keeper of %s did not stop it in time and was killed" % folder.workload)
            time.sleep(_STOP_POLL_S)
        if folder.end() is None:
            # The keeper was lost on the way, or nothing was started: then the rest is done from here.
            return self.stop(folder, asked["grace_s"])
        return told_end(folder.end())

    def _stop_survivors(self, folder: "Folder", grace_s: float) -> "dict[str, Any]":
        """End a workload whose keeper is gone."""
        cgroup.wake(self._cgroups, folder.workload)
        number = signal.SIGTERM
        _kill(self._workloads.survivors(folder), number)
        until_s = time.monotonic() + grace_s
        while True:
            left = self._workloads.survivors(folder)
            if not left:
                break
            if time.monotonic() >= until_s:
                number = signal.SIGKILL
                _kill(left, number)
            time.sleep(_STOP_POLL_S)
        self._cgroups.remove(folder.workload)
        return folder.write_end(
            exit_code=128 + int(number), signal=int(number), oom=False, at_s=time.time(), reason="released"
        )


def _kill(pids: "list[int]", number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _is_free(folder: "Folder") -> bool:
    """Whether no keeper holds the folder."""
    if not os.path.isdir(folder.path):
        return True
    lock_fd = folder.hold()
    if lock_fd is None:
        return False
    os.close(lock_fd)
    return True
