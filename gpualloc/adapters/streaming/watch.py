"""`ports.Watch` over streams: one event loop in a thread of its own for all nodes."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec import Struct

from gpualloc.adapters.streaming.blocking import in_thread
from gpualloc.adapters.streaming.channel import Dial
from gpualloc.adapters.streaming.pace import Pace
from gpualloc.adapters.streaming.sight import Sight
from gpualloc.adapters.streaming.stream import Counts, NodeStream, Shared
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.ports import WatchFigures

_SPREAD_PER_NODE_S = 0.01
_MAX_SPREAD_S = 1.0
"""First connections are begun over so long at most."""
_CLOSE_S = 0.9
_MIN_POLL_S = 1.0


class Watched(Struct, frozen=True):
    """One node of a watch."""

    spec: NodeSpec
    dial: Callable[[], Dial] | None
    """Makes what makes channels, called in the loop; None for a node that is only ever asked."""
    look: Callable[[], Node]
    """Asks the node once and blocks meanwhile: for those that cannot stream."""


class StreamWatch:
    """Holds a session with each node and keeps the newest of each, however slowly it is read.

    Args:
        nodes: what is watched.
        every_s: how often each node tells of itself, seconds.
        now_s: epoch seconds.
        width: most connections made at once.
        keep: as for `ports.Fleet.watch`.
    """

    def __init__(
        self,
        nodes: Sequence[Watched],
        every_s: float,
        now_s: Callable[[], float],
        width: int = 32,
        keep: str | None = None,
    ) -> None:
        self._nodes = nodes
        self._keep = keep
        self._pace = Pace(every_s)
        self._now_s = now_s
        self._width = width
        self._arrived = threading.Condition()
        self._news: dict[str, Sight] = {}
        self._sights = {one.spec.name: Sight(one.spec, now_s, self._tell) for one in nodes}
        self._counts = Counts()
        self._error: BaseException | None = None
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._all: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._thread.start()

    def hear(self, timeout_s: float) -> Sequence[Node]:
        """The newest of each node of which there is news since the last call; see `ports.Watch.hear`.

        Raises:
            RuntimeError: the loop ended by a fault of its own.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: self._news or self._closed or self._error, timeout_s)
            if self._error is not None:
                raise RuntimeError("watching ended by itself") from self._error
            news, self._news = self._news, {}
        return [sight.node() for sight in news.values()]

    def late(self) -> Sequence[Node]:
        """See `ports.Watch.late`."""
        return [node for sight in self._sights.values() for node in sight.late()] if self._keep is not None else ()

    def figures(self) -> WatchFigures:
        """What it costs and how it goes."""
        counts = self._counts
        states = [sight.state for sight in self._sights.values()]
        failing = sum(state not in (NodeState.OK, NodeState.STALE) for state in states)
        return WatchFigures(
            streaming=counts.streaming,
            connecting=counts.connecting,
            failing=failing,
            received_bytes=counts.received_bytes,
            sent_bytes=counts.sent_bytes,
            messages=counts.messages,
            resumed=counts.resumed,
        )

    def close(self) -> None:
        """Let go of every node within a second."""
        with self._arrived:
            if self._closed:
                return
            self._closed = True
            self._arrived.notify_all()
        with suppress(RuntimeError):  # The loop is over already, by a fault that `hear` tells.
            self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(_CLOSE_S)

    def _cancel(self) -> None:
        if self._all is not None:
            self._all.cancel()

    def _tell(self, sight: Sight) -> None:
        with self._arrived:
            self._news[sight.spec.name] = sight
            self._arrived.notify_all()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._all = self._loop.create_task(self._watch())
            self._loop.run_until_complete(self._all)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again by `hear`
            with self._arrived:
                self._error = error
                self._arrived.notify_all()
        finally:
            self._loop.close()

    async def _watch(self) -> None:
        shared = Shared(self._pace, asyncio.Semaphore(self._width), self._now_s, self._keep, self._counts)
        asking = asyncio.Semaphore(self._width)
        async with asyncio.TaskGroup() as group:
            for one in self._nodes:
                group.create_task(self._one(one, shared, asking))

    async def _one(self, one: Watched, shared: Shared, asking: asyncio.Semaphore) -> None:
        sight = self._sights[one.spec.name]
        spread_s = min(_MAX_SPREAD_S, _SPREAD_PER_NODE_S * (len(self._nodes) - 1))
        await asyncio.sleep(random.uniform(0, spread_s))  # noqa: S311 - no secret
        if one.dial is not None:
            await NodeStream(one.spec, one.dial(), sight, shared).run()
        await self._ask(one, sight, asking)

    async def _ask(self, one: Watched, sight: Sight, asking: asyncio.Semaphore) -> None:
        """For a node that does not stream: ask it once a period."""
        every_s = max(self._pace.every_s, _MIN_POLL_S)
        while True:
            async with asking:
                began_s = self._loop.time()
                sight.put(await in_thread(one.look))
            await asyncio.sleep(max(0.1, every_s - (self._loop.time() - began_s)))
