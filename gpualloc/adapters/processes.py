"""Work that computes, in processes beside each other; results as they come."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnContext
from typing import Generic, TypeVar, cast

from gpualloc.errors import GpuallocError

_T = TypeVar("_T")
_R = TypeVar("_R")


def run_in_processes(work: Callable[[_T], _R], items: Sequence[_T], width: int) -> Iterator[_R]:
    """Call `work` on every item in at most `width` processes; yield results as they come.

    What `work` raises is raised here. A caller that stops iterating, or is interrupted, ends the processes at once.

    Args:
        work: can be pickled, as its items and results can; it is sent to each process once.
        items: what to call it on.
        width: how many processes; with one, or a single item, the work is done here.

    Raises:
        GpuallocError: a process ended before its work was done.
    """
    width = min(width, len(items))
    if width <= 1:
        yield from map(work, items)
        return
    context = multiprocessing.get_context("spawn")
    waiting = deque(items)
    hands = {hand.pipe: hand for hand in (_Hand(context, work) for _ in range(width))}
    try:
        for hand in hands.values():
            hand.give(waiting.popleft())
        for _ in items:
            hand = hands[cast("Connection", wait(list(hands))[0])]
            yield hand.take()
            if waiting:
                hand.give(waiting.popleft())
            else:
                del hands[hand.pipe]
                hand.end()
    finally:
        for hand in hands.values():
            hand.end()


class _Hand(Generic[_T, _R]):
    """One process that works on what it is given."""

    def __init__(self, context: SpawnContext, work: Callable[[_T], _R]) -> None:
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, item: _T) -> None:
        """Let it work on the item."""
        try:
            self.pipe.send(item)
        except OSError as error:
            raise self._lost() from error

    def take(self) -> _R:
        """What came of it; raises what the work raised."""
        try:
            result, error = self.pipe.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if error is not None:
            raise error
        return cast("_R", result)

    def _lost(self) -> GpuallocError:
        self._process.join()
        return GpuallocError(
            f"a process ended before its work was done (exit status {self._process.exitcode})",
            hint="-9 is most often too little memory: fewer processes with --jobs",
        )

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.terminate()
        self._process.join()
        self._process.close()
        self.pipe.close()


def _serve(pipe: Connection, work: Callable[[_T], _R]) -> None:
    """The other side: works until nobody is there any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((work(item), None))
        except Exception as error:  # noqa: BLE001  raised again by the one who waits for the result
            pipe.send((None, error))
