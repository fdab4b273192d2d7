"""A terminal that a program draws on, seen from outside: when its bytes come, and what it and its children use."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct
from peers import below  # found beside this file

_CHUNK_BYTES = 1 << 18
_AHEAD = -15
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;?>=<!]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][A-Za-z0-9]|[=>78DEHMZc])")
_ARROW, _ARROWS_LONG, _ARROWS_SHORT = b"\x1b[", b"\x1b[?1h", b"\x1b[?1l"
_ANSWERS: Mapping[bytes, bytes] = {
    b"\x1b[c": b"\x1b[?62;22c",
    b"\x1b[0c": b"\x1b[?62;22c",
    b"\x1b[5n": b"\x1b[0n",
    b"\x1b[6n": b"\x1b[1;1R",
    b"\x1b[?2026$p": b"\x1b[?2026;2$y",
    b"\x1b[?2048$p": b"\x1b[?2048;0$y",
}
"""What a terminal of today says of itself: device attributes, state, cursor, synchronised output (there, not on), size
reports (not there)."""


class Setting(Struct, frozen=True):
    """What a terminal is like, and the machine it is on."""

    columns: int
    rows: int
    answers: bool = True
    """Whether it says what it is when it is asked; else it says nothing."""
    ahead: bool = False
    """Whether the program goes before others of a busy machine, with all that it starts; needs root."""


class Use(Struct, frozen=True):
    """What a process and those below it have used so far, and hold."""

    own_cpu_s: float
    below_cpu_s: float
    """Of all processes below it that live."""
    own_bytes: int
    """Resident."""
    below_bytes: int


class Terminal:
    """A program on a pseudo-terminal of its own, in a session of its own.

    Args:
        argv: the program.
        env: its environment; `TERM` is set here.
        setting: the terminal.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], setting: Setting) -> None:
        self._answers = setting.answers
        columns, rows = setting.columns, setting.rows
        self._head, tail = os.openpty()
        fcntl.ioctl(tail, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self._head, False)
        named = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LINES": str(rows), "COLUMNS": str(columns)}
        self.began_s = time.perf_counter()
        self._process = subprocess.Popen(
            argv, env={**env, **named}, stdin=tail, stdout=tail, stderr=tail, start_new_session=True
        )
        os.close(tail)
        if setting.ahead:
            put_ahead(self._process.pid)
        self._ended = False
        self.drawn = b""
        """Everything it wrote so far."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def read(self, within_s: float) -> float | None:
        """Take what it writes next; when that came, or None when nothing did."""
        if self._ended:
            time.sleep(min(within_s, 0.01))
            return None
        readable, _, _ = select.select([self._head], [], [], max(0.0, within_s))
        at_s = time.perf_counter()
        if not readable:
            return None
        try:
            data = os.read(self._head, _CHUNK_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # The last that had it open is gone.
            self._ended = True
            return None
        self.drawn += data
        if self._answers:
            for asked, answer in _ANSWERS.items():
                if asked in data:
                    self._send(answer)
        return at_s

    def read_for(self, seconds: float) -> None:
        """Take what it writes meanwhile."""
        until_s = time.perf_counter() + seconds
        while (left_s := until_s - time.perf_counter()) > 0:
            self.read(left_s)

    def first(self, pattern: re.Pattern[bytes], within_s: float) -> tuple[float | None, float | None]:
        """Seconds from its start to its first bytes, and to the first text on the screen like this; None: never."""
        first_s = None
        while (left_s := self.began_s + within_s - time.perf_counter()) > 0 and not self._ended:
            at_s = self.read(left_s)
            if at_s is None:
                continue
            first_s = first_s or at_s
            if pattern.search(_SEQUENCE.sub(b" ", self.drawn)):
                return first_s - self.began_s, at_s - self.began_s
        return None if first_s is None else first_s - self.began_s, None

    def press(self, keys: bytes) -> None:
        """Type; what the program does not take in is lost. Arrows are told in the manner that it asked for."""
        if keys.startswith(_ARROW) and self.drawn.rfind(_ARROWS_LONG) > self.drawn.rfind(_ARROWS_SHORT):
            keys = keys.replace(_ARROW, b"\x1bO")
        self._send(keys)

    def answer_s(self, key: bytes, quiet_s: float, within_s: float) -> float | None:
        """Press a key while nothing is being drawn; seconds until something is. None: nothing was.

        Args:
            key: what is typed.
            quiet_s: how long nothing may have been drawn before, so that what comes is the answer.
            within_s: how long to wait for it.
        """
        give_up_s = time.perf_counter() + 2.0
        while self.read(quiet_s) is not None and time.perf_counter() < give_up_s:
            pass
        pressed_s = time.perf_counter()
        self.press(key)
        while (left_s := pressed_s + within_s - time.perf_counter()) > 0:
            at_s = self.read(left_s)
            if at_s is not None:
                return at_s - pressed_s
        return None

    def quit(self, key: bytes, within_s: float) -> tuple[float | None, int]:
        """Press the key that ends it; seconds until it has ended, and how many processes it left. None: it had not.

        Whatever lives then is killed.
        """
        others = below(self.pid)
        pressed_s = time.perf_counter()
        self.press(key)
        ended_s = None
        while (left_s := pressed_s + within_s - time.perf_counter()) > 0:
            self.read(min(left_s, 0.005))
            if self._process.poll() is not None:
                ended_s = time.perf_counter() - pressed_s
                break
        left = [pid for pid in others if _is_alive(pid)]
        self.close()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return ended_s, len(left)

    def _send(self, data: bytes) -> None:
        with suppress(OSError):
            os.write(self._head, data)

    def close(self) -> None:
        """End the program, if it lives, and those below it."""
        if self._process.poll() is None:
            for pid in (*below(self.pid), self.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait()
        with suppress(OSError):
            os.close(self._head)

    def use(self) -> Use:
        """What it and its children use now."""
        others = below(self.pid)
        return Use(
            _cpu_s(self.pid), sum(map(_cpu_s, others)), _resident_bytes(self.pid), sum(map(_resident_bytes, others))
        )


def put_ahead(pid: int) -> None:
    """Let the process, and its session, go before all others of the machine; needs root."""
    os.setpriority(os.PRIO_PROCESS, pid, _AHEAD)
    # Where each session is a group of its own to the scheduler, the priority of the group is what counts.
    with suppress(FileNotFoundError):
        Path(f"/proc/{pid}/autogroup").write_text(str(_AHEAD))


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _cpu_s(pid: int) -> float:
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return 0.0


def _resident_bytes(pid: int) -> int:
    with suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0]) * 1024
    return 0
