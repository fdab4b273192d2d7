"""One node that tells of itself: connecting, listening, noticing silence, connecting anew."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable

from msgspec import Struct, field

from gpualloc.adapters.backoff import BackOff
from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.handshake import MAX_NOISE_BYTES, Handshake
from gpualloc.adapters.link import Failure, Message
from gpualloc.adapters.streaming.channel import Channel, Dial
from gpualloc.adapters.streaming.lines import Lines
from gpualloc.adapters.streaming.pace import Pace
from gpualloc.adapters.streaming.sight import Sight
from gpualloc.model.inventory import NodeSpec, NodeState
from gpualloc.node.wire import BYE, START_MARK, STREAM, WireError, decode, encode, request

CONNECT_S = 20.0
"""Longest time from dialling to the first picture."""
CEILING_S = 30.0
"""Longest pause between two tries."""
STEADY_S = 5.0
"""A connection that lasted so long is a success: after it the next one is made at once."""
_SOON_S = 1.0
"""After a pause as short as this nobody need take a node for lost."""


class Counts(Struct):
    """What all streams of a watch did together."""

    received_bytes: int = 0
    sent_bytes: int = 0
    messages: int = 0
    resumed: int = 0
    connecting: int = 0
    streaming: int = 0


class Shared(Struct):
    """What the streams of one watch have in common."""

    pace: Pace
    gate: asyncio.Semaphore
    """Held while a connection is made: so many at once."""
    now_s: Callable[[], float]
    """Epoch seconds."""
    keep: str | None = None
    """As for `ports.Fleet.watch`."""
    counts: Counts = field(default_factory=Counts)


class NodeStream:
    """Keeps a session with one node for as long as it runs.

    Args:
        spec: the node as configured.
        dial: makes channels.
        sight: where what is heard goes.
        shared: what belongs to the watch.
    """

    def __init__(self, spec: NodeSpec, dial: Dial, sight: Sight, shared: Shared) -> None:
        self._spec = spec
        self._dial = dial
        self._sight = sight
        self._shared = shared
        self._back_off = BackOff(ceiling_s=CEILING_S)
        self._requests = 0

    async def run(self) -> None:
        """Connect and listen, again and again, until cancelled, or until the node turns out never to stream."""
        loop = asyncio.get_running_loop()
        while True:
            failure = await self._session()
            if failure.state is NodeState.NO_PYTHON:
                return
            self._back_off.failed(failure, loop.time())
            pause_s = self._back_off.left_s(loop.time())
            if pause_s < _SOON_S and self._sight.well:
                self._sight.interrupted(failure)
            else:
                self._sight.failed(failure)
            # Spread, so that nodes that went together do not come back together.
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))  # noqa: S311 - no secret

    async def _session(self) -> Failure:
        """One connection from its beginning to its end; returns why it ended."""
        nonce = os.urandom(8).hex()
        handshake = Handshake(nonce, self._dial.introduction)
        channel: Channel | None = None
        try:
            async with self._shared.gate:
                self._shared.counts.connecting += 1
                try:
                    async with asyncio.timeout(CONNECT_S):
                        opened = await self._dial.open(nonce)
                        if isinstance(opened, Failure):
                            return opened
                        channel = opened
                        lines = Lines(channel)
                        failure = await self._begin(channel, lines, handshake, nonce)
                finally:
                    self._shared.counts.connecting -= 1
            return failure or await self._listen(channel, lines)
        except TimeoutError:
            return _silent(handshake)
        except EOFError:
            assert channel is not None
            return await channel.ended(handshake.last_mark)
        except (WireError, MalformedError) as error:
            return Failure(NodeState.FAILED, f"it sent {error}")
        except Exception as error:  # noqa: BLE001 - one node must not take the sight of all others away
            return Failure(NodeState.FAILED, f"gpualloc itself failed on it: {type(error).__name__}: {error}")
        except asyncio.CancelledError:
            if channel is not None:
                channel.write(encode({"verb": BYE}))
            raise
        finally:
            if channel is not None:
                await channel.close()

    async def _begin(self, channel: Channel, lines: Lines, handshake: Handshake, nonce: str) -> Failure | None:
        """Until the first picture is there; or why there is none."""
        self._send(channel, self._dial.introduction.greeting(nonce))
        while not handshake.done:
            reply = handshake.hear(await lines.next(MAX_NOISE_BYTES))
            if isinstance(reply, Failure):
                return reply
            self._send(channel, reply)
        self._set_pace(channel)
        self._sight.begin()
        while not self._sight.well:
            self._take(decode(await lines.next()), lines)
        self._shared.counts.resumed += self._back_off.count > 0
        return None

    async def _listen(self, channel: Channel, lines: Lines) -> Failure:
        pace, now_s = self._shared.pace, asyncio.get_running_loop().time
        self._shared.counts.streaming += 1
        silent_s, steady_at_s = 0.0, now_s() + STEADY_S
        try:
            while True:
                wait_s = pace.dead_s - pace.stale_s if silent_s else pace.stale_s
                try:
                    async with asyncio.timeout(wait_s):
                        line = await lines.next()
                except TimeoutError:
                    if silent_s:
                        return Failure(NodeState.HUNG, f"the node program said nothing for {pace.dead_s:.0f} s")
                    silent_s = wait_s
                    self._sight.silent()
                    continue
                silent_s = 0.0
                self._take(decode(line), lines)
                if self._back_off.count and now_s() >= steady_at_s:
                    self._back_off.succeeded()
                if pace.drifted(self._shared.now_s()):
                    self._set_pace(channel)
        finally:
            self._shared.counts.streaming -= 1

    def _take(self, record: Message, lines: Lines) -> None:
        counts = self._shared.counts
        counts.messages += 1
        counts.received_bytes += lines.taken_bytes
        lines.taken_bytes = 0
        if "id" not in record:
            self._sight.take(record)
        elif "error" in record:
            raise MalformedError(f"a refusal to tell of itself: {str(record['error'])[:200]}")

    def _set_pace(self, channel: Channel) -> None:
        pace = self._shared.pace
        self._requests += 1
        args: Message = {"every_s": pace.every_s, "delay_s": pace.delay_s(self._spec.name, self._shared.now_s())}
        if self._shared.keep is not None and self._spec.keep_s > 0:
            args["keep"] = {"controller": self._shared.keep, "for_s": self._spec.keep_s}
        self._send(channel, encode(request(self._requests, STREAM, args)))

    def _send(self, channel: Channel, data: bytes) -> None:
        self._shared.counts.sent_bytes += len(data)
        channel.write(data)


def _silent(handshake: Handshake) -> Failure:
    where = "the node program" if handshake.last_mark == START_MARK else "the login or the start of the node program"
    return Failure(NodeState.HUNG, f"{where} did not answer in time")
