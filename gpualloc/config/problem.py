"""What is wrong in a file that an operator wrote, collected so that all of it is told at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from gpualloc.config.settings import Origin
from gpualloc.errors import ConfigError

MAX_SHOWN_CHARS = 60
MAX_SHOWN_PROBLEMS = 20


class Problem(Struct, frozen=True):
    """One wrong key or value."""

    origin: Origin | None
    """Where it was set; None when that is not known."""
    what: str
    """Names the key, what was expected and what was found."""
    hint: str | None = None

    def __str__(self) -> str:
        """The place and what is wrong there."""
        return f"{self.origin}: {self.what}" if self.origin else self.what


def place_of(path: str, origins: Mapping[str, Origin]) -> Origin | None:
    """Where a key, or what holds it, was set; None when nothing of it was."""
    while path and path not in origins:
        path = path.rpartition(".")[0]
    return origins.get(path)


def shown(value: object) -> str:
    """A value from a file as a person would have written it, bounded and without control characters."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, int) and value.bit_length() > 256:
        return "a number too large to show"
    if isinstance(value, (str, int, float, bool, list)):
        text = json.dumps(value, default=str)
        return text if len(text) <= MAX_SHOWN_CHARS else text[:MAX_SHOWN_CHARS] + "…"
    return str(value)


def refuse(problems: Sequence[Problem]) -> ConfigError:
    """One error that tells every problem, to be raised; there must be at least one."""
    if len(problems) == 1:
        return ConfigError(str(problems[0]), hint=problems[0].hint)
    lines = [f"{len(problems)} wrong keys or values"]
    for problem in sorted(problems, key=_place)[:MAX_SHOWN_PROBLEMS]:
        hint = f" ({problem.hint})" if problem.hint else ""
        lines.append(f"  {problem}{hint}")
    if len(problems) > MAX_SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - MAX_SHOWN_PROBLEMS} more")
    return ConfigError("\n".join(lines))


def _place(problem: Problem) -> tuple[str, int]:
    """Files by line, then variables and flags by name."""
    return (problem.origin.where, problem.origin.line) if problem.origin else ("", 0)
