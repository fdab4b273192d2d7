"""Questions that may block, each answered in a thread, so that no key ever waits for a disk or a node."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Struct
from textual.message import Message

from gpualloc.errors import GpuallocError
from gpualloc.tui.messages import Crashed

T = TypeVar("T")


class Answered(Message):
    """A question was answered, or could not be: what is to be done with it, by whoever receives this."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self.tell = tell


class _Lane(Struct):
    """Questions of one kind: one is being answered, and the newest one waits."""

    busy: bool = False
    waiting: Callable[[], None] | None = None


class Desk:
    """Answers questions in threads that nobody ever waits for, not even at the exit.

    Args:
        post: takes a message from any thread; whoever receives `Answered` calls its `tell` in its own thread.
    """

    def __init__(self, post: Callable[[Message], object]) -> None:
        self._post = post
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}

    def ask(
        self,
        lane: str,
        question: Callable[[], T],
        then: Callable[[T], None],
        wrong: Callable[[GpuallocError], None],
    ) -> None:
        """Have a question answered.

        Args:
            lane: questions of one lane are answered one after the other; of those that wait only the newest is.
            question: may block, runs in a thread of its own.
            then: gets the answer, in the thread that receives the messages.
            wrong: gets the error of a question that could not be answered, likewise.
        """
        with self._lock:
            place = self._lanes.setdefault(lane, _Lane())
            work = self._work(lane, question, then, wrong)
            if place.busy:
                place.waiting = work
                return
            place.busy = True
        self._begin(lane, work)

    def busy(self, lane: str) -> bool:
        """Whether a question of the lane is being answered."""
        with self._lock:
            return lane in self._lanes and self._lanes[lane].busy

    def tell(self, what: Callable[[], None]) -> None:
        """Have something done in the thread that receives the messages; from any thread, such as a running question."""
        self._post(Answered(what))

    def _work(
        self, lane: str, question: Callable[[], T], then: Callable[[T], None], wrong: Callable[[GpuallocError], None]
    ) -> Callable[[], None]:
        def work() -> None:
            found: Any
            try:
                found = question()
            except GpuallocError as error:
                caught = error
                self.tell(lambda: wrong(caught))
            except Exception as error:  # noqa: BLE001 (outer guard of the thread: handed over, raised again by run_top)
                self._post(Crashed(error))
                return
            else:
                self.tell(lambda: then(found))
            self._next(lane)

        return work

    def _next(self, lane: str) -> None:
        with self._lock:
            place = self._lanes[lane]
            work, place.waiting = place.waiting, None
            place.busy = work is not None
        if work is not None:
            self._begin(lane, work)

    def _begin(self, lane: str, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name=f"desk-{lane}", daemon=True).start()
