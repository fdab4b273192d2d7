"""What a node remembers of the workloads it was asked to run: one folder each, `<state dir>/workloads/<id>`.

keeper        locked by the keeper for as long as it lives; holds its pid and start
spec.json     what was asked for, without the values of the environment
started.json  written by the keeper once the command was executed
end.json      written by the keeper when the last process ended
log.<offset>  output
progress.jsonl  how far the work says it is: its account writes it, nothing else here
resumed       touched when it was resumed
"""

import fcntl
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gpualloc.node import cgroup, output, processes
from gpualloc.node.check import WORKLOAD_ID
from gpualloc.node.state import FORMAT, read_json, write_json
from gpualloc.node.wire import Refused

if TYPE_CHECKING:
    from gpualloc.node.cgroup import Cgroups

KEPT_S = 7 * 24 * 3600.0
KEPT_COUNT = 1000

UNKNOWN_EXIT_CODE = 125
"""Told when nobody saw how the command ended."""


class Folder:
    """The folder of one workload. Reading what is not there gives None."""

    def __init__(self, state_dir: str, workload: str) -> None:
        self.workload = workload
        self.path = os.path.join(state_dir, "workloads", workload)

    def file(self, name: str) -> str:
        """Path of a file in the folder."""
        return os.path.join(self.path, name)

    def spec(self) -> "dict[str, Any] | None":
        """What was asked for."""
        return _known_format(read_json(self.file("spec.json")))

    def started(self) -> "dict[str, Any] | None":
        """The latest start."""
        return _known_format(read_json(self.file("started.json")))

    def end(self) -> "dict[str, Any] | None":
        """How the latest start ended."""
        started, end = self.started(), _known_format(read_json(self.file("end.json")))
        if started is None or end is None or end["attempt"] != started["attempt"]:
            return None
        return end

    def hold(self) -> "int | None":
        """Take the keeper's lock: a file descriptor, or None while a keeper lives. Makes the folder."""
        os.makedirs(self.path, 0o700, exist_ok=True)
        status = os.lstat(self.path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise Refused("disk", "%s is not a folder of this account alone" % self.path)
        fd = os.open(self.file("keeper"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return fd

    def keeper(self) -> "tuple[int, int] | None":
        """Pid and start ticks that the latest keeper left."""
        try:
            with open(self.file("keeper"), encoding="ascii") as file:
                pid, start_ticks = file.read(64).split()
        except (OSError, ValueError):
            return None
        return int(pid), int(start_ticks)

    def clear(self) -> None:
        """Remove everything of an earlier start but the keeper's lock."""
        for name in os.listdir(self.path):
            if name != "keeper":
                os.unlink(self.file(name))

    def remove(self) -> None:
        """Remove the folder; none is fine."""
        import shutil  # readings need not wait for it

        shutil.rmtree(self.path, ignore_errors=True)

    def write_end(self, **end: Any) -> "dict[str, Any]":
        """Record how the latest start ended; answers what was recorded. Raises OSError."""
        started = self.started() or {}
        content = dict(end, format=FORMAT, attempt=started.get("attempt"), boot_id=started.get("boot_id"))
        write_json(self.file("end.json"), content)
        return content


def told_end(end: "dict[str, Any] | None") -> "dict[str, Any] | None":
    """An end as the wire tells it."""
    return None if end is None else {name: end[name] for name in ("exit_code", "signal", "oom", "at_s", "reason")}


class Workloads:
    """All workloads of a state folder.

    Args:
        state_dir: the node's state folder.
        cgroups: where their groups are.
        boot_id: this boot; a start of another one is over.
    """

    def __init__(self, state_dir: str, cgroups: "Cgroups", boot_id: str) -> None:
        self._state_dir = state_dir
        self._cgroups = cgroups
        self._boot_id = boot_id

    def folder(self, workload: str) -> "Folder":
        """The folder of a workload, there or not."""
        return Folder(self._state_dir, workload)

    def folders(self) -> "list[Folder]":
        """Every folder there is, by id."""
        try:
            names = os.listdir(os.path.join(self._state_dir, "workloads"))
        except OSError:
            return []
        return [self.folder(name) for name in sorted(names) if WORKLOAD_ID.fullmatch(name)]

    def records(self) -> "list[dict[str, Any]]":
        """A record (docs/wire.md) of each start that is remembered."""
        found = (self.record(folder) for folder in self.folders())
        return [record for record in found if record is not None]

    def record(self, folder: "Folder") -> "dict[str, Any] | None":
        """The record of one workload; notices when its keeper is gone. None when it never started."""
        started = folder.started()
        if started is None:
            return None
        end = folder.end() or self._notice_end(folder, started)
        return {
            "workload": folder.workload,
            "controller": started["controller"],
            "attempt": started["attempt"],
            "pid": started["pid"],
            "started_at_s": started["started_at_s"],
            "held_by": started["held_by"],
            "log_bytes": output.end_offset(folder.path),
            "end": told_end(end),
            "bound": self._bound(folder.workload, started) if end is None else None,
        }

    def runs(self, workload: str, attempt: int) -> bool:
        """Whether that start of the workload is there and has not ended."""
        record = self.record(self.folder(workload))
        return record is not None and record["end"] is None and record["attempt"] == attempt

    def _bound(self, workload: str, started: "dict[str, Any]") -> "dict[str, Any]":
        """The limits in force; `rule` tells whether a device rule is, null when that cannot be asked.

        A group that the command was put out of limits nothing.
        """
        outside = processes.is_same(started["pid"], started["start_ticks"]) and not self._cgroups.holds(
            workload, started["pid"]
        )
        found = {} if outside else self._cgroups.read(workload)
        told: "dict[str, Any]" = {name: found.get(name) for name in cgroup.CONTROLLER_OF}
        told["rule"] = None
        if self._cgroups.isolation() is not None:
            with suppress(OSError):  # not every account may ask
                told["rule"] = not outside and self._cgroups.restricted(workload) is not None
        return told

    def roots(self) -> "dict[int, str]":
        """Pids from which running workloads descend, to their ids."""
        roots: "dict[int, str]" = {}
        for folder in self.folders():
            started = folder.started()
            if started is None or started["boot_id"] != self._boot_id or folder.end() is not None:
                continue
            for name in ("keeper_pid", "pid"):
                if processes.is_same(started[name], started[name.replace("pid", "start_ticks")]):
                    roots[started[name]] = folder.workload
        return roots

    def survivors(self, folder: "Folder") -> "list[int]":
        """Pids of a start whose keeper is gone: in its group, its session, or below its first process."""
        started = folder.started()
        if started is None or started["boot_id"] != self._boot_id:
            return []
        found = set(self._cgroups.members(folder.workload))
        pid = started["pid"]
        if processes.is_same(pid, started["start_ticks"]):
            found.update([pid], processes.descendants(pid))
        found.update(one.pid for one in processes.every() if one.session == pid and not one.dead)
        return sorted(found)

    def sweep(self) -> None:
        """Forget what ended long ago, and the oldest ends beyond a thousand."""
        ended = sorted(
            (end["at_s"], folder.workload) for folder in self.folders() for end in [folder.end()] if end is not None
        )
        oldest_s = time.time() - KEPT_S
        for position, (at_s, workload) in enumerate(ended):
            if at_s < oldest_s or position < len(ended) - KEPT_COUNT:
                self.folder(workload).remove()

    def _notice_end(self, folder: "Folder", started: "dict[str, Any]") -> "dict[str, Any] | None":
        reason = None if started["boot_id"] == self._boot_id else "rebooted"
        held = folder.hold()
        if held is None:
            return None
        try:
            # It may have ended, or been started anew, before the lock was taken.
            current = folder.started()
            if folder.end() is not None or current is None or current["attempt"] != started["attempt"]:
                return folder.end()
            if reason is None and self.survivors(folder):
                return None
            self._cgroups.remove(folder.workload)
            return folder.write_end(
                exit_code=UNKNOWN_EXIT_CODE, signal=None, oom=False, at_s=time.time(), reason=reason or "keeper-lost"
            )
        finally:
            os.close(held)


def _known_format(content: "dict[str, Any] | None") -> "dict[str, Any] | None":
    return content if content is not None and content.get("format") in range(1, FORMAT + 1) else None
