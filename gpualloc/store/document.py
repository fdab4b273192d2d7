"""Model values as JSON text in a column."""

from __future__ import annotations

import json
from typing import TypeVar

from gpualloc.errors import BrokenInputError, StateError
from gpualloc.model.codec import from_plain, to_plain

T = TypeVar("T")


def dump(value: object) -> str:
    """The value as ASCII JSON.

    Raises:
        TypeError, ValueError: the value is not one of the model, or holds a number that is not finite.
    """
    return json.dumps(to_plain(value), separators=(",", ":"), allow_nan=False)


def load(kind: type[T], text: str, where: str) -> T:
    """The value that `dump` wrote.

    Args:
        kind: type of the value.
        text: content of the column.
        where: what a message calls it, such as `workload w3k7qd0xh`.

    Raises:
        StateError: the text was changed by something other than gpualloc.
    """
    try:
        return from_plain(kind, json.loads(text))
    except (ValueError, RecursionError, BrokenInputError) as error:
        raise StateError(
            f"the state's record of {where} cannot be read: {error}",
            hint="restore state.db from a copy; it was changed by hand or by another gpualloc",
        ) from error
