"""Ways to the nodes of `fleet_nodes`, over unix sockets: no process and no encryption between."""

from __future__ import annotations

import asyncio
import contextlib
import socket

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
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, self._path)
        except OSError as error:
            connection.close()
            return Failure(NodeState.UNREACHABLE, str(error.strerror))
        return SocketChannel(connection)


class SocketChannel:
    """`Channel` over a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    async def read(self) -> bytes:
        with contextlib.suppress(OSError):
            return await asyncio.get_running_loop().sock_recv(self._connection, 262_144)
        return b""

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._connection.send(data)

    async def ended(self, last_mark: str | None) -> Failure:  # noqa: ARG002 - as above
        return Failure(NodeState.UNREACHABLE, "the connection was lost")

    async def close(self) -> None:
        self._connection.close()
