"""A child process behind pipes that is never waited for longer than asked."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence

from gpualloc.node.wire import MAX_LINE_BYTES, WireError

STDERR_TAIL_BYTES = 16 * 1024
_CHUNK_BYTES = 256 * 1024
_LAST_WORDS_S = 0.25
"""How long to listen for the rest of stderr after stdout ended."""


class Child:
    """A process with its three pipes; not for use by two threads at once, except `signal`.

    It runs in its own session, so that Ctrl-C in the terminal does not reach it.

    Raises:
        OSError: the program cannot be executed.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._process, (self._stdin, self._stdout, self._stderr) = piped(argv)
        self._outgoing = bytearray()
        self._received = bytearray()
        self._scanned = 0
        self._errors = bytearray()
        self._stdout_ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._stdout, selectors.EVENT_READ)
        self._selector.register(self._stderr, selectors.EVENT_READ)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def stderr_text(self) -> str:
        """The end of what it wrote to stderr; untrusted text."""
        return self._errors.decode("utf-8", "replace")

    def send(self, data: bytes) -> None:
        """Queue bytes for its stdin; they leave while lines are awaited."""
        if not self._outgoing and data:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        self._outgoing += data

    def next_line(self, deadline: float, limit: int = MAX_LINE_BYTES) -> bytes:
        """The next line of stdout without its end.

        Args:
            deadline: on the monotonic clock.
            limit: longest line accepted, bytes.

        Raises:
            TimeoutError: no whole line until then.
            EOFError: stdout ended.
            WireError: the line is too long.
        """
        while True:
            end = self._received.find(b"\n", self._scanned)
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                self._scanned = 0
                return line
            self._scanned = len(self._received)
            if self._scanned > limit:
                raise WireError(f"a line longer than {limit} bytes")
            if self._stdout_ended:
                raise EOFError
            self._pump(deadline)

    def is_usable(self) -> bool:
        """Whether it still listens and has said nothing unasked."""
        return self.is_quiet(time.monotonic())

    def is_quiet(self, until: float) -> bool:
        """Whether it goes on listening until that moment of the monotonic clock and says nothing unasked."""
        try:
            while not self._stdout_ended and not self._received:
                self._pump(until)
        except TimeoutError:
            return not self._received
        return False

    def hear_last_words(self) -> None:
        """Collect what is left on stderr of a child whose stdout ended, for a moment at most."""
        deadline = time.monotonic() + _LAST_WORDS_S
        try:
            while self._selector.get_map():
                self._pump(deadline)
        except TimeoutError:
            pass
        self._wait(_LAST_WORDS_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child alone; safe from any thread."""
        self._process.send_signal(number)

    def stop(self, patience_s: float) -> None:
        """End it: stdin closed, then TERM, then KILL, `patience_s` seconds apart; then let go of it."""
        self._close_stdin()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._wait(patience_s):
                break
            self.signal(number)
        # Killed, but perhaps in an uninterruptible system call: not waited for any longer.
        self._wait(patience_s)
        self._selector.close()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()

    def _wait(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _pump(self, deadline: float) -> None:
        """Move whatever can be moved, waiting until `deadline` for the first byte."""
        ready = self._selector.select(max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        for key, _ in ready:
            if key.fd == self._stdin:
                self._write()
            elif key.fd == self._stdout:
                self._stdout_ended = self._read(self._stdout, self._received)
            else:
                self._read(self._stderr, self._errors)
                del self._errors[:-STDERR_TAIL_BYTES]

    def _read(self, descriptor: int, into: bytearray) -> bool:
        """Read once; returns whether the pipe has ended."""
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        into += data
        if not data:
            self._selector.unregister(descriptor)
        return not data

    def _write(self) -> None:
        try:
            sent = os.write(self._stdin, self._outgoing[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:
            sent = len(self._outgoing)  # Its stdout will end too, and that is what gets reported.
        del self._outgoing[:sent]
        if not self._outgoing:
            self._selector.unregister(self._stdin)

    def _close_stdin(self) -> None:
        if self._outgoing:
            self._outgoing.clear()
            self._selector.unregister(self._stdin)
        assert self._process.stdin is not None
        self._process.stdin.close()


def piped(argv: Sequence[str]) -> tuple[subprocess.Popen[bytes], tuple[int, int, int]]:
    """Start a program in a session of its own; the process, and its stdin, stdout and stderr, none of which blocks.

    Raises:
        OSError: it cannot be executed.
    """
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        argv, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe, close_fds=True, start_new_session=True
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    descriptors = (process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno())
    for descriptor in descriptors:
        os.set_blocking(descriptor, False)
    return process, descriptors
