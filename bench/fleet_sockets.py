"""Ways to the nodes of `fleet_nodes`, over unix sockets: no process and no encryption between."""

from __future__ import annotations

import asyncio

from gpualloc.adapters.link import Failure
from gpualloc.model.inventory import NodeState


class SocketDial:
    """A way to one node."""

    def __init__(self, path: str, number: int, manner: str) -> None:
        self.introduction = self
        self._path = path
        self._number = number
        self._manner = manner

    def greeting(self, nonce: str) -> bytes:
        return f"{nonce} {self._number} {self._manner}\n".encode("ascii")

    def reply(self, word: str, detail: str) -> bytes:  # noqa: ARG002 - of the protocol
        return b""

    async def open(self, nonce: str) -> SocketChannel | Failure:  # noqa: ARG002 - as above
        loop = asyncio.get_running_loop()
        try:
            _, channel = await loop.create_unix_connection(SocketChannel, self._path)
        except OSError as error:
            return Failure(NodeState.UNREACHABLE, str(error.strerror))
        return channel


class SocketChannel(asyncio.Protocol):
    """`Channel` over a socket."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False
        self._news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._news.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        self._ended = True
        self._news.set()

    async def read(self) -> bytes:
        while not self._data and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._data)
        self._data.clear()
        return data

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    async def ended(self, last_mark: str | None) -> Failure:  # noqa: ARG002 - as above
        return Failure(NodeState.UNREACHABLE, "the connection was lost")

    async def close(self) -> None:
        self._transport.close()
