"""`ports.Watch` that asks: for nodes that answer and do not stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from gpualloc.model.inventory import Node, NodeState
from gpualloc.ports import Clock, WatchFigures

_SLICE_S = 0.2
"""Between two looks it is asked at least that often whether the watch was closed."""


class PolledWatch:
    """Looks at all its nodes each period, in a thread of its own.

    Args:
        look: looks once and yields each node as it answers or fails.
        every_s: seconds from the beginning of a look to the beginning of the next, of the nodes' world.
        clock: the clock of that world.
    """

    def __init__(self, look: Callable[[], Iterator[Node]], every_s: float, clock: Clock) -> None:
        self._clock = clock
        self._look = look
        self._every_s = every_s
        self._told: dict[str, Node] = {}
        self._states: dict[str, NodeState] = {}
        self._messages = 0
        self._arrived = threading.Condition()
        self._closed = threading.Event()
        self._error: BaseException | None = None
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def hear(self, timeout_s: float) -> Sequence[Node]:
        """The newest of each node that was looked at since the last call; raises what a look raised."""
        with self._arrived:
            self._arrived.wait_for(lambda: self._told or self._error or self._closed.is_set(), timeout_s)
            if self._error is not None:
                raise self._error
            told, self._told = self._told, {}
        return list(told.values())

    def late(self) -> Sequence[Node]:
        """Nothing: what is not asked for is not kept."""
        return ()

    def figures(self) -> WatchFigures:
        """How many nodes answer; bytes are not counted here."""
        with self._arrived:
            well = sum(state is NodeState.OK for state in self._states.values())
            return WatchFigures(well, 0, len(self._states) - well, 0, 0, self._messages, 0)

    def close(self) -> None:
        """Begin no further look; the one under way is not waited for."""
        self._closed.set()
        with self._arrived:
            self._arrived.notify_all()

    def _watch(self) -> None:
        try:
            while not self._closed.is_set():
                due_s = self._clock.now_s() + self._every_s
                for node in self._look():
                    if self._closed.is_set():
                        return
                    self._take(node)
                while not self._closed.is_set() and self._clock.now_s() < due_s:
                    self._clock.sleep(min(due_s - self._clock.now_s(), max(_SLICE_S, self._every_s / 20)))
        except Exception as error:  # noqa: BLE001 - raised again by `hear`
            with self._arrived:
                self._error = error
                self._arrived.notify_all()

    def _take(self, node: Node) -> None:
        with self._arrived:
            self._told[node.name] = node
            self._states[node.name] = node.state
            self._messages += 1
            self._arrived.notify_all()
