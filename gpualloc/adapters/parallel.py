"""Many blocking calls at once, answers as they come, nobody waited for at the end."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from queue import SimpleQueue
from typing import TypeVar, cast

_T = TypeVar("_T")
_R = TypeVar("_R")


def run_each(work: Callable[[_T], _R], items: Sequence[_T], width: int) -> Iterator[_R]:
    """Call `work` on every item in at most `width` threads, or in the caller's own for 1; yield results as they come.

    What `work` raises is raised here, in its turn. A caller that stops iterating leaves the calls under way to their
    own deadlines.
    """
    if min(len(items), width) <= 1:
        yield from map(work, items)
        return
    waiting = deque(items)
    outcomes: SimpleQueue[tuple[_R, None] | tuple[None, BaseException]] = SimpleQueue()

    def take() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                outcomes.put((work(item), None))
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                outcomes.put((None, error))

    for number in range(min(width, len(items))):
        # Daemons, so that a node that hangs cannot keep the process from ending.
        threading.Thread(target=take, name=f"node-{number}", daemon=True).start()
    try:
        for _ in items:
            result, error = outcomes.get()
            if error is not None:
                raise error
            yield cast(_R, result)
    finally:
        waiting.clear()
