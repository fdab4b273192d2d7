"""A session of asyncssh as a channel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Callable

import asyncssh

from gpualloc.adapters.child import STDERR_TAIL_BYTES
from gpualloc.adapters.link import Failure
from gpualloc.adapters.pipe_link import Launch

SSH_FAILED = 255
"""What ssh ends with when the connection failed, and not what ran over it."""
WINDOW_BYTES = 256 * 1024
"""Most that a node may send before it is read."""
_PATIENCE_S = 0.25


class Session(asyncssh.SSHClientSession[bytes]):
    """What came from a command and was not read yet."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.errors = bytearray()
        self.status: int | None = None
        self.over = False
        self.error: Exception | None = None
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._gone = asyncio.Event()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The command is about to start."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Output came."""
        if datatype == asyncssh.EXTENDED_DATA_STDERR:
            self.errors += data
            del self.errors[:-STDERR_TAIL_BYTES]
            return
        self.received += data
        if len(self.received) >= WINDOW_BYTES and self._channel is not None:
            self._channel.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        """No more output will come; its input stays open."""
        self.over = True
        self._wake()
        return True

    def exit_status_received(self, status: int) -> None:
        """The command ended."""
        self.status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002
        """The command was ended."""
        self.errors += f"ended by signal {signal}\n".encode("ascii", "replace")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing can come any more; with an error when that was not the command's doing."""
        self.over, self.error = True, exc
        self._gone.set()
        self._wake()

    async def read(self) -> bytes:
        """What came since the last call; waits for the first byte; empty at the end."""
        while not self.received and not self.over:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        data, self.received = bytes(self.received), bytearray()
        if len(data) >= WINDOW_BYTES and self._channel is not None:
            self._channel.resume_reading()
        return data

    async def gone(self) -> None:
        """Wait until nothing more can come, for a moment at most."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _PATIENCE_S)

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class AsyncSshChannel:
    """`Channel` over a session of asyncssh."""

    def __init__(
        self,
        channel: asyncssh.SSHClientChannel[bytes],
        session: Session,
        launch: Launch,
        let_go: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._session = session
        self._launch = launch
        self._let_go = let_go

    async def read(self) -> bytes:
        """See `Channel.read`."""
        return await self._session.read()

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        with contextlib.suppress(OSError):
            self._channel.write(data)

    async def ended(self, last_mark: str | None) -> Failure:
        """See `Channel.ended`."""
        await self._session.gone()
        stderr = self._session.errors.decode("utf-8", "replace")
        error = self._session.error
        if error is not None:
            return self._launch.failure(SSH_FAILED, words(error), last_mark)
        return self._launch.failure(self._session.status, stderr, last_mark)

    async def close(self) -> None:
        """See `Channel.close`."""
        # The far end sees the end of its input first, as it would from ssh.
        with contextlib.suppress(OSError):
            self._channel.write_eof()
        self._channel.close()
        await self._session.gone()
        self._let_go()


def words(error: Exception) -> str:
    """What an error says, in the words that ssh has for it."""
    if isinstance(error, TimeoutError):
        return "Connection timed out"
    number = re.search(r"\[Errno ([0-9]+)\]", str(error))
    if number is not None:
        return os.strerror(int(number[1]))
    return str(error) or type(error).__name__
