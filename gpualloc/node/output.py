"""A workload's output on disk: segments named by the offset they begin at, the oldest dropped beyond a cap."""

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEGMENT = re.compile(r"log\.([0-9]{20})")
_SEGMENTS_PER_CAP = 8


class Output:
    """Writes output; when the disk does not take it, it is lost, and the workload goes on.

    Args:
        folder: the workload's folder.
        cap_bytes: most that is kept.
    """

    def __init__(self, folder: str, cap_bytes: int) -> None:
        self._folder = folder
        self._cap = cap_bytes
        self._segment_size = max(1, cap_bytes // _SEGMENTS_PER_CAP)
        self._fd = -1
        self._in_segment = 0
        self._offset = 0

    def write(self, data: bytes) -> None:
        """Add output."""
        while data:
            taken = self._write_some(data[: self._segment_size])
            if taken == 0:
                return
            data = data[taken:]

    def drop(self) -> None:
        """Give all of the room back."""
        self.close()
        for _, path in segments(self._folder):
            os.unlink(path)

    def close(self) -> None:
        """Close the current segment."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write_some(self, data: bytes) -> int:
        try:
            if self._fd < 0 or self._in_segment + len(data) > self._segment_size:
                self._next_segment(len(data))
            taken = os.write(self._fd, data)
        except OSError:
            return 0
        self._in_segment += taken
        self._offset += taken
        return taken

    def _next_segment(self, coming: int) -> None:
        self.close()
        self._in_segment = 0
        existing = list(segments(self._folder))
        while existing and self._offset + coming - existing[0][0] > self._cap:
            os.unlink(existing.pop(0)[1])
        path = os.path.join(self._folder, "log.%020d" % self._offset)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def segments(folder: str) -> "Iterator[tuple[int, str]]":
    """First offset and path of each segment, oldest first."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        found = _SEGMENT.fullmatch(name)
        if found:
            yield int(found.group(1)), os.path.join(folder, name)


def end_offset(folder: str) -> int:
    """How many bytes were written in all, dropped ones included."""
    for start, path in reversed(list(segments(folder))):
        try:
            return start + os.stat(path).st_size
        except FileNotFoundError:
            continue
    return 0


def read(folder: str, offset: int, limit: int) -> "tuple[bytes, int]":
    """At most `limit` bytes from an offset, and where to read on: later than asked when that part was dropped."""
    data = b""
    for start, path in segments(folder):
        try:
            size = os.stat(path).st_size
            if start + size <= offset or len(data) >= limit:
                continue
            if not data:
                offset = max(offset, start)
            with open(path, "rb") as file:
                file.seek(offset + len(data) - start)
                data += file.read(limit - len(data))
        except FileNotFoundError:
            continue
    return data, offset + len(data)
