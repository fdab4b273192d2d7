"""The small process beside each workload: starts the command, holds it, and writes down how it ended.

Everything it needs is imported at its start, so that an upgrade or removal of the program cannot hurt it.
What it should start comes through its stdin, since the values of the environment may be secret.
"""

import ctypes
import json
import os
import select
import signal
import subprocess  # noqa: F401 - systemd is called through it
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import (
    cgroup,
    cgroup1,  # noqa: F401 - `cgroup.probe` needs one of the three later
    cgroup2,  # noqa: F401
    child,
    processes,
    systemd,  # noqa: F401
)
from gpualloc.node.hook import SAVED, Hook
from gpualloc.node.ledger import FileLedger
from gpualloc.node.output import Output
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.workloads import Folder

if TYPE_CHECKING:
    from collections.abc import Callable  # novm

LOG_CAP_BYTES = 64 << 20
GRACE_S = 10.0
KILL_AGAIN_S = 0.1

_PR_SET_CHILD_SUBREAPER = 36
_OTHERS_POLL_S = 0.5
_ENVIRONMENT_WAIT_S = 0.5
_END_TRIES = 30


def main(lock_fd: int, kind: "type[Keeper] | None" = None) -> None:
    """Detach, read the spec from stdin, keep the workload until its last process ended. Never returns."""
    if os.fork():
        os._exit(0)
    os.set_inheritable(lock_fd, False)
    with os.fdopen(0, "rb", closefd=False) as stdin:
        data = stdin.read()
    try:
        spec = json.loads(data.decode("ascii"))
    except ValueError:
        # Whoever began to send it is gone, and will find that nothing was started.
        os._exit(1)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    own = processes.stat(os.getpid())
    os.ftruncate(lock_fd, 0)
    os.pwrite(lock_fd, ("%d %d" % (os.getpid(), own.start_ticks if own else 0)).encode("ascii"), 0)
    (kind or Keeper)(spec).run()
    os._exit(0)


class Keeper:
    """One start of one workload, from fork to end."""

    def __init__(self, spec: "dict[str, Any]") -> None:
        self._spec = spec
        self._workload: str = spec["workload"]
        self._folder = Folder(spec["state_dir"], self._workload)
        self._leave_mps = _mps() if any(grant["share"] == "mps" for grant in spec["grants"]) else None
        self._cgroups = cgroup.probe()
        self._ledger = FileLedger(spec["state_dir"], spec["boot_id"], spec["claim_folders"])
        self._output = Output(self._folder.path, spec["log_cap_bytes"])
        self._oom_before = self._cgroups.oom_kills(self._workload)
        self._status: "int | None" = None
        self._pid = 0
        self._stop_asked = False
        self._reason: "str | None" = None
        self._kill_at_s: "float | None" = None
        self._no_children = False
        self._hook = Hook(spec, self._cgroups)
        self._hook_grace_s = GRACE_S

    def run(self) -> None:
        """Start the command; when that works, hold it to the end and clean up."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot become the reaper of the workload's orphans")
        wake_fd = self._watch_signals()
        output_fd, write_fd = os.pipe()
        if not self._start(write_fd):
            return
        os.set_blocking(output_fd, False)
        self._hold(wake_fd, output_fd, write_fd)
        self._drain(output_fd)
        self._output.close()
        self._clean_up()

    def _watch_signals(self) -> int:
        wake_fd, tell_fd = os.pipe()
        os.set_blocking(wake_fd, False)
        os.set_blocking(tell_fd, False)
        signal.set_wakeup_fd(tell_fd)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._ask_stop)
        for number in (signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        return wake_fd

    def _ask_stop(self, *_: object) -> None:
        self._stop_asked = True

    def _start(self, write_fd: int) -> bool:
        """Fork and execute, with output into a pipe; False when the command could not be executed."""
        status_fd, tell_fd = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            child.run(self._spec, self._cgroups, write_fd, tell_fd)
        os.close(tell_fd)
        own = processes.stat(self._pid)
        with os.fdopen(status_fd, "rb") as file:
            told = file.read().partition(b"\n")
        if told[2]:
            os.waitpid(self._pid, 0)
            self._cgroups.remove(self._workload)
            failed = json.loads(told[2].decode("ascii"))
            write_json(self._folder.file("failed.json"), dict(failed, attempt=self._spec["attempt"]))
            return False
        self._write_started(own.start_ticks if own else 0, told[0] == child.JOINED)
        return True

    def _write_started(self, start_ticks: int, joined: bool) -> None:
        keeper_ticks = processes.stat(os.getpid())
        ticks = keeper_ticks.start_ticks if keeper_ticks else 0
        visible, held_by = self._read_back(joined)
        self._ledger.keep_claims(self._workload, os.getpid(), ticks)
        write_json(
            self._folder.file("started.json"),
            {
                "format": FORMAT,
                "boot_id": self._spec["boot_id"],
                "workload": self._workload,
                "controller": self._spec["controller"],
                "attempt": self._spec["attempt"],
                "pid": self._pid,
                "uid": self._spec["account"]["uid"] if "account" in self._spec else None,
                "start_ticks": start_ticks,
                "started_at_s": processes.started_at_s(start_ticks),
                "keeper_pid": os.getpid(),
                "keeper_start_ticks": ticks,
                "held_by": held_by,
                "visible": visible,
            },
        )

    def _read_back(self, joined: bool) -> "tuple[str, dict[str, str | None]]":
        """What the running process really has. One that is over already had what it was executed with."""
        wanted: str = self._spec["env"]["CUDA_VISIBLE_DEVICES"]
        environment: "dict[str, str]" = {}
        until_s = time.monotonic() + _ENVIRONMENT_WAIT_S
        # The kernel fills the new process in a moment after it let go of the old one.
        while not environment and self._alive() and time.monotonic() < until_s:
            environment = processes.environment(self._pid)
        inside = self._cgroups.holds(self._workload, self._pid) or (joined and not self._alive())
        visible = environment.get("CUDA_VISIBLE_DEVICES", "") if environment else wanted
        held_by: "dict[str, str | None]" = {"gpu": self._gpu_held_by(inside and joined, visible == wanted)}
        for name, held in self._spec["held_by"].items():
            held_by[name] = "booked" if held == "hard" and not (inside and joined) else held
        return visible, held_by

    def _gpu_held_by(self, inside: bool, told: bool) -> "str | None":
        """What holds the share of the GPUs: the device rule, the environment that was told, or nothing.

        No rule holds a part of a GPU to its size, and nothing a time slice. The GPUs beside it are denied all the same.
        """
        shares = {grant["share"] for grant in self._spec["grants"]}
        if not shares:
            return None
        if "time-slice" in shares:
            return "booked"
        own = shares <= {"exclusive", "mig"}
        if own and inside and cgroup.keeps_to(self._cgroups, self._workload, self._spec["rule"]):
            return "hard"
        return "soft" if told else "booked"

    def _alive(self) -> bool:
        found = processes.stat(self._pid)
        return found is not None and not found.dead

    def _hold(self, wake_fd: int, output_fd: int, write_fd: int) -> None:
        """Take the output, reap, enforce the time limit and stop, until the last process is gone.

        `write_fd` is the way into the output for a checkpoint hook; the pipe never comes to its end.
        """
        begun_s = time.monotonic()
        at_most_s = self._spec["at_most_s"]
        end_s = None if at_most_s is None else begun_s + at_most_s
        while not self._reaped():
            if self._stop_asked:
                self._heed_stop(write_fd)
            elif end_s is not None and time.monotonic() >= end_s:
                self._begin_stop("at-most", self._spec["grace_s"])
            if self._hook.begun and not self._hook.left_s() and self._reason is None:
                self._begin_stop(self._reason_after_hook() or "released", self._hook_grace_s)
            if self._kill_at_s is not None and time.monotonic() >= self._kill_at_s:
                self._signal_all(signal.SIGKILL)
                self._kill_at_s = time.monotonic() + KILL_AGAIN_S
            readable, _, _ = select.select([wake_fd, output_fd], [], [], self._patience_s(end_s))
            if wake_fd in readable:
                os.read(wake_fd, 4096)
            if output_fd in readable:
                self._output.write(os.read(output_fd, 65536))

    def _patience_s(self, end_s: "float | None") -> "float | None":
        if self._kill_at_s is not None:
            return max(0.0, self._kill_at_s - time.monotonic())
        left_s = None if end_s is None else max(0.0, end_s - time.monotonic())
        waits = [left_s, self._hook.left_s(), _OTHERS_POLL_S if self._no_children else None]
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def _reaped(self) -> bool:
        """Reap what ended; True when nothing of the workload is left."""
        self._no_children = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._no_children = True
                return not self._cgroups.members(self._workload)
            if pid == 0:
                return False
            if pid == self._pid:
                self._status = status
            self._hook.heard(pid, status, is_main=pid == self._pid)

    def _heed_stop(self, write_fd: int) -> None:
        """Begin to stop as asked last; a hook that ran already, or is under way, is not run again."""
        self._stop_asked = False
        asked = read_json(self._folder.file("stop.json")) or {}
        grace_s = asked.get("grace_s")
        grace_s = float(grace_s) if isinstance(grace_s, (int, float)) else float(self._spec["grace_s"])
        if asked.get("checkpoint") and self._hook.known and self._reason is None:
            self._hook_grace_s = grace_s
            if not self._hook.begun and self._status is None:
                self._hook.begin(self._pid, write_fd)
            if self._hook.begun:
                return
        self._hook.cut_short()
        self._begin_stop("released", grace_s)

    def _reason_after_hook(self) -> "str | None":
        return "checkpointed" if self._hook.outcome == SAVED else None

    def _begin_stop(self, reason: str, grace_s: float) -> None:
        if self._reason is None:
            self._reason = reason
            self._signal_all(signal.SIGTERM)
            self._kill_at_s = time.monotonic() + grace_s
        elif self._kill_at_s is not None:
            self._kill_at_s = min(self._kill_at_s, time.monotonic() + grace_s)

    def _signal_all(self, number: int) -> None:
        cgroup.wake(self._cgroups, self._workload)
        members = set(processes.descendants(os.getpid())) | set(self._cgroups.members(self._workload))
        for pid in members:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _drain(self, output_fd: int) -> None:
        """Take what is left in the pipe, at most what a pipe holds."""
        for _ in range(64):
            try:
                data = os.read(output_fd, 65536)
            except OSError:
                return
            self._output.write(data)

    def _clean_up(self) -> None:
        """Remove the group and the claims, then say that it is over; nothing is touched after that."""
        oom_kills = self._cgroups.oom_kills(self._workload) - self._oom_before
        at_s = time.time()
        for remove in (self._cgroups.remove, self._ledger.remove_claims):
            try:
                remove(self._workload)
            except OSError:
                continue  # what could not go now goes with `unlimit` and `unclaim`
        if self._leave_mps is not None:
            self._leave_mps(self._spec)
        end = self._ending()
        end.update(oom=oom_kills > 0 and end["exit_code"] != 0, at_s=at_s, checkpoint=self._hook.outcome)
        for _ in range(_END_TRIES):
            try:
                self._folder.write_end(**end)
            except OSError:
                # The disk is full: how it ended is worth more than what it said.
                self._output.drop()
                time.sleep(1)
            else:
                return

    def _ending(self) -> "dict[str, Any]":
        """`exit_code`, `signal` and `reason` of the end."""
        number = os.WTERMSIG(self._status) if self._status is not None and os.WIFSIGNALED(self._status) else None
        code = 128 + number if number is not None else os.WEXITSTATUS(self._status or 0)
        return {"exit_code": code, "signal": number, "reason": self._reason or self._reason_after_hook()}


def _mps() -> "Callable[[dict[str, Any]], None]":
    """What takes leave of an MPS daemon; it brings what other workloads do without."""
    from gpualloc.node.sharing import leave

    return leave
