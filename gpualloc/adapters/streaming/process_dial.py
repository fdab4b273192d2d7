"""Channels over the pipes of a child process: the node program itself, or an ssh that leads to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

from gpualloc.adapters.child import STDERR_TAIL_BYTES, piped
from gpualloc.adapters.link import Failure
from gpualloc.adapters.pipe_link import Launch
from gpualloc.adapters.streaming.blocking import in_thread
from gpualloc.model.inventory import NodeState

_CHUNK_BYTES = 256 * 1024
_PATIENCE_S = 0.25
"""Between closing stdin, TERM and KILL."""
_POLL_S = 0.02


class ProcessDial:
    """Starts a child for each channel.

    Args:
        launch: how it is started and what it says.
    """

    def __init__(self, launch: Launch) -> None:
        self.introduction = launch
        self._launch = launch

    async def open(self, nonce: str) -> ProcessChannel | Failure:
        """Start the child; see `Dial.open`."""
        # Finding out the command may ask other programs, such as sudo.
        argv = await in_thread(lambda: self._launch.argv(nonce))
        try:
            return ProcessChannel(argv, self._launch)
        except OSError as error:
            return Failure(NodeState.FAILED, f"{argv[0]} cannot be run: {error.strerror}")


class ProcessChannel:
    """`Channel` over a child process in a session of its own; made and used in the event loop.

    Raises:
        OSError: the program cannot be executed.
    """

    def __init__(self, argv: Sequence[str], launch: Launch) -> None:
        self._launch = launch
        self._process, (self._stdin, self._stdout, self._stderr) = piped(argv)
        self._loop = asyncio.get_running_loop()
        self._outgoing = bytearray()
        self._errors = bytearray()
        self._closed = False
        self._loop.add_reader(self._stderr, self._take_errors)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    async def read(self) -> bytes:
        """See `Channel.read`."""
        while not self._closed:
            try:
                return os.read(self._stdout, _CHUNK_BYTES)
            except BlockingIOError:
                await self._readable()
        return b""

    def write(self, data: bytes) -> None:
        """See `Channel.write`."""
        if self._closed or not data:
            return
        if not self._outgoing:
            self._loop.add_writer(self._stdin, self._send)
        self._outgoing += data

    async def ended(self, last_mark: str | None) -> Failure:
        """See `Channel.ended`."""
        await self._exited(_PATIENCE_S)
        self._take_errors()
        return self._launch.failure(self._process.poll(), self._errors.decode("utf-8", "replace"), last_mark)

    async def close(self) -> None:
        """See `Channel.close`."""
        if self._closed:
            return
        if self._outgoing:
            self._send()
        self._closed = True
        self._loop.remove_writer(self._stdin)
        assert self._process.stdin
        self._process.stdin.close()
        for number in (signal.SIGTERM, signal.SIGKILL):
            if await self._exited(_PATIENCE_S):
                break
            self._process.send_signal(number)
        # Killed, but perhaps in an uninterruptible system call: not waited for any longer.
        await self._exited(_PATIENCE_S)
        for descriptor, pipe in ((self._stdout, self._process.stdout), (self._stderr, self._process.stderr)):
            self._loop.remove_reader(descriptor)
            assert pipe
            pipe.close()

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._stdout, _settle, ready)
        try:
            await ready
        finally:
            if not self._closed:
                self._loop.remove_reader(self._stdout)

    async def _exited(self, within_s: float) -> bool:
        until_s = self._loop.time() + within_s
        while self._process.poll() is None:
            if self._loop.time() >= until_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def _send(self) -> None:
        try:
            sent = os.write(self._stdin, self._outgoing[:_CHUNK_BYTES])
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._outgoing)  # Its stdout will end too, and that is what gets reported.
        del self._outgoing[:sent]
        if not self._outgoing:
            self._loop.remove_writer(self._stdin)

    def _take_errors(self) -> None:
        try:
            data = os.read(self._stderr, _CHUNK_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._loop.remove_reader(self._stderr)
        self._errors += data
        del self._errors[:-STDERR_TAIL_BYTES]


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
