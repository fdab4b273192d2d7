"""Scoring expressions as data: features, numbers and operations on two of them. Read from JSON, never run as code.

In JSON a feature is its name, a number is a number, and an operation is a list: `["-", "fall", ["*", 0.4, "deficit"]]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import numpy as np
from msgspec import Struct

from gpualloc.errors import BrokenInputError
from gpualloc.policies.board import Floats

MOST_PARTS = 200
MOST_LEVELS = 20
LARGEST = 1e6
"""No number in an expression and no score is further from 0."""
_TINY = 1e-9


class Feature(Struct, frozen=True):
    """What is known of an option, by name."""

    name: str


class Number(Struct, frozen=True):
    """A constant; finite."""

    value: float


class Operation(Struct, frozen=True):
    """Two expressions put together by one of `OPERATIONS`."""

    sign: str
    left: Expression
    right: Expression


Expression = Feature | Number | Operation


def _divided(left: Floats, right: Floats) -> Floats:
    near = np.abs(right) < _TINY
    quotient: Floats = np.where(near, 0.0, left / np.where(near, 1.0, right))
    return quotient


OPERATIONS: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": _divided,
    "max": np.maximum,
    "min": np.minimum,
}
"""By sign. What is divided by nearly nothing is 0."""


def value_of(expression: Expression, features: Mapping[str, Floats]) -> Floats:
    """The value for each option, within `LARGEST` of 0; features are finite and of one length."""
    found: Floats = np.clip(_value(expression, features), -LARGEST, LARGEST)
    return found


def _value(expression: Expression, features: Mapping[str, Floats]) -> Floats:
    if isinstance(expression, Feature):
        return features[expression.name]
    if isinstance(expression, Number):
        return np.full(len(next(iter(features.values()))), expression.value)
    left, right = _value(expression.left, features), _value(expression.right, features)
    # Clipped on the way, so that nothing overflows however often it is multiplied.
    return np.clip(OPERATIONS[expression.sign](left, right), -LARGEST, LARGEST)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expression and all that is in it, from the left."""
    if isinstance(expression, Operation):
        return (expression, *parts(expression.left), *parts(expression.right))
    return (expression,)


def levels(expression: Expression) -> int:
    """How deep it is; 1 for a feature or a number."""
    if isinstance(expression, Operation):
        return 1 + max(levels(expression.left), levels(expression.right))
    return 1


def plain(expression: Expression) -> object:
    """The expression as JSON has it."""
    if isinstance(expression, Feature):
        return expression.name
    if isinstance(expression, Number):
        return expression.value
    return [expression.sign, plain(expression.left), plain(expression.right)]


def expression_of(found: object, known: Collection[str], where: str) -> Expression:
    """The expression that a piece of JSON is.

    Args:
        found: the piece.
        known: names of the features there are.
        where: what errors call it.

    Raises:
        BrokenInputError: it is none: names the part that is wrong.
    """
    expression = _read(found, known, where, MOST_LEVELS)
    if len(parts(expression)) > MOST_PARTS:
        raise BrokenInputError(f"{where}: more than {MOST_PARTS} parts")
    return expression


def _read(found: object, known: Collection[str], where: str, deep: int) -> Expression:
    if isinstance(found, str):
        if found not in known:
            raise BrokenInputError(f"{where}: no feature is called {found[:60]!r}", hint=", ".join(sorted(known)))
        return Feature(found)
    if isinstance(found, (int, float)) and not isinstance(found, bool):
        if not -LARGEST <= found <= LARGEST or not math.isfinite(found):
            raise BrokenInputError(f"{where}: a number beyond {LARGEST:g}")
        return Number(float(found))
    if not isinstance(found, list) or len(found) != 3 or not isinstance(found[0], str) or found[0] not in OPERATIONS:
        raise BrokenInputError(
            f"{where}: {repr(found)[:60]} is no part of an expression",
            hint=f"a feature, a number, or a list of one of {' '.join(OPERATIONS)} and two parts",
        )
    if deep <= 1:
        raise BrokenInputError(f"{where}: more than {MOST_LEVELS} levels")
    sign, left, right = found
    return Operation(sign, _read(left, known, where, deep - 1), _read(right, known, where, deep - 1))
