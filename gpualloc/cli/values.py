"""Text of the command line turned into numbers, telling what was expected when it cannot be."""

from __future__ import annotations

import math

from gpualloc.errors import UsageError
from gpualloc.model.health import Severity
from gpualloc.model.sample import Level


def whole_number(flag: str, text: str) -> int:
    """A whole number.

    Raises:
        UsageError: names the flag and the text.
    """
    try:
        return int(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a whole number") from error


def number(flag: str, text: str) -> float:
    """A finite number.

    Raises:
        UsageError: names the flag and the text.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise UsageError(f"{flag} {text!r} is not a number") from error
    if not math.isfinite(value):
        raise UsageError(f"{flag} {text!r} is not a usable number")
    return value


def severity_of(flag: str, text: str) -> Severity:
    """A severity by its word.

    Raises:
        UsageError: names the flag and the words there are.
    """
    words = [severity.value for severity in Severity]
    if text not in words:
        raise UsageError(f"{flag} {text!r} is no severity", hint=f"one of: {', '.join(words)}")
    return Severity(text)


def level_named(text: str) -> Level:
    """How finely readings are wanted.

    Raises:
        UsageError: there is no such level.
    """
    if text not in list(Level):
        raise UsageError(f"--level {text} is not known", hint="it is raw, minute or hour")
    return Level(text)
