"""The kernel's lines in the systemd journal: members of its groups may read them where /dev/kmsg is for root only."""

import json
import os
import re
import select
import subprocess
import time
from typing import TYPE_CHECKING, Any

from gpualloc.node import kernel_lines

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = "journalctl"
EVERY_S = 10.0
"""Each look starts a program; in between, nothing new is told."""

_LINES = 4096
_MAX_BYTES = 16 << 20
_WITHIN_S = 2.0
_COMMAND = ("-k", "-b", "-q", "-o", "json", "--no-pager", "-n", str(_LINES))
_HIDDEN = re.compile(rb'"MESSAGE" ?: ?\[|"SYSLOG_IDENTIFIER" ?: ?"NVRM"')
"""What may matter though the words for it are not in the line: a message that is no UTF-8 is the list of its bytes, and
the first word of one that a program wrote into the kernel log, as to try an alarm, is a field of its own."""


class Journal:
    """Reads on from where it was at the look before.

    Args:
        program: the program that prints the journal.
    """

    def __init__(self, program: str = PROGRAM) -> None:
        self._program = program
        self._asked_s: "float | None" = None
        self._cursor: "str | None" = None
        self._why: "str | None" = None

    def read(self, take: "Callable[[int, str], None]", why: str) -> "str | None":
        """Give each new line that may matter to `take`, as microseconds since the boot and text.

        Returns:
            None when the journal can be read, else `why`: what it is read instead of could not be, either.
        """
        now_s = time.monotonic()
        if self._asked_s is not None and now_s - self._asked_s < EVERY_S:
            return self._why
        self._asked_s = now_s
        lines = self._output(now_s + _WITHIN_S).split(b"\n")
        for line in lines:
            if kernel_lines.may_matter(line) or _HIDDEN.search(line):
                self._take(line, take)
        self._cursor = next(filter(None, map(_cursor, reversed(lines))), self._cursor)
        # This boot began with lines of the kernel: who is told none may not see them.
        self._why = why if self._cursor is None else None
        return self._why

    def _output(self, until_s: float) -> bytes:
        """What the program printed by then; nothing when it cannot be started."""
        command = [self._program, *_COMMAND]
        if self._cursor is not None:
            command.append("--after-cursor=" + self._cursor)
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        except OSError:
            return b""
        try:
            return _read_all(process.stdout.fileno(), until_s)  # type: ignore[union-attr]
        finally:
            process.stdout.close()  # type: ignore[union-attr]
            _end(process)

    def _take(self, line: bytes, take: "Callable[[int, str], None]") -> None:
        entry = _decoded(line)
        microseconds = str(entry.get("_SOURCE_MONOTONIC_TIMESTAMP", ""))
        if microseconds.isdecimal() and len(microseconds) <= 18:
            take(int(microseconds), kernel_lines.joined(_text(entry)))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    try:
        process.wait(_WITHIN_S)
    except subprocess.TimeoutExpired:
        return  # the kernel holds it, in a read of a dead disk; it ends when that is over


def _read_all(fd: int, until_s: float) -> bytes:
    """What comes until the end, the time or the most bytes."""
    output = bytearray()
    while len(output) < _MAX_BYTES:
        readable, _, _ = select.select([fd], [], [], max(0.0, until_s - time.monotonic()))
        data = os.read(fd, 1 << 16) if readable else b""
        if not data:
            break
        output += data
    return bytes(output)


def _decoded(line: bytes) -> "dict[str, Any]":
    """The entry in that line; empty for one that is cut off."""
    try:
        entry = json.loads(line.decode("utf-8", "replace"))
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}


def _cursor(line: bytes) -> "str | None":
    """Where the journal goes on after that entry."""
    cursor = _decoded(line).get("__CURSOR")
    return cursor if isinstance(cursor, str) and cursor else None


def _text(entry: "dict[str, Any]") -> str:
    """The line as it was in the kernel log."""
    message, identifier = entry.get("MESSAGE"), entry.get("SYSLOG_IDENTIFIER", "kernel")
    if isinstance(message, list):
        message = bytes(byte for byte in message if isinstance(byte, int) and 0 <= byte < 256).decode(
            "utf-8", "replace"
        )
    if not isinstance(message, str):
        return ""
    return message if identifier == "kernel" else "%s: %s" % (identifier, message)
