"""How far a workload says it is: lines of JSON that it may write itself, of which only the end is read.

The file lies in the workload's folder and belongs to its account; the folder does not, so that nothing else can be put
in its place. What is in it is believed no further than shown.
"""

import json
import math
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpualloc.node.accounts import Account
    from gpualloc.node.workloads import Folder

VARIABLE = "GPUALLOC_PROGRESS"
"""Names the file in the workload's environment; not set where its account could not reach the file."""
FILE = "progress.jsonl"
TAIL_BYTES = 4096
"""What is read of its end."""
MOST_LINES = 64
MOST_POINTS = 16
MOST_LINE_BYTES = 1024
MOST_PHASE_CHARS = 64

_LARGEST = 1e15
_RESUMED = "resumed"
"""Touched when the work was resumed: what it wrote before tells nothing of how fast it is."""
_EARLY_S = 1.0
"""How far in the future a line may be, for clocks that are read in another way."""


def make(folder: "Folder", account: "Account") -> "str | None":
    """Make the empty file for a new start; its path, or None where the account could not write to it."""
    path = folder.file(FILE)
    own = account.uid == os.geteuid()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if not own:
                os.fchown(fd, account.uid, account.gid)
        finally:
            os.close(fd)
        return path if own or _lead_to(path, account.uid) else None
    except OSError:
        return None


def note_resumed(folder: "Folder") -> None:
    """Remember that the work was resumed now; where that cannot be written, its pace counts the pause for a while."""
    path = folder.file(_RESUMED)
    with suppress(OSError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.utime(path)


def read(folder: "Folder") -> "dict[str, Any] | None":
    """The progress of a running workload as the wire tells it; None when it told nothing that can be understood.

    A file of another account than the workload's is not read.
    """
    started = folder.started() or {}
    uid = started.get("uid")  # an older keeper does not tell, and what is adopted has no file
    if uid is None:
        return None
    try:
        fd = os.open(folder.file(FILE), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != uid or not status.st_size:
            return None
        begin = max(0, status.st_size - TAIL_BYTES)
        lines = os.pread(fd, TAIL_BYTES, begin).split(b"\n")
    except OSError:
        return None
    finally:
        os.close(fd)
    now_s = time.time()
    entries = [entry for entry in map(_entry, lines[1 if begin else 0 :][-MOST_LINES:]) if entry]
    since_s = _resumed_at_s(folder) or started["started_at_s"]
    return _told(entries, status.st_mtime, since_s - _EARLY_S, now_s)


def _told(
    entries: "list[dict[str, Any]]", written_at_s: float, since_s: float, now_s: float
) -> "dict[str, Any] | None":
    """The newest of each kind, and the steps with their times since then; times are told as ages."""
    if not entries:
        return None
    told: "dict[str, Any]" = dict.fromkeys(("step", "of", "loss", "phase"))
    for entry in entries:
        told.update((name, value) for name, value in entry.items() if name in told)
    points: "list[list[float]]" = []
    for entry in entries:
        at_s = entry.get("time_s")
        if "step" not in entry:
            continue
        if points and entry["step"] < points[-1][1]:
            points = []  # it began anew
        if at_s is not None and since_s <= at_s <= now_s + _EARLY_S and (not points or at_s > points[-1][0]):
            points.append([at_s, entry["step"]])
    if len(points) > MOST_POINTS:
        last = len(points) - 1
        points = [points[place * last // (MOST_POINTS - 1)] for place in range(MOST_POINTS)]
    newest_s = points[-1][0] if points else written_at_s
    told["age_s"] = _age_s(newest_s, now_s)
    told["points"] = [{"age_s": _age_s(at_s, now_s), "step": step} for at_s, step in points]
    return told


def _age_s(at_s: float, now_s: float) -> float:
    return round(max(0.0, now_s - at_s), 3)


def _entry(line: bytes) -> "dict[str, Any]":
    """What can be understood of a line; empty when nothing can."""
    if not line or len(line) > MOST_LINE_BYTES:
        return {}
    try:
        content = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    ranges = (("step", 0, _LARGEST), ("of", 1e-9, _LARGEST), ("loss", -1e30, 1e30), ("time_s", 0, 1e12))
    entry = {name: content[name] for name, low, high in ranges if _is_number(content.get(name), low, high)}
    phase = content.get("phase")
    if isinstance(phase, str):
        entry["phase"] = phase[:MOST_PHASE_CHARS].encode("utf-8", "replace").decode("utf-8")
    return entry if set(entry) - {"time_s"} else {}


def _is_number(value: Any, low: float, high: float) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return low <= value <= high and math.isfinite(value)


def _resumed_at_s(folder: "Folder") -> "float | None":
    try:
        return os.lstat(folder.file(_RESUMED)).st_mtime
    except OSError:
        return None


def _lead_to(path: str, uid: int) -> bool:
    """Let the account through the three folders of ours above the file; whether it comes through all others too."""
    folder = os.path.dirname(path)
    for depth in range(path.count(os.sep)):
        status = os.stat(folder)
        through = status.st_mode & (0o100 if status.st_uid == uid else 0o001)
        if not through and (depth > 2 or status.st_uid != os.geteuid()):
            return False
        if not through:
            # To pass, not to list: what lies there is closed to others by itself.
            os.chmod(folder, stat.S_IMODE(status.st_mode) | 0o001)
        folder = os.path.dirname(folder)
    return True
