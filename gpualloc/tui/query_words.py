"""Reads the text of a filter into terms, without knowing which fields there are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from gpualloc.errors import UsageError

MAX_QUERY_CHARS = 2000
"""Longest filter that is read."""
UNKNOWN_WORD = "n/a"
"""Asks for rows that do not tell a field, unless it is quoted."""

_PIECE = re.compile(r'(?P<blank>\s+)|"(?P<quoted>(?:[^"]|"")*+)(?P<close>")?|(?P<bare>[^\s"]+)')
_QUOTED_LETTER = re.compile(r'""|[^"]')
_COMPARISON = re.compile(r"([^\W\d][\w.-]*)(!=|<=|>=|[:=<>])")
_OPERATOR = re.compile(r"!=|[:=<>]")
_MASK = "\0"


class FilterError(UsageError):
    """A filter cannot be read, or asks for what no row tells.

    Args:
        message: what was found and what was expected.
        at: place in the filter, from 0; the message names it as a column, from 1.
        hint: what to write instead.
    """

    def __init__(self, message: str, at: int, hint: str | None = None) -> None:
        super().__init__(f"filter, column {at + 1}: {message}", hint=hint)
        self.at = at


class Operator(StrEnum):
    """How a field is compared, as it is typed."""

    CONTAINS = ":"
    IS = "="
    IS_NOT = "!="
    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    @property
    def orders(self) -> bool:
        """Whether it needs numbers."""
        return self in (Operator.BELOW, Operator.AT_MOST, Operator.ABOVE, Operator.AT_LEAST)


class Letter(NamedTuple):
    """A character of a filter; an empty pair of quotes counts as one without text."""

    char: str
    at: int
    quoted: bool


class Word(Struct, frozen=True):
    """What stands between blanks, without its quotes."""

    at: int
    letters: tuple[Letter, ...]
    closed: bool
    """False when its last quote is never closed."""

    @property
    def masked(self) -> str:
        """Its text with one character for each letter, those that are quoted made unlike any other."""
        return "".join(_MASK if letter.quoted else letter.char for letter in self.letters)


class Wanted(Struct, frozen=True):
    """One value that a term asks for."""

    letters: tuple[Letter, ...]

    @property
    def at(self) -> int:
        """Where in the filter it begins."""
        return self.letters[0].at

    @property
    def text(self) -> str:
        """Its text without quotes."""
        return "".join(letter.char for letter in self.letters)

    @property
    def unknown(self) -> bool:
        """Whether it asks for rows that do not tell the field."""
        return self.text.casefold() == UNKNOWN_WORD and not any(letter.quoted for letter in self.letters)

    @property
    def pattern(self) -> str | None:
        """As a pattern for `fnmatch`, folded; None without a `*` or `?` outside of quotes."""
        if not any(letter.char in ("*", "?") and not letter.quoted for letter in self.letters):
            return None
        return "".join(_pattern_of(letter) for letter in self.letters)


class Term(Struct, frozen=True):
    """One condition of a filter."""

    at: int
    negated: bool
    field: str | None
    """Name as typed, perhaps only its beginning; None asks all texts of the row."""
    operator: Operator
    wanted: tuple[Wanted, ...]
    """Any of these; never empty."""


def words_of(text: str) -> tuple[Word, ...]:
    """The words of a filter; a quote that is never closed goes on to the end."""
    found: list[Word] = []
    letters: list[Letter] = []
    closed = True
    for piece in _PIECE.finditer(text):
        if piece["blank"] is not None:
            if letters:
                found.append(Word(_start(letters), tuple(letters), closed))
            letters = []
        elif piece["bare"] is not None:
            letters += [Letter(char, piece.start() + at, False) for at, char in enumerate(piece["bare"])]
        else:
            closed = piece["close"] is not None
            letters += _quoted_letters(piece["quoted"], piece.start() + 1)
    if letters:
        found.append(Word(_start(letters), tuple(letters), closed))
    return tuple(found)


def terms_of(text: str) -> tuple[tuple[Term, ...], ...]:
    """Read a filter into alternatives of terms that must all hold; empty text has no alternative.

    Raises:
        FilterError: the text is too long, or is not a filter.
    """
    if len(text) > MAX_QUERY_CHARS:
        raise FilterError(f"longer than {MAX_QUERY_CHARS} characters", MAX_QUERY_CHARS)
    for at, char in enumerate(text):
        if unicodedata.category(char) == "Cc" and not char.isspace():
            raise FilterError("a control character, which no text that is shown contains", at)
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    last_or: Word | None = None
    for word in words_of(text):
        if not word.closed:
            raise FilterError("a double quote opens here; expected another that closes it", word.at)
        if word.masked.casefold() != "or":
            terms.append(_term(word))
            continue
        if not terms:
            raise FilterError("expected a term before `or`", word.at, 'to look for the word itself, write "or"')
        alternatives.append(tuple(terms))
        terms, last_or = [], word
    if last_or is not None and not terms:
        raise FilterError("expected a term after `or`", last_or.at, 'to look for the word itself, write "or"')
    return (*alternatives, tuple(terms)) if terms else ()


def comparison_of(word: Word) -> tuple[int, re.Match[str] | None]:
    """Where the term of a word begins (behind its negation), and its field and operator when it has them.

    The match is one over `word.masked`: group 1 is the field, 2 the operator.
    """
    start = 1 if word.masked[:1] in ("!", "-") else 0
    return start, _COMPARISON.match(word.masked, start)


def wanted_of(letters: Sequence[Letter], several: bool) -> Iterator[Wanted]:
    """The values of a term, cut at commas outside of quotes when it may have several; one may be without letters."""
    start = 0
    for at, letter in enumerate(letters):
        if several and letter.char == "," and not letter.quoted:
            yield Wanted(tuple(letters[start:at]))
            start = at + 1
    yield Wanted(tuple(letters[start:]))


def _term(word: Word) -> Term:
    start, comparison = comparison_of(word)
    negated = start > 0
    letters = word.letters[start:]
    if not letters:
        raise FilterError(f"expected a term after {word.masked}", word.at, "write !idle, or !user:ann")
    if comparison is None:
        if (operator := _OPERATOR.match(word.masked, start)) is not None:
            raise FilterError(
                f"expected the name of a field before {operator[0]}",
                letters[0].at,
                f'to look for it, write "{operator[0]}"',
            )
        wanted = Wanted(letters)
        if not wanted.text:
            raise FilterError("expected a text between the quotes", word.at)
        return Term(word.at, negated, None, Operator.CONTAINS, (wanted,))
    kind = Operator(comparison[2])
    return Term(word.at, negated, comparison[1], kind, _values(word, comparison, kind))


def _values(word: Word, comparison: re.Match[str], operator: Operator) -> tuple[Wanted, ...]:
    letters = word.letters[comparison.end() :]
    operator_at = word.letters[comparison.start(2)].at
    if not letters:
        raise FilterError(f"expected a value after {comparison[0]}", operator_at + len(operator))
    if letters[0].char in ("=", "<", ">", "!") and not letters[0].quoted:
        raise FilterError(
            f"{operator}{letters[0].char} is no operator; expected one of {', '.join(Operator)}",
            operator_at,
            f"a value that begins with {letters[0].char} is put in double quotes; ! stands before the field",
        )
    values = tuple(wanted_of(letters, operator is Operator.CONTAINS))
    if not all(wanted.letters for wanted in values):
        raise FilterError("expected a value on both sides of the comma", letters[0].at)
    return values


def _quoted_letters(body: str, start: int) -> Iterable[Letter]:
    if not body:
        return (Letter("", start - 1, True),)
    return (Letter(one[0][-1], start + one.start(), True) for one in _QUOTED_LETTER.finditer(body))


def _start(letters: Sequence[Letter]) -> int:
    first = letters[0]
    return first.at - 1 if first.quoted and first.char else first.at


def _pattern_of(letter: Letter) -> str:
    if letter.char == "[" or (letter.quoted and letter.char in ("*", "?")):
        return f"[{letter.char}]"
    return letter.char.casefold()
