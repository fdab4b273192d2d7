"""Signals that an operator may send to a process."""

from __future__ import annotations

from enum import StrEnum

from gpualloc.errors import UsageError


class ProcessSignal(StrEnum):
    """A signal by its name without SIG; the words are part of the wire and of the JSON contract."""

    TERM = "TERM"
    KILL = "KILL"
    INT = "INT"
    HUP = "HUP"
    STOP = "STOP"
    CONT = "CONT"
    USR1 = "USR1"
    USR2 = "USR2"
    QUIT = "QUIT"

    @property
    def for_work(self) -> bool:
        """Whether a process of a workload may get it: what programs give a meaning of their own, no more."""
        return self in (ProcessSignal.HUP, ProcessSignal.USR1, ProcessSignal.USR2)


class ProcessState(StrEnum):
    """How a process stood when its signal had been sent and had had its time to act."""

    GONE = "gone"
    STOPPED = "stopped"
    RUNNING = "running"


_NUMBERS = {
    1: ProcessSignal.HUP,
    2: ProcessSignal.INT,
    3: ProcessSignal.QUIT,
    9: ProcessSignal.KILL,
    10: ProcessSignal.USR1,
    12: ProcessSignal.USR2,
    15: ProcessSignal.TERM,
    18: ProcessSignal.CONT,
    19: ProcessSignal.STOP,
}
"""As Linux counts them on x86-64 and aarch64."""


def parse_signal(text: str) -> ProcessSignal:
    """The signal of that name, with or without SIG and in any case, or of that number.

    Raises:
        UsageError: it is none of those that may be sent.
    """
    name = text.upper().removeprefix("SIG")
    if name in list(ProcessSignal):
        return ProcessSignal(name)
    number = next((known for known in _NUMBERS if text == str(known)), None)
    if number is not None:
        return _NUMBERS[number]
    raise UsageError(f"{text!r} is no signal that can be sent", hint=f"one of: {', '.join(ProcessSignal)}")
