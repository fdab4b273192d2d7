"""Helps whoever types a filter: how it can go on, and what it says in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from gpualloc.tui.fields import Field, Row, Unit
from gpualloc.tui.query import Query, amount_wanted, field_of, fields_named
from gpualloc.tui.query_words import (
    MAX_QUERY_CHARS,
    UNKNOWN_WORD,
    Operator,
    Term,
    Wanted,
    Word,
    comparison_of,
    wanted_of,
    words_of,
)
from gpualloc.tui.text import plain

MAX_CONTINUATIONS = 50
"""At most so many ways to go on are told."""
_MAX_VALUE_CHARS = 80
_MAX_VALUES_READ = 10_000
_MAX_EXACT_CHARS = 500
_QUOTED_ANYWHERE = frozenset('",*?')
_QUOTED_IN_FRONT = frozenset("=<>!")

_WORDS = {
    Operator.CONTAINS: ("contains", "does not contain"),
    Operator.IS: ("is", "is not"),
    Operator.IS_NOT: ("is not", "is"),
    Operator.BELOW: ("below", "not below"),
    Operator.AT_MOST: ("at most", "not at most"),
    Operator.ABOVE: ("above", "not above"),
    Operator.AT_LEAST: ("at least", "not at least"),
}
_AGO_WORDS = {
    Operator.BELOW: ("less than", "not less than"),
    Operator.ABOVE: ("more than", "not more than"),
}


def word_start(text: str, cursor: int) -> int:
    """Where the word begins that is typed at the cursor: what a continuation replaces goes from there to the cursor."""
    typed = _typed(text, cursor)
    return len(text[: max(0, cursor)]) if typed is None else typed.at


def complete(
    text: str, cursor: int, fields: Sequence[Field[Row]], values: Callable[[str], Iterable[str]]
) -> tuple[str, ...]:
    """Words that what is typed at the cursor can become, each to stand between `word_start` and the cursor.

    Args:
        text: the filter as far as it is written; it need not be one yet.
        cursor: place in it, from 0.
        fields: of the list that is filtered.
        values: values of a text field, by its name, that rows are known to have; untrusted.

    Returns:
        Names of fields with an operator, or values behind the operator; at most `MAX_CONTINUATIONS`.
    """
    if len(text) > MAX_QUERY_CHARS:
        return ()
    word = _typed(text, cursor)
    if word is None:
        return tuple(islice(_names("", "", fields), MAX_CONTINUATIONS))
    start, comparison = comparison_of(word)
    if comparison is None:
        names = _names(word.masked[:start], word.masked[start:], fields)
        return tuple(islice(names, MAX_CONTINUATIONS))
    found = fields_named(comparison[1], fields)
    operator = Operator(comparison[2])
    if len(found) != 1 or operator.orders:
        return ()
    *_, last = wanted_of(word.letters[comparison.end() :], operator is Operator.CONTAINS)
    # The letter before the value is its operator's or a comma, never one in quotes.
    kept = text[word.at : word.letters[-len(last.letters) - 1].at + 1]
    known = () if found[0].unit is not None else _values(last.text, values(found[0].name))
    unknown = (UNKNOWN_WORD,) if UNKNOWN_WORD.startswith(last.text.casefold()) else ()
    return tuple(kept + value for value in islice((*known, *unknown), MAX_CONTINUATIONS))


def explain(query: Query, fields: Sequence[Field[Row]]) -> str:
    """Say a filter in plain words, such as `model contains h100 and util below 10 %`; safe to draw.

    Raises:
        FilterError: as `Query.over`.
    """
    said = (" and ".join(_said(term, fields) for term in terms) for terms in query.alternatives)
    return ", or ".join(said) or "everything"


def exactly(field: str, text: str) -> str:
    """The filter that keeps the rows in which a field is this text, whatever is in it; untrusted.

    One that is too long for a filter is looked for by its beginning.
    """
    shown = text if text.isprintable() else plain(text, len(text))
    operator = Operator.IS if len(shown) <= _MAX_EXACT_CHARS else Operator.CONTAINS
    quoted = shown[:_MAX_EXACT_CHARS].replace('"', '""')
    return f'{field}{operator}"{quoted}"'


def _typed(text: str, cursor: int) -> Word | None:
    before = text[: max(0, cursor)]
    words = words_of(before)
    ended = not words or (words[-1].closed and before[-1:].isspace())
    return None if ended else words[-1]


def _names(negation: str, typed: str, fields: Sequence[Field[Row]]) -> Iterator[str]:
    for field in fields:
        if not field.name.casefold().startswith(typed.casefold()):
            continue
        operators = (Operator.CONTAINS,) if field.unit is None else (Operator.BELOW, Operator.ABOVE)
        yield from (f"{negation}{field.name}{operator}" for operator in operators)


def _values(typed: str, known: Iterable[str]) -> list[str]:
    """Known values with what is typed in them, those that begin with it first, as they are written in a filter."""
    wanted = typed.casefold()
    usable = dict.fromkeys(value for value in islice(known, _MAX_VALUES_READ) if 0 < len(value) <= _MAX_VALUE_CHARS)
    found = [value for value in usable if value.isprintable() and wanted in value.casefold()]
    return [_written(value) for value in sorted(found, key=lambda value: not value.casefold().startswith(wanted))]


def _written(value: str) -> str:
    meant_otherwise = value[0] in _QUOTED_IN_FRONT or value.casefold() == UNKNOWN_WORD
    if meant_otherwise or any(char.isspace() or char in _QUOTED_ANYWHERE for char in value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _said(term: Term, fields: Sequence[Field[Row]]) -> str:
    if term.field is None:
        return f"{'no text contains' if term.negated else 'some text contains'} {plain(term.wanted[0].text)}"
    field = field_of(term, fields)
    known = [wanted for wanted in term.wanted if not wanted.unknown]
    said = []
    if known and field.unit is None:
        said.append(_text_said(term, known))
    elif known and field.unit is not None:
        amounts = [amount_wanted(wanted, field, field.unit).words for wanted in known]
        said.append(_amounts_said(term, amounts, field.unit))
    if len(known) < len(term.wanted):
        asks_known = term.negated is not (term.operator is Operator.IS_NOT)
        said.append("is known" if asks_known else "is unknown")
    return f"{field.name} {(' and ' if term.negated else ' or ').join(said)}"


def _text_said(term: Term, known: Sequence[Wanted]) -> str:
    verb = _WORDS[term.operator][term.negated]
    if term.operator is Operator.CONTAINS and any(wanted.pattern is not None for wanted in known):
        verb = "is not like" if term.negated else "is like"
    return f"{verb} {' or '.join(plain(wanted.text) or 'empty' for wanted in known)}"


def _amounts_said(term: Term, amounts: Sequence[str], unit: Unit) -> str:
    operator = Operator.IS if term.operator is Operator.CONTAINS else term.operator
    verb = (_AGO_WORDS if unit is Unit.EPOCH else _WORDS).get(operator, _WORDS[operator])[term.negated]
    return f"{verb} {' or '.join(amounts)}{' ago' if unit is Unit.EPOCH else ''}"
