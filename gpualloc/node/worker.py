"""A thread that makes calls which may never return, so that its caller can give up on them."""

import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Hung(Exception):
    """The call did not return in time; `for_s` seconds have passed since it was made."""

    def __init__(self, for_s: float) -> None:
        super().__init__("since %d s" % for_s)
        self.for_s = for_s


class Job:
    """One call under way in a worker."""

    def __init__(self, function: "Callable[[], Any]") -> None:
        self._function = function
        self._done = threading.Event()
        self._result: Any = None
        self._error: "BaseException | None" = None
        self.started_s = time.monotonic()

    def run(self) -> None:
        """Make the call and keep what came of it."""
        try:
            self._result = self._function()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is raised again by `result`
            self._error = error
        self._done.set()

    def result(self, until_s: float) -> Any:
        """What the call returned or raised; raises Hung when it lasts beyond `until_s` (monotonic)."""
        if not self._done.wait(max(0.0, until_s - time.monotonic())):
            raise Hung(time.monotonic() - self.started_s)
        if self._error is not None:
            raise self._error
        return self._result

    @property
    def running(self) -> bool:
        """Whether the call has not returned yet."""
        return not self._done.is_set()


class Worker:
    """Makes one call at a time in a thread of its own; while one hangs, no other is begun."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._given = threading.Condition()
        self._next: "Job | None" = None
        self._current: "Job | None" = None
        self._thread: "threading.Thread | None" = None

    def begin(self, function: "Callable[[], Any]") -> "Job":
        """Start a call, or find the one that still hangs: its `result` then raises Hung at once."""
        with self._given:
            if self._current is not None and self.busy:
                return _Blocked(self._current)
            self._current = self._next = Job(function)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
            self._given.notify()
            return self._current

    @property
    def busy(self) -> bool:
        """Whether a call is under way that has not returned yet."""
        return self._current is not None and self._current.running

    def _work(self) -> None:
        while True:
            with self._given:
                while self._next is None:
                    self._given.wait()
                job, self._next = self._next, None
            job.run()


def apart(name: str, function: "Callable[[], Any]") -> "Job":
    """Make one call in a thread that ends with it."""
    job = Job(function)
    threading.Thread(target=job.run, name=name, daemon=True).start()
    return job


class _Blocked(Job):
    """A call that was not made, because an earlier one has not returned."""

    def __init__(self, earlier: "Job") -> None:
        super().__init__(lambda: None)
        self.started_s = earlier.started_s

    def result(self, until_s: float) -> Any:  # noqa: ARG002 - there is nothing to wait for
        """Raises Hung."""
        raise Hung(time.monotonic() - self.started_s)
