"""The filter language of lists: terms over any field of a row, compiled once and then asked for each row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from math import isnan
from typing import TypeVar

from msgspec import Struct

from gpualloc.tui.fields import Field, Row, Unit, Value
from gpualloc.tui.query_numbers import EXPECTED, Amount, amount_of
from gpualloc.tui.query_words import FilterError, Operator, Term, Wanted, terms_of
from gpualloc.tui.rows import Moment
from gpualloc.tui.text import plain

Test = Callable[[Row, Moment], bool]
"""Whether a row is kept."""

_Known = TypeVar("_Known", float, str)
_SEPARATOR = "\0"
"""Between the texts of a row: no filter contains it, and no text that is shown."""
_MAX_SHOWN_NAMES = 8


class Query(Struct, frozen=True):
    """A filter that has been read; nothing is said yet of whether its fields exist."""

    text: str
    alternatives: tuple[tuple[Term, ...], ...]
    """A row is kept when all terms of one of these hold; empty keeps every row."""

    def over(self, fields: Sequence[Field[Row]]) -> Test[Row]:
        """Compile it for a list with these fields.

        Logic has three values: what is asked of an unknown value is neither true nor false, and neither is its
        negation, so that `util<10` and `!util<10` both leave out rows whose `util` is unknown. Only `util:n/a` and
        `util=n/a` find them; negated, these find the others. A bare text is looked for in the texts that there are.

        Raises:
            FilterError: a term names no field or several, or compares it with what it cannot be compared with.
        """
        tests = [_all_of([_test_of(term, fields) for term in _cheap_first(terms)]) for terms in self.alternatives]
        if not tests:
            return lambda _row, _moment: True
        return tests[0] if len(tests) == 1 else lambda row, moment: any(test(row, moment) for test in tests)


def parse(text: str) -> Query:
    """Read a filter; its fields are looked up by `Query.over`.

    Raises:
        FilterError: the text is not a filter, or is too long.
    """
    return Query(text, terms_of(text))


def field_of(term: Term, fields: Sequence[Field[Row]]) -> Field[Row]:
    """The field that a term names, by its whole name or by a beginning that no other field has.

    Raises:
        FilterError: there is none, or there are several, or what is asked for has no order.
    """
    name = plain(term.field or "", 40)
    found = fields_named(term.field or "", fields)
    if not found:
        raise FilterError(f"no field is called {name}", term.at, _nearest(name, fields))
    if len(found) > 1:
        raise FilterError(f"{name} could be {_listed([field.name for field in found])}", term.at)
    if found[0].unit is None and term.operator.orders:
        raise FilterError(f"{found[0].name} is a text and has no order; expected :, = or != behind it", term.at)
    if term.operator.orders and term.wanted[0].unknown:
        raise FilterError("nothing is above or below an unknown value; write :n/a or !=n/a", term.wanted[0].at)
    return found[0]


def fields_named(typed: str, fields: Sequence[Field[Row]]) -> list[Field[Row]]:
    """The field of that name, or all whose names begin so."""
    wanted = typed.casefold()
    exact = [field for field in fields if field.name.casefold() == wanted]
    return exact or [field for field in fields if field.name.casefold().startswith(wanted)]


def amount_wanted(wanted: Wanted, field: Field[Row], unit: Unit) -> Amount:
    """The number that a term asks of a field.

    Raises:
        FilterError: it is not a number of that unit.
    """
    amount = amount_of(wanted.text, unit)
    if amount is None:
        shown = plain(wanted.text, 40) or "an empty text"
        raise FilterError(f"{field.name} takes {EXPECTED[unit]}, not {shown}", wanted.at)
    return amount


def _cheap_first(terms: Sequence[Term]) -> list[Term]:
    # A bare text costs the values of all texts of the row.
    return sorted(terms, key=lambda term: term.field is None)


def _all_of(tests: Sequence[Test[Row]]) -> Test[Row]:
    def test(row: Row, moment: Moment) -> bool:
        for one in tests:  # noqa: SIM110 (asked of thousands of rows: a generator takes twice as long)
            if not one(row, moment):
                return False
        return True

    return tests[0] if len(tests) == 1 else test


def _any_of(asked: Sequence[Callable[[_Known], bool]]) -> Callable[[_Known], bool]:
    return asked[0] if len(asked) == 1 else lambda value: any(ask(value) for ask in asked)


def _test_of(term: Term, fields: Sequence[Field[Row]]) -> Test[Row]:
    if term.field is None:
        return _bare_test(term, [field for field in fields if field.unit is None])
    field = field_of(term, fields)
    if field.unit is None:
        return _text_test(term, field)
    return _number_test(term, field, field.unit)


def _bare_test(term: Term, fields: Sequence[Field[Row]]) -> Test[Row]:
    needle, found = term.wanted[0].text.casefold(), not term.negated

    def test(row: Row, moment: Moment) -> bool:
        texts = [text for field in fields for text in texts_of(field.value(row, moment)) or ()]
        return (needle in _SEPARATOR.join(texts).casefold()) is found

    return test


def _text_test(term: Term, field: Field[Row]) -> Test[Row]:
    whole = term.operator is not Operator.CONTAINS
    ask = _any_of([_text_asked(wanted, whole) for wanted in term.wanted if not wanted.unknown])
    kept, for_unknown = _outcomes(term)

    def test(row: Row, moment: Moment) -> bool:
        texts = texts_of(field.value(row, moment))
        if texts is None:
            return for_unknown
        return any(ask(text.casefold()) for text in texts) is kept

    return test


def _number_test(term: Term, field: Field[Row], unit: Unit) -> Test[Row]:
    amounts = [amount_wanted(wanted, field, unit) for wanted in term.wanted if not wanted.unknown]
    ask = _any_of([_number_asked(amount, term.operator) for amount in amounts])
    kept, for_unknown = _outcomes(term)

    def test(row: Row, moment: Moment) -> bool:
        number = number_of(field.value(row, moment))
        if number is None:
            return for_unknown
        if unit is Unit.EPOCH:
            number = moment.now_s - number
        return ask(number) is kept

    return test


def _outcomes(term: Term) -> tuple[bool, bool]:
    """What a known value must come to for the row to be kept, and whether a row without a value is kept."""
    kept = term.negated is (term.operator is Operator.IS_NOT)
    return kept, kept and any(wanted.unknown for wanted in term.wanted)


def texts_of(value: Value) -> tuple[str, ...] | None:
    """The texts of a value as they are shown; None when it is unknown."""
    if value is None:
        return None
    if isinstance(value, str):
        return (_shown(value),)
    return tuple(_shown(text) for text in value) if isinstance(value, tuple) else (f"{value:g}",)


def number_of(value: Value) -> float | None:
    """The number of a value; None when it is unknown or not a number."""
    if not isinstance(value, int | float) or isnan(value):
        return None
    return value


def _shown(text: str) -> str:
    return text if text.isprintable() else plain(text, len(text))


def _text_asked(wanted: Wanted, whole: bool) -> Callable[[str], bool]:
    needle, pattern = wanted.text.casefold(), wanted.pattern
    if whole:
        return lambda text: text == needle
    if pattern is None:
        return lambda text: needle in text
    matches = re.compile(translate(pattern)).match
    return lambda text: matches(text) is not None


def _number_asked(amount: Amount, operator: Operator) -> Callable[[float], bool]:
    value = amount.value
    return {
        Operator.BELOW: lambda number: number < value,
        Operator.AT_MOST: lambda number: number <= value,
        Operator.ABOVE: lambda number: number > value,
        Operator.AT_LEAST: lambda number: number >= value,
    }.get(operator, amount.equals)


def _nearest(name: str, fields: Sequence[Field[Row]]) -> str:
    from difflib import get_close_matches

    names = [field.name for field in fields]
    near = get_close_matches(name.casefold(), names, n=1)
    if near:
        return f"did you mean {near[0]}? To look for the text itself, put it in double quotes"
    return f"fields are {_listed(names)}; to look for the text itself, put it in double quotes"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MAX_SHOWN_NAMES
    return ", ".join(names[:_MAX_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
