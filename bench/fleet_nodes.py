"""Many nodes in one process, behind one unix socket: `python bench/fleet_nodes.py SOCKET FILM... `.

Whoever connects says which node it wants (`<nonce> <number> <manner>`) and then speaks the wire with it. Manners:
`well`; `hung`, which says nothing any more after its first picture; `flapping`, which cuts the connection every 20 s.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from fleet_player import Player  # found beside this file

from gpualloc.node.wire import START_MARK, WIRE_VERSION

FLAP_S = 20.0


class Node(asyncio.Protocol):
    """One connection to one node."""

    def __init__(self, films: list[dict[str, object]]) -> None:
        self._films = films
        self._player: Player | None = None
        self._manner = ""
        self._pending = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            if self._player is None:
                self._greet(line.decode("ascii"))
                continue
            self._transport.write(self._player.answer(line, time.time()))
            if self._manner != "hung" and self._player.due_s is not None:
                self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the protocol
        if self._timer is not None:
            self._timer.cancel()

    def _greet(self, line: str) -> None:
        nonce, number, self._manner = line.split()
        self._player = Player(self._films[int(number) % len(self._films)], int(number))
        self._transport.write(f"{START_MARK} {WIRE_VERSION} {nonce}\n".encode("ascii"))
        if self._manner == "flapping":
            asyncio.get_running_loop().call_later(FLAP_S, self._transport.abort)

    def _set_timer(self) -> None:
        assert self._player is not None
        if self._timer is not None:
            self._timer.cancel()
        wait_s = max(0.0, self._player.due_s - time.time())
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._tell)

    def _tell(self) -> None:
        assert self._player is not None
        self._transport.write(self._player.change(time.time()))
        self._set_timer()


async def serve(path: str, films: list[dict[str, object]]) -> None:
    server = await asyncio.get_running_loop().create_unix_server(lambda: Node(films), path, backlog=1024)
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], [json.loads(Path(path).read_text()) for path in sys.argv[2:]]))
