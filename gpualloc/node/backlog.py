"""What a node program saw while nobody could be told: kept in a file, for a while, and told when somebody is back.

A file for each controller, `backlog/<controller>` in the state folder: JSON lines, the first with a whole picture, each
later one with what changed. Whoever writes it holds a lock on it; the next program of that controller asks it to stop.
"""

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 8 << 20
"""Beyond this nothing more is kept: the oldest matters most, for it has no other trace."""

MAX_KEEP_S = 86400.0
_STOP_POLL_S = 0.1
_STOP_WAIT_S = 3.0


class Backlog:
    """The records of one controller.

    Args:
        state_dir: the node's state folder.
        controller: 32 hexadecimal digits.
    """

    def __init__(self, state_dir: str, controller: str) -> None:
        self._folder = os.path.join(state_dir, "backlog")
        self._path = os.path.join(self._folder, controller)
        self._stop = self._path + ".stop"

    def keep(self, look: "Callable[[], dict[str, Any]]", every_s: float, for_s: float) -> None:
        """Look at that period and write it down; where the folder cannot be written nothing is kept.

        Ends when the time is over, the file is full, or another program takes over.
        """
        try:
            os.makedirs(self._folder, 0o700, exist_ok=True)
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            # An older program that noticed a cut late may write here still; what it saw is told, too.
            if self._alone(fd):
                self._write(fd, look, every_s, time.monotonic() + for_s)
        except OSError:
            return
        finally:
            os.close(fd)

    def take(self) -> "Iterator[dict[str, Any]]":
        """What was kept, oldest first; then it is forgotten. Whoever still writes it is asked to stop first."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if not self._alone(fd):
                return
            os.unlink(self._path)
            with os.fdopen(os.dup(fd), "rb") as file:
                for line in file:
                    record = _record(line)
                    if record is None:
                        return
                    yield record
        finally:
            os.close(fd)

    def _alone(self, fd: int) -> bool:
        """Whether nobody writes any more."""
        until_s = time.monotonic() + _STOP_WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > until_s:
                    return False
                with open(self._stop, "ab"):
                    pass
                time.sleep(_STOP_POLL_S)
            else:
                if os.path.exists(self._stop):
                    os.unlink(self._stop)
                return True

    def _write(self, fd: int, look: "Callable[[], dict[str, Any]]", every_s: float, until_s: float) -> None:
        written = os.lseek(fd, 0, os.SEEK_END)
        while time.monotonic() < until_s and not os.path.exists(self._stop):
            line = json.dumps(look(), separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
            written += len(line)
            if written > MAX_BYTES:
                return
            os.write(fd, line)
            next_s = min(until_s, time.monotonic() + every_s)
            while time.monotonic() < next_s and not os.path.exists(self._stop):
                time.sleep(min(_STOP_POLL_S * 5, max(0.0, next_s - time.monotonic())))


def _record(line: bytes) -> "dict[str, Any] | None":
    """A line as it was written; None for one that was cut, and what comes after it is worth nothing."""
    try:
        record = json.loads(line.decode("ascii"))
    except ValueError:
        return None
    return record if isinstance(record, dict) and line.endswith(b"\n") else None
