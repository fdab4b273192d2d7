"""Words of the command line turned into what they name, telling what was expected when they cannot be."""

from __future__ import annotations

from gpualloc.errors import UsageError
from gpualloc.model.health import Severity
from gpualloc.model.sample import Level


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
