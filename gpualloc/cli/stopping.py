"""Ending a command that runs until it is told to stop, between two of its rounds rather than inside one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.cli.outcome import INTERRUPTED

if TYPE_CHECKING:
    from gpualloc.engine.context import Context


class Stop(Struct):
    """Whether a signal asked for the end."""

    exit_code: int | None = None
    consulted: bool = False
    """Whether anybody asked."""

    def asked(self) -> bool:
        """Whether to stop now."""
        self.consulted = True
        return self.exit_code is not None


@contextmanager
def as_interrupt(number: signal.Signals) -> Iterator[None]:
    """Let the signal interrupt like INT does."""
    before = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def on_signal() -> Iterator[Stop]:
    """Let TERM (exit code 0, as for a service) and INT (130) ask for the end; a second INT interrupts at once."""
    stop = Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        stop.exit_code = INTERRUPTED if number == signal.SIGINT else 0

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def between_steps() -> Iterator[Stop]:
    """Let INT and TERM end an apply between two steps; a second one ends the process at once, as a kill would.

    Before the apply asks for the first time whether to stop, nothing is under way, and a signal interrupts.
    """
    stop = Stop()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.exit_code is not None:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        stop.exit_code = INTERRUPTED
        if not stop.consulted:
            raise KeyboardInterrupt
        # Not through the streams: the signal may have come while they write.
        os.write(2, b"stopping after the steps under way; once more ends at once\n")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def stoppable(world: Context) -> Iterator[Context]:
    """The world for a verb that carries out steps: INT and TERM end it between two of them."""
    with between_steps() as stop:
        yield replace(world, stopped=stop.asked)
