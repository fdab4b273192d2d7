"""The clock, and who does pieces of work beside each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """Wall time of the world that is looked at; simulated worlds have their own."""

    def now_s(self) -> float:
        """Epoch seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that many seconds of this clock pass."""
        ...


class Crew(Protocol):
    """Does pieces of work beside each other; what they tell is heard by one caller, in the order told.

    A context: its end waits for the work under way.
    """

    def __enter__(self) -> Crew:
        """Itself."""
        ...

    def __exit__(self, *_error: object) -> None:
        """Wait for the work under way."""
        ...

    def begin(self, work: Callable[[Callable[[object], None]], None]) -> None:
        """Begin a piece of work; it is given a function that tells the one who hears."""
        ...

    def hear(self) -> object:
        """Wait for what is told next; raises what a piece of work raised."""
        ...
