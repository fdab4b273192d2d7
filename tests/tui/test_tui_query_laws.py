"""The filter language against a naive reading of it, and against any text."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct
from tui.query_rows import FIELDS, GPU, MOMENT, Row, kept

from gpualloc.errors import UsageError
from gpualloc.tui.fields import Unit, Value
from gpualloc.tui.query import parse
from gpualloc.tui.query_help import explain
from gpualloc.tui.query_numbers import EXPECTED, amount_of

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)


@given(ANY_TEXT)
@example("a" * 5000)
@example('util<"')
@example("age:5\u017f")
def test_any_text_is_a_filter_or_a_usage_error(text: str) -> None:
    with suppress(UsageError):
        query = parse(text)
        test = query.over(FIELDS)
        assert test(Row(GPU), MOMENT) in (True, False)
        assert explain(query, FIELDS).isprintable()


@given(
    st.sampled_from(list(Unit)), st.text(st.sampled_from("0123456789.-+%eE kKmMgGhdswiBb°C/ \u0663\u017f"), max_size=45)
)
def test_any_text_is_a_number_or_none(unit: Unit, text: str) -> None:
    amount = amount_of(text, unit)
    assert unit in EXPECTED
    if amount is not None:
        assert amount.equals(amount.value)
        assert amount.least < amount.below < float("inf")


VALUES = st.fixed_dictionaries(
    {
        "node": st.sampled_from([None, "", "gpu01", "gpu02"]),
        "user": st.sampled_from([None, (), ("ann",), ("ann", "Bob Lee"), ("",)]),
        "gpu": st.sampled_from([None, 0.0, 1.0, 7.0]),
        "util": st.sampled_from([None, 0.0, 0.07, 0.5, 0.504, 1.0]),
    }
)
"""Name to value; `Naive` knows as much of these fields as it takes."""


class Naive(Struct, frozen=True):
    """A term as text, and whether it is true of a row, false, or neither (None), told in the slowest way."""

    text: str
    truth: Callable[[dict[str, Value]], bool | None]


def _text_naive(name: str, operator: str, values: tuple[str, ...]) -> Naive:
    def one(text: str, value: str) -> bool:
        text, value = text.lower(), value.lower()
        if operator != ":":
            return text == value
        return fnmatchcase(text, value) if "*" in value or "?" in value else value in text

    def truth(told: dict[str, Value]) -> bool | None:
        value = told[name]
        if value is None:
            return True if "n/a" in values else None
        texts = value if isinstance(value, tuple) else (str(value),)
        found = any(one(text, wanted) for text in texts for wanted in values if wanted != "n/a")
        return not found if operator == "!=" else found

    return Naive(f"{name}{operator}{','.join(values)}", truth)


def _number_naive(name: str, operator: str, value: int) -> Naive:
    def truth(told: dict[str, Value]) -> bool | None:
        number = told[name]
        if number is None:
            return None
        assert isinstance(number, float)
        exact = Fraction(str(number)) * (100 if name == "util" else 1)
        shown = round(exact)
        return {
            ":": shown == value,
            "=": shown == value,
            "!=": shown != value,
            "<": exact < value,
            "<=": exact <= value,
            ">": exact > value,
            ">=": exact >= value,
        }[operator]

    return Naive(f"{name}{operator}{value}", truth)


def _bare_naive(text: str) -> Naive:
    def truth(told: dict[str, Value]) -> bool | None:
        users = told["user"] or ()
        assert isinstance(users, tuple)
        return any(text in shown.lower() for shown in (str(told["node"] or ""), *users))

    return Naive(text, truth)


TEXT_VALUE = st.sampled_from(["ann", "bob*", "*", "gpu0?", "gpu01", "GPU"])
NAIVE = st.one_of(
    st.builds(_bare_naive, st.sampled_from(["gpu", "ann", "1", "lee"])),
    st.builds(_text_naive, st.sampled_from(["node", "user"]), st.sampled_from(["=", "!="]), st.tuples(TEXT_VALUE)),
    st.builds(
        lambda name, values: _text_naive(name, ":", tuple(values)),
        st.sampled_from(["node", "user"]),
        st.lists(st.one_of(TEXT_VALUE, st.just("n/a")), min_size=1, max_size=3),
    ),
    st.builds(
        _number_naive,
        st.sampled_from(["gpu", "util"]),
        st.sampled_from([":", "=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from([0, 1, 7, 50, 100]),
    ),
)
NEGATED = st.builds(
    lambda term, sign: Naive(sign + term.text, lambda told: None if term.truth(told) is None else not term.truth(told)),
    NAIVE,
    st.sampled_from("!-"),
)
ALTERNATIVES = st.lists(st.lists(st.one_of(NAIVE, NEGATED), min_size=1, max_size=3), min_size=1, max_size=3)


def _written(alternatives: list[list[Naive]]) -> str:
    return " or ".join(" ".join(term.text for term in terms) for terms in alternatives)


@given(ALTERNATIVES, VALUES)
def test_what_is_kept_is_what_a_naive_reading_keeps(alternatives: list[list[Naive]], told: dict[str, Value]) -> None:
    expected = any(all(term.truth(told) is True for term in terms) for terms in alternatives)
    assert kept(_written(alternatives), told) is expected


@given(NAIVE, VALUES)
def test_a_term_or_its_negation_holds_unless_neither_is_known(term: Naive, told: dict[str, Value]) -> None:
    holds, holds_negated = kept(term.text, told), kept(f"!{term.text}", told)
    assert not (holds and holds_negated)
    assert (holds or holds_negated) is (term.truth(told) is not None)


@given(ALTERNATIVES, VALUES, st.randoms(use_true_random=False))
def test_the_order_of_terms_and_alternatives_does_not_matter(
    alternatives: list[list[Naive]], told: dict[str, Value], random
) -> None:
    shuffled = [random.sample(terms, len(terms)) for terms in alternatives]
    random.shuffle(shuffled)
    assert kept(_written(alternatives), told) is kept(_written(shuffled), told)
