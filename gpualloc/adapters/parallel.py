"""Many blocking calls at once, answers as they come, nobody waited for at the end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")


def run_each(work: Callable[[_T], _R], items: Sequence[_T], width: int) -> Iterator[_R]:
    """Call `work` on every item in at most `width` threads; yield results as they come.

    `work` must not raise. A caller that stops iterating leaves the calls under way to their own deadlines.
    """
    if len(items) <= 1:
        yield from map(work, items)
        return
    waiting = deque(items)
    results: SimpleQueue[_R] = SimpleQueue()

    def take() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            results.put(work(item))

    for number in range(min(width, len(items))):
        # Daemons, so that a node that hangs cannot keep the process from ending.
        threading.Thread(target=take, name=f"node-{number}", daemon=True).start()
    try:
        for _ in items:
            yield results.get()
    finally:
        waiting.clear()
