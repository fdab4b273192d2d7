"""Many calculations at once, each in one of a few processes; answers as they come.

A process gets the function once and then its arguments, one at a time. It ends when its pipe closes, so none outlives
the command, however that ends.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Any, Generic, TypeVar

from gpualloc.errors import GpuallocError

_T = TypeVar("_T")
_R = TypeVar("_R")


class Workers(Generic[_T, _R]):
    """Calls one function on many arguments in a number of processes of their own. A context manager."""

    def __init__(self, work: Callable[[_T], _R], jobs: int) -> None:
        """Make ready; nothing is started before the first call.

        Args:
            work: what can be sent to another process, as what it takes and gives can.
            jobs: how many processes; with one it is called here.
        """
        self._work = work
        self._jobs = jobs
        self._pipes: list[Connection[Any, Any]] = []
        self._processes: list[SpawnProcess] = []

    def __enter__(self) -> Workers[_T, _R]:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes, whatever they are at."""
        self._end()

    def __call__(self, items: Sequence[_T]) -> Iterator[tuple[int, _R]]:
        """Yield the place of each item with what came of it, in the order in which they are done.

        What the function raises is raised here. Work that a caller does not wait for ends with the processes.

        Raises:
            GpuallocError: a process ended by itself, such as for want of memory.
        """
        if self._jobs <= 1:
            for place, item in enumerate(items):
                yield place, self._work(item)
            return
        if not self._pipes:
            self._pipes = [self._begin() for _ in range(self._jobs)]
        waiting = iter(enumerate(items))
        busy: dict[Connection[Any, Any], int] = {}
        try:
            for pipe, (place, item) in zip(self._pipes, waiting, strict=False):
                _send(pipe, item)
                busy[pipe] = place
            while busy:
                for ready in wait(list(busy)):
                    assert isinstance(ready, Connection)
                    place = busy.pop(ready)
                    found = _received(ready)
                    follower = next(waiting, None)
                    if follower is not None:
                        busy[ready] = follower[0]
                        _send(ready, follower[1])
                    yield place, found
        finally:
            if busy:
                # What is still under way would be taken for an answer to the next call.
                self._end()

    def _begin(self) -> Connection[Any, Any]:
        ours, theirs = multiprocessing.Pipe()
        # Spawned, since a fork would copy locks that threads of ours may hold.
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(theirs, self._work), name="worker", daemon=True
        )
        # The terminal's interrupt is for the command that waits, also while they start.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._processes.append(process)
        return ours

    def _end(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.terminate()
            process.join()
            process.close()
        self._pipes, self._processes = [], []


def _send(pipe: Connection[Any, Any], item: object) -> None:
    try:
        pipe.send(item)
    except OSError as error:
        raise _ended() from error


def _received(pipe: Connection[Any, Any]) -> Any:
    try:
        found, error = pipe.recv()
    except (EOFError, OSError) as gone:
        raise _ended() from gone
    if error is not None:
        raise error
    return found


def _ended() -> GpuallocError:
    return GpuallocError(
        "a process that calculated ended by itself", hint="was it killed for want of memory? fewer --jobs need less"
    )


def _serve(pipe: Connection[Any, Any], work: Callable[[Any], Any]) -> None:
    """What a process does: answer until the pipe closes."""
    while True:
        try:
            item = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[object, Exception | None] = work(item), None
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answer = None, error
        try:
            pipe.send(answer)
        except BrokenPipeError:
            return
