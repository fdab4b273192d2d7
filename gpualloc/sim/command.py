"""What a simulated node makes of a command: how long it lasts and how it ends. Nothing is executed."""

from __future__ import annotations

import math
import posixpath
import re
import shlex
from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.sim.use import Pattern

_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([smhd]?)")
_MISSING = ("/nonexistent", "no-such-command")
"""A command or working directory that begins so does not exist on simulated nodes."""
_NOTEBOOKS = frozenset({"jupyter", "jupyter-lab", "jupyter-notebook", "ipython"})
"""Programs that hold GPU memory and compute nothing."""
_PATTERNS = {"train": Pattern.TRAINING, "serve": Pattern.WORKDAY, "notebook": Pattern.NOTEBOOK}


class Behaviour(Struct, frozen=True):
    """How a command behaves."""

    duration_s: float | None
    """None: it runs until it is stopped."""
    exit_code: int = 0
    """How it ends by itself."""
    output: str = ""
    """What it prints when it ends."""
    pattern: Pattern | None = None
    """How it uses its GPUs; None is left to the node."""
    bound: bool = False
    """Whether it computes all the time, so that a power limit makes it last longer."""


def is_missing(path: str) -> bool:
    """Whether simulated nodes take it for a command or directory that is not there."""
    return path.startswith(_MISSING)


@lru_cache(maxsize=4096)
def behaviour(command: tuple[str, ...]) -> Behaviour:
    """What `sleep N`, `train N`, `serve N`, `notebook N`, `true`, `false` and `exit N` do.

    Anything else, and `train`, `serve` and `notebook` without a duration, runs until it is stopped.
    """
    words = list(command[1:])  # of a frozen command always the same, and asked for at every look at a node
    match posixpath.basename(command[0]):
        case "true":
            return Behaviour(0.0)
        case "false":
            return Behaviour(0.0, 1)
        case "exit":
            return _exit(words)
        case "sleep":
            return _lasting(words, "sleep")
        case "train" | "serve" | "notebook" as kind:
            found = _lasting(words, kind) if words else Behaviour(None)
            return replace(found, pattern=_PATTERNS[kind], bound=kind == "train")
        case _:
            return Behaviour(None)


def is_notebook(command: Sequence[str]) -> bool:
    """Whether the command holds GPU memory and leaves the GPU idle."""
    return posixpath.basename(command[0]) in _NOTEBOOKS


def shown(command: Sequence[str]) -> str:
    """The command as one line of printable ASCII."""
    return shlex.join(command).encode("unicode_escape").decode("ascii")


def _exit(words: list[str]) -> Behaviour:
    if not words:
        return Behaviour(0.0)
    if len(words) > 1 or not re.fullmatch(r"\d{1,9}", words[0], re.ASCII):
        return Behaviour(0.0, 2, "exit: one number is expected")
    return Behaviour(0.0, int(words[0]) % 256)


def _lasting(words: list[str], name: str) -> Behaviour:
    if words == ["infinity"]:
        return Behaviour(None)
    parts = [_DURATION.fullmatch(word) for word in words]
    seconds = math.fsum(float(part[1]) * _UNITS_S[part[2]] for part in parts if part)
    if not parts or None in parts or not math.isfinite(seconds):
        return Behaviour(0.0, 1, f"{name}: a duration such as 5, 0.5, 10m or 2h is expected")
    return Behaviour(seconds)
