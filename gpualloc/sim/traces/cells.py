"""Cells of a trace: text in, a checked value out. Every doubt is a refusal, never a guess."""

from __future__ import annotations

import json
import math
import re

MAX_SHOWN_CHARS = 40
MAX_NAME_CHARS = 200
MAX_TIME_S = 1e12
"""Latest time accepted, in seconds since the trace began."""
ALTERNATIVES = "|"
"""Stands between GPU models of which any will do."""
_WHOLE = re.compile(r"[0-9]{1,18}")
_THOUSANDTHS = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,3})0*)?")
_SECONDS = re.compile(r"[0-9]+(\.[0-9]*)?(e[+-]?[0-9]{1,3})?", re.IGNORECASE)
_NO_MODEL_CHARS = frozenset("|*?[]!")
"""Not part of a model's name: the first stands between names, the others are patterns."""


class WrongCell(Exception):
    """A cell does not hold what its column takes; the message says what it holds and what was expected."""


def shown(text: str) -> str:
    """A cell as an error shows it: quoted, bounded, without control characters."""
    return json.dumps(text[:MAX_SHOWN_CHARS]) + ("…" if len(text) > MAX_SHOWN_CHARS else "")


def whole(column: str, text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise WrongCell(f"{column} is {shown(text)}, not a whole number from {low} to {high}")
    return int(text)


def milli(column: str, text: str, low: int, high: int) -> int:
    """A decimal number with at most three digits after the point, in thousandths, exactly; bounds in thousandths."""
    match = _THOUSANDTHS.fullmatch(text)
    value = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0")) if match else -1
    if not low <= value <= high:
        raise WrongCell(
            f"{column} is {shown(text)}, not a number from {low / 1000:g} to {high / 1000:g}"
            " with at most three digits after the point"
        )
    return value


def seconds(column: str, text: str) -> float:
    """A time in seconds since the trace began."""
    value = float(text) if len(text) <= MAX_SHOWN_CHARS and _SECONDS.fullmatch(text) else math.nan
    if not 0 <= value <= MAX_TIME_S:
        raise WrongCell(f"{column} is {shown(text)}, not seconds from 0 to {MAX_TIME_S:g}")
    return value


def name(column: str, text: str) -> str:
    """A name: 1 to 200 characters that can be shown."""
    if not 0 < len(text) <= MAX_NAME_CHARS or not text.isprintable():
        raise WrongCell(f"{column} is {shown(text)}, not a name of 1 to {MAX_NAME_CHARS} printable characters")
    return text


def model(column: str, text: str) -> str:
    """The name of a GPU model, without the characters of patterns."""
    if _NO_MODEL_CHARS & set(text):
        raise WrongCell(f"{column} is {shown(text)}, not a model's name, which has none of | * ? [ ] !")
    return name(column, text)


def models(column: str, text: str) -> tuple[str, ...]:
    """Names of GPU models with | between them, sorted, each once; none for an empty cell."""
    return tuple(sorted({model(column, part.strip()) for part in text.split(ALTERNATIVES)})) if text else ()
