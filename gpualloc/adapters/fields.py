"""Reading of records that a node sent: nothing in them is taken for granted."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

MAX_TEXT = 4096
MAX_NAME = 200
MAX_ITEMS = 65_536
MAX_NUMBER = float(1 << 62)
_E = TypeVar("_E", bound=StrEnum)


class MalformedError(ValueError):
    """A node sent something of the wrong type, size or shape; the message says where and what."""


class Fields:
    """A record from a node. Each reader checks type and range and raises MalformedError.

    Args:
        value: what was decoded from JSON.
        where: path to it, for messages.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise _malformed(where, "an object", value)
        self._values: Mapping[str, object] = value
        self._where = where

    @property
    def told(self) -> Mapping[str, object]:
        """The record as it was decoded from JSON, unchecked."""
        return self._values

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key) is not None

    def text(self, key: str, pattern: re.Pattern[str] | None = None) -> str:
        """A text of at most `MAX_TEXT` characters; cut when longer, unless it must match a pattern as a whole."""
        value = self._values.get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "a text")
        if pattern is None:
            return clean(value)
        if len(value) > MAX_TEXT or not pattern.fullmatch(value):
            raise self._wrong(key, f"a text like {pattern.pattern}")
        return value

    def text_or_none(self, key: str, pattern: re.Pattern[str] | None = None) -> str | None:
        """As `text`; None when null or absent."""
        return self.text(key, pattern) if self.has(key) else None

    def integer(self, key: str, low: int = 0, high: int = 1 << 62) -> int:
        """A whole number in the range."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(key, f"a whole number from {low} to {high}")
        return value

    def integer_or_none(self, key: str, low: int = 0, high: int = 1 << 62) -> int | None:
        """As `integer`; None when null or absent."""
        return self.integer(key, low, high) if self.has(key) else None

    def number(self, key: str, low: float = 0.0, high: float = MAX_NUMBER) -> float:
        """A finite number in the range."""
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number")
        if not math.isfinite(value) or not low <= value <= high:
            raise self._wrong(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def number_or_none(self, key: str, low: float = 0.0, high: float = MAX_NUMBER) -> float | None:
        """As `number`; None when null or absent."""
        return self.number(key, low, high) if self.has(key) else None

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._values.get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def flag_or_none(self, key: str) -> bool | None:
        """As `flag`; None when null or absent."""
        return self.flag(key) if self.has(key) else None

    def word(self, key: str, words: type[_E]) -> _E:
        """One word of an enumeration."""
        value = self._values.get(key)
        if not isinstance(value, str) or value not in {word.value for word in words}:
            raise self._wrong(key, "one of " + ", ".join(word.value for word in words))
        return words(value)

    def record(self, key: str) -> Fields:
        """A record inside this one."""
        return Fields(self._values.get(key), f"{self._where}.{key}")

    def records(self, key: str) -> list[Fields]:
        """A list of records; at most `MAX_ITEMS`."""
        return [Fields(item, f"{self._where}.{key}[{number}]") for number, item in enumerate(self._list(key))]

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, each cut to `MAX_NAME` characters."""
        items = self._list(key)
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(key, "a list of texts")
        return tuple(clean(str(item), MAX_NAME) for item in items)

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """A list of whole numbers in the range."""
        items = self._list(key)
        found = tuple(item for item in items if isinstance(item, int) and not isinstance(item, bool))
        if len(found) < len(items) or not all(low <= item <= high for item in found):
            raise self._wrong(key, f"a list of whole numbers from {low} to {high}")
        return found

    def map_of_texts(self, key: str) -> dict[str, str]:
        """A record with only texts in it; empty when null or absent."""
        value = self._values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._wrong(key, "an object of texts")
        return {clean(name, MAX_NAME): clean(item) for name, item in value.items()}

    def blob(self, key: str, limit: int) -> bytes:
        """Bytes that travelled as base64; at most `limit`."""
        value = self._values.get(key)
        try:
            data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
        except ValueError:
            data = None
        if data is None or len(data) > limit:
            raise self._wrong(key, f"base64 of at most {limit} bytes")
        return data

    def _list(self, key: str) -> list[object]:
        value = self._values.get(key)
        if not isinstance(value, list) or len(value) > MAX_ITEMS:
            raise self._wrong(key, f"a list of at most {MAX_ITEMS}")
        return value

    def _wrong(self, key: str, expected: str) -> MalformedError:
        return _malformed(f"{self._where}.{key}", expected, self._values.get(key))


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """The text, cut, and with a question mark for each half of a character, which no database or terminal takes."""
    return text[:limit].encode("utf-8", "replace").decode("utf-8")


def _malformed(where: str, expected: str, value: object) -> MalformedError:
    shown = ascii(value)
    return MalformedError(f"{where} is {shown[:80]}{'...' * (len(shown) > 80)}, expected {expected}")
