"""Pieces of work beside each other, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class ThreadCrew:
    """`ports.Crew` with a thread for each piece of work."""

    def __init__(self) -> None:
        self._told: SimpleQueue[object] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> ThreadCrew:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Wait for the work under way."""
        for thread in self._threads:
            thread.join()

    def begin(self, work: Callable[[Callable[[object], None]], None]) -> None:
        """Begin a piece of work."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        # A daemon, so that a node that hangs cannot keep an interrupted process from ending.
        thread = threading.Thread(target=self._do, args=(work,), name="steps", daemon=True)
        self._threads.append(thread)
        thread.start()

    def hear(self) -> object:
        """Wait for what is told next; raises what a piece of work raised."""
        told = self._told.get()
        if isinstance(told, _Raised):
            raise told.error
        return told

    def _do(self, work: Callable[[Callable[[object], None]], None]) -> None:
        try:
            work(self._told.put)
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._told.put(_Raised(error))


class _Raised:
    """Carries what a piece of work raised to the one who hears."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
