"""Saved weights of a policy's scorers, by name: what `tune` finds and a person may use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gpualloc.errors import BrokenInputError

FORMAT = 1
MAX_PROFILE_BYTES = 1 << 20
MAX_WEIGHTS = 1000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_KEYS = frozenset({"format", "name", "policy", "weights", "made"})


@dataclass(frozen=True, slots=True)
class Profile:
    """Weights of the scorers of one policy."""

    name: str
    policy: str
    """The policy they belong to."""
    weights: Mapping[str, float]
    """By scorer; finite."""
    made: Mapping[str, object] = field(default_factory=dict)
    """How they were found, for people; nothing depends on it."""


def read_profile(text: str, source: str) -> Profile:
    """The profile of a JSON text.

    Args:
        text: the whole of it.
        source: how errors name it, such as the path.

    Raises:
        BrokenInputError: it is no profile, of another format, has a key that is not known, or a weight that is no
            finite number: tells which.
    """
    found = _object(text, source)
    if found.get("format") != FORMAT or isinstance(found.get("format"), bool):
        raise BrokenInputError(f"{source}: not a profile of format {FORMAT}")
    wrong = sorted(found.keys() ^ _KEYS)
    if wrong:
        verb = "does not belong there" if wrong[0] in found else "is missing"
        raise BrokenInputError(f"{source}: {_shown(wrong[0])} {verb}", hint=f"a profile has {', '.join(sorted(_KEYS))}")
    made = found["made"]
    if not isinstance(made, dict):
        raise BrokenInputError(f"{source}: made is not an object")
    name, policy = _name(found, "name", source), _name(found, "policy", source)
    return Profile(name, policy, _weights(found["weights"], source), made)


def _object(text: str, source: str) -> dict[str, object]:
    if len(text) > MAX_PROFILE_BYTES:
        raise BrokenInputError(f"{source}: too large to be a profile")
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BrokenInputError(f"{source}: not a profile: {error}") from error
    if not isinstance(found, dict):
        raise BrokenInputError(f"{source}: not a profile: no JSON object")
    return found


def _weights(found: object, source: str) -> dict[str, float]:
    if not isinstance(found, dict) or not 0 < len(found) <= MAX_WEIGHTS:
        raise BrokenInputError(f"{source}: weights is not an object of 1 to {MAX_WEIGHTS} numbers")
    for scorer, weight in found.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not _finite(weight):
            raise BrokenInputError(f"{source}: the weight of {_shown(scorer)} is not a finite number")
    return {scorer: float(weight) for scorer, weight in found.items()}


def _finite(weight: float) -> bool:
    try:
        return math.isfinite(weight)
    except OverflowError:
        return False


def _name(found: Mapping[str, object], key: str, source: str) -> str:
    name = found[key]
    if not isinstance(name, str) or not _NAME.match(name):
        raise BrokenInputError(
            f"{source}: {key} is not a name", hint="letters, digits, and . _ - inside, at most 64 characters"
        )
    return name


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refuse(constant: str) -> object:
    raise ValueError(f"{constant} is no number")


def _shown(name: str) -> str:
    return repr(name[:60])
