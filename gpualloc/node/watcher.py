"""The keeper of work that was running already: takes it into its group, watches it, and lets it go when asked.

It is not the parent of what it keeps, so that nobody can tell it an exit code.
"""

import os
import select
import signal
import time
from typing import Any

from gpualloc.node import cgroup, keeper, origin, pidfd, processes
from gpualloc.node.keeper import Keeper
from gpualloc.node.state import read_json, write_json

UNKNOWN_EXIT_CODE = 255
"""Told of work whose parent is somebody else."""

_POLL_S = 0.5
_ROUNDS = 50
"""How often processes that were begun while others were taken in are gone after."""


def main(lock_fd: int) -> None:
    """As `keeper.main`, for a process that runs already. Never returns."""
    keeper.main(lock_fd, Watcher)


class Watcher(Keeper):
    """Keeps one adopted process and what descends from it."""

    def __init__(self, spec: "dict[str, Any]") -> None:
        super().__init__(spec)
        self._pid = spec["process"]["pid"]
        self._known: "dict[int, int]" = {self._pid: spec["process"]["start_ticks"]}
        self._let_go = False
        self._sent = 0

    def run(self) -> None:
        """Take the process in; when that works, watch it to its end, or until it is let go."""
        wake_fd = self._watch_signals()
        problem = self._take_in()
        if problem is not None:
            self._put_back()
            self._cgroups.remove(self._workload)
            failed = dict(problem, attempt=self._spec["attempt"])
            write_json(self._folder.file("failed.json"), failed)
            return
        self._watch(wake_fd)
        if self._let_go:
            self._put_back()
        self._clean_up()

    def _take_in(self) -> "dict[str, str] | None":
        """Move the process and all below it into the group; None, or why that cannot be."""
        joined: "set[int]" = set()
        inside = True
        for _ in range(_ROUNDS):
            new = self._members() - joined
            if not new:
                break
            for pid in new:
                try:
                    self._cgroups.join(self._workload, pid)
                except ProcessLookupError:
                    pass
                except OSError as error:
                    inside = False
                    if self._spec["require_hard"]:
                        return {
                            "reason": "no-cgroup",
                            "message": "process %d cannot enter its group: %s" % (pid, error),
                        }
            joined |= new
        ticks = self._known.get(self._pid)
        if ticks is None or not processes.is_same(self._pid, ticks):
            return {"reason": "gone", "message": "process %d ended while it was taken in" % self._pid}
        self._write_started(ticks, inside)
        return None

    def _read_back(self, joined: bool) -> "tuple[str, dict[str, str | None]]":
        visible = processes.environment(self._pid).get("CUDA_VISIBLE_DEVICES", "")
        inside = joined and self._cgroups.holds(self._workload, self._pid)
        held_by: "dict[str, str | None]" = {"gpu": self._gpu_held_by(inside, told=False)}
        for name, held in self._spec["held_by"].items():
            held_by[name] = "booked" if held == "hard" and not inside else held
        return visible, held_by

    def _gpu_held_by(self, inside: bool, told: bool) -> "str | None":
        held = super()._gpu_held_by(inside, told)
        # The rule binds what it opens next; what it had open before stays open.
        return "soft" if held == "hard" else held

    def _watch(self, wake_fd: int) -> None:
        pid_fd = pidfd.open_of(self._pid)
        watched = [wake_fd] if pid_fd is None else [wake_fd, pid_fd]
        while self._members() and not self._let_go:
            if self._stop_asked:
                self._heed(read_json(self._folder.file("stop.json")) or {})
            if self._kill_at_s is not None and time.monotonic() >= self._kill_at_s:
                self._signal_all(signal.SIGKILL)
                self._kill_at_s = time.monotonic() + keeper.KILL_AGAIN_S
            left_s = _POLL_S if self._kill_at_s is None else max(0.0, self._kill_at_s - time.monotonic())
            readable, _, _ = select.select(watched, [], [], min(left_s, _POLL_S))
            if wake_fd in readable:
                os.read(wake_fd, 4096)
            if pid_fd in readable:
                # It ended; what it began may go on.
                watched.remove(pid_fd)

    def _heed(self, asked: "dict[str, Any]") -> None:
        self._stop_asked = False
        grace_s = asked.get("grace_s")
        if asked.get("let_go"):
            self._let_go = self._reason is None
        else:
            self._begin_stop("released", grace_s if isinstance(grace_s, (int, float)) else self._spec["grace_s"])

    def _members(self) -> "set[int]":
        """Pids that run: all below a process known to be of it, and all in the group."""
        same = {pid for pid, ticks in self._known.items() if processes.is_same(pid, ticks)}
        same |= set(self._cgroups.members(self._workload))
        known = {}
        for pid in same | set(processes.below(same)):
            found = processes.stat(pid)
            if found is not None and not found.dead:
                known[pid] = found.start_ticks
        self._known = known
        return set(known)

    def _signal_all(self, number: int) -> None:
        self._sent = number
        cgroup.wake(self._cgroups, self._workload)
        for pid in self._members():
            pidfd.send(pid, self._known[pid], number)

    def _put_back(self) -> None:
        came_from = [(controllers, path) for controllers, path in self._spec["came_from"]]
        origin.empty(self._cgroups, self._workload, came_from)

    def _ending(self) -> "dict[str, Any]":
        if self._let_go:
            return {"exit_code": UNKNOWN_EXIT_CODE, "signal": None, "reason": "let-go"}
        if self._reason is None:
            return {"exit_code": UNKNOWN_EXIT_CODE, "signal": None, "reason": "adopted"}
        return {"exit_code": 128 + self._sent, "signal": self._sent, "reason": self._reason}
