"""What the kernel log says of GPUs, read from /dev/kmsg or, where that may not be read, from the journal.

It needs nothing of the driver's library, and so tells of a GPU behind which that library hangs.
"""

import errno
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from gpualloc.node import kernel_lines
from gpualloc.node.epoch import LOG
from gpualloc.node.kernel_journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

PATH = "/dev/kmsg"
BUDGET_S = 0.5
"""Longest time that one look reads; what is left then is read by the next."""

CODED, UNCODED = 192, 64
"""So many messages with a code are kept, and so many without: of those, a driver that lost a GPU writes hundreds."""

_CHUNK_BYTES = 16384
"""More than the longest record, which /dev/kmsg gives whole or not at all."""

_DENIED = (errno.EPERM, errno.EACCES)


class Kmsg:
    """Records of /dev/kmsg, or of a file of its form, each given once while the file is open.

    Args:
        path: the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._rest = b""

    def open(self) -> bool:
        """Open the file if it is not; whether that was done, so that it is read from its beginning. Raises OSError."""
        if self._fd >= 0:
            return False
        self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        self._rest = b""
        return True

    def read(self, until_s: float, take: "Callable[[bytes], None]") -> bool:
        """Give each line that may matter to `take`; whether the end was reached in time (monotonic).

        Raises OSError, and is closed then.
        """
        while True:
            try:
                data = os.read(self._fd, _CHUNK_BYTES)
                if not data:
                    return True
                self._split(data, take)
            except BlockingIOError:
                return True
            except OSError as error:
                # Written faster than read, it goes on with the oldest record that is left.
                if error.errno != errno.EPIPE:
                    self._close()
                    raise
            if time.monotonic() >= until_s:
                return False

    def _split(self, data: bytes, take: "Callable[[bytes], None]") -> None:
        data = self._rest + data
        end = data.rfind(b"\n") + 1
        self._rest = data[end:] if len(data) - end <= _CHUNK_BYTES else b""
        if kernel_lines.may_matter(data):
            for line in data[:end].split(b"\n"):
                if kernel_lines.may_matter(line):
                    take(line)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1


class KernelLog:
    """The messages about GPUs that the log holds; keeps them, and reads on at each look. Several threads may look.

    Args:
        gpus: tells the bus addresses of this host's GPUs.
        path: file of the form of /dev/kmsg.
        journal: read instead where that file cannot be; None for nothing.
    """

    def __init__(
        self, gpus: "Callable[[], Collection[str]]", path: str = PATH, journal: "Journal | None" = None
    ) -> None:
        self._gpus = gpus
        self._path = path
        self._kmsg = Kmsg(path)
        self._journal = journal
        self._coded: "deque[dict[str, Any]]" = deque(maxlen=CODED)
        self._uncoded: "deque[dict[str, Any]]" = deque(maxlen=UNCODED)
        self._last = -1
        self._read_at_s: "float | None" = None
        self._looking = threading.Lock()

    def look(self) -> "dict[str, Any]":
        """`messages` and `reason` as `kernel` of docs/wire.md."""
        with self._looking:
            reason = self._read()
            began_s = LOG.at_s()
            kept = sorted([*self._coded, *self._uncoded], key=lambda message: message["seq"])
        messages = [dict(message, at_s=began_s + message["at_s"]) for message in kept]
        return {"messages": messages, "reason": reason}

    def _read(self) -> "str | None":
        """Read on; why that could not be done, or was not done to the end."""
        gpus, now_s = self._gpus(), time.monotonic()
        try:
            if self._kmsg.open():
                self._forget()
            ended = self._kmsg.read(now_s + BUDGET_S, lambda line: self._take_line(line, gpus))
        except OSError as error:
            return self._read_journal(gpus, self._why_not(error))
        if not ended:
            return "the log is long or written fast: it was not read to its end yet"
        self._read_at_s = now_s
        return None

    def _forget(self) -> None:
        """Begin anew: what is read now tells it all again."""
        self._coded.clear()
        self._uncoded.clear()
        self._last = -1
        self._read_at_s = None
        self._journal = None

    def _read_journal(self, gpus: "Collection[str]", why: str) -> "str | None":
        if self._journal is None:
            return why
        return self._journal.read(lambda microseconds, text: self._take(microseconds, text, gpus), why)

    def _take_line(self, line: bytes, gpus: "Collection[str]") -> None:
        record = kernel_lines.record(line)
        if record is not None:
            self._take(record[0], record[1], gpus)

    def _take(self, microseconds: int, text: str, gpus: "Collection[str]") -> None:
        message = kernel_lines.message(text, gpus)
        if message is None:
            return
        # Not the kernel's own number: a journal keeps none, and who may read which of the two can change.
        self._last = max(self._last + 1, microseconds)
        # The log's clock drifts from the system's; what was not there at the look before is younger than that.
        uptime_s = min(max(microseconds / 1e6, self._read_at_s or 0.0), time.monotonic())
        kept = self._uncoded if message["code"] is None else self._coded
        kept.append(dict(message, seq=self._last, at_s=uptime_s))

    def _why_not(self, error: OSError) -> str:
        if error.errno in _DENIED:
            return (
                "%s may not be read by this account: allow it with kernel.dmesg_restrict=0, log in as root, or add the"
                " account to the group systemd-journal" % self._path
            )
        return "%s cannot be read: %s" % (self._path, error.strerror or error)


def of_this_host(gpus: "Callable[[], Collection[str]]") -> "KernelLog":
    """The log of this host; GPUALLOC_KERNEL_LOG names another file of the form of /dev/kmsg, for tests."""
    given = os.environ.get("GPUALLOC_KERNEL_LOG")
    return KernelLog(gpus, given) if given else KernelLog(gpus, PATH, Journal())
