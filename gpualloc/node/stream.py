"""Serves a `Server` on two file descriptors: requests in, one end record each, in order; pictures, once asked for."""

import os
import select
import threading
from collections import deque
from typing import Any

from gpualloc.node import check
from gpualloc.node.server import Server
from gpualloc.node.telling import ReaderGone, Telling
from gpualloc.node.wire import (
    BYE,
    MAX_LINE_BYTES,
    START_MARK,
    STREAM,
    WIRE_VERSION,
    Refused,
    WireError,
    answer,
    decode,
    encode,
    refusal,
)

WRITE_WAIT_S = 30.0
"""A reader that takes nothing for this long is gone."""

_CHANGING = ("do", "undo")
_FAREWELL = encode({"verb": BYE}).rstrip()
_PIPE_BUF = 4096
"""What a writable pipe takes without blocking."""


def serve(server: "Server", stdin_fd: int, stdout_fd: int, nonce: str, state_dir: "str | None" = None) -> "Telling":
    """Answer requests until stdin ends or nobody reads stdout any more.

    Returns as soon as no step is under way: a reading that hangs is left to die with the process, which the
    caller must end with `os._exit`.

    Args:
        server: what answers.
        stdin_fd: where requests come from.
        stdout_fd: where answers go.
        nonce: what marks the beginning of what belongs to this connection.
        state_dir: where is kept what nobody could be told; None keeps nothing.

    Returns:
        The stream: `keeps` says whether it is to go on without a connection.
    """
    session = _Session(server, stdout_fd, state_dir)
    try:
        _write(stdout_fd, ("%s %d %s\n" % (START_MARK, WIRE_VERSION, nonce)).encode("ascii"))
        threading.Thread(target=session.work, name="requests", daemon=True).start()
        _read_requests(stdin_fd, session)
    except ReaderGone:
        pass
    return session.finish()


class _Session:
    """The requests of one connection and the thread that works them off."""

    def __init__(self, server: "Server", stdout_fd: int, state_dir: "str | None") -> None:
        self._server = server
        self._stdout_fd = stdout_fd
        self._waiting: "deque[bytes]" = deque()
        self._arrived = threading.Condition()
        self._changing = False
        self._over = False
        self._writing = threading.Lock()
        self._telling = Telling(server, self._tell, state_dir)
        self.closed_fd, self._close_fd = os.pipe()

    def add(self, line: bytes) -> None:
        """Queue one request."""
        if line == _FAREWELL:
            self._telling.part()
            return
        with self._arrived:
            self._waiting.append(line)
            self._arrived.notify_all()

    def finish(self) -> "Telling":
        """Begin nothing more, and wait for the step under way, if there is one."""
        self._telling.stop()
        with self._arrived:
            self._over = True
            self._arrived.notify_all()
            while self._changing:
                self._arrived.wait()
        return self._telling

    def work(self) -> None:
        """Answer requests in order until the session is over (runs in its own thread)."""
        try:
            while True:
                line = self._next()
                if line is None:
                    return
                try:
                    self._tell(self._answer(line))
                finally:
                    with self._arrived:
                        self._changing = False
                        self._arrived.notify_all()
        except ReaderGone:
            return

    def _tell(self, record: "dict[str, Any]") -> None:
        """Write one record, whichever thread it comes from; raises ReaderGone, and ends the session then."""
        data = _encoded(record)
        with self._writing:
            try:
                _write(self._stdout_fd, data)
            except ReaderGone:
                os.write(self._close_fd, b"x")
                raise

    def _next(self) -> "bytes | None":
        with self._arrived:
            while not self._waiting and not self._over:
                self._arrived.wait()
            return None if self._over else self._waiting.popleft()

    def _answer(self, line: bytes) -> "dict[str, Any]":
        try:
            request = decode(line)
        except WireError as error:
            return refusal(None, "bad-request", str(error))
        with self._arrived:
            if self._over:
                return refusal(None, "failed", "the connection is over")
            self._changing = request.get("verb") in _CHANGING
        return self._paced(request) if request.get("verb") == STREAM else self._server.handle(request)

    def _paced(self, request: "dict[str, Any]") -> "dict[str, Any]":
        number = request.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            return refusal(None, "bad-request", "id is not a whole number")
        try:
            return answer(number, self._telling.pace(check.mapping(request.get("args"), "args")))
        except Refused as refused:
            return refusal(number, refused.reason, refused.message)


def _encoded(record: "dict[str, Any]") -> bytes:
    try:
        line = encode(record)
    except ValueError as error:
        return encode(refusal(record.get("id"), "failed", "the answer cannot be written as JSON: %s" % error))
    if len(line) > MAX_LINE_BYTES:
        return encode(refusal(record.get("id"), "failed", "the answer is longer than the wire allows"))
    return line


def _read_requests(stdin_fd: int, session: "_Session") -> None:
    pending = b""
    while True:
        readable, _, _ = select.select([stdin_fd, session.closed_fd], [], [])
        if session.closed_fd in readable:
            return
        data = os.read(stdin_fd, 65536)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            session.add(line)
        if len(pending) > MAX_LINE_BYTES:
            return


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            _, writable, _ = select.select([], [fd], [], WRITE_WAIT_S)
            if not writable:
                raise ReaderGone
            view = view[os.write(fd, view[:_PIPE_BUF]) :]
        except OSError as error:
            raise ReaderGone from error
