"""Lines out of a channel, bounded, and counted."""

from __future__ import annotations

from collections import deque

from gpualloc.adapters.streaming.channel import Channel
from gpualloc.node.wire import MAX_LINE_BYTES, WireError


class Lines:
    """The lines that come over a channel. Waiting for one may be cancelled; nothing is lost by it.

    Args:
        channel: where they come from.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._whole: deque[bytes] = deque()
        self._rest = bytearray()
        self.taken_bytes = 0
        """How many bytes came."""

    async def next(self, limit: int = MAX_LINE_BYTES) -> bytes:
        """The next line without its end.

        Raises:
            WireError: it is longer than `limit`.
            EOFError: there will be none any more.
        """
        while not self._whole:
            data = await self._channel.read()
            if not data:
                raise EOFError
            self.taken_bytes += len(data)
            *whole, rest = data.split(b"\n")
            if whole:
                whole[0] = bytes(self._rest) + whole[0]
                self._rest.clear()
                self._whole.extend(whole)
            self._rest += rest
            if len(self._rest) > limit:
                raise WireError(f"a line longer than {limit} bytes")
        return self._whole.popleft()
