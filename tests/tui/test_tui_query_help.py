"""What helps while a filter is typed: how it can go on, and what it says in plain words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tui.query_rows import FIELDS, kept

from gpualloc.tui.query import parse
from gpualloc.tui.query_help import MAX_CONTINUATIONS, complete, explain, word_start
from gpualloc.tui.query_words import FilterError

ANY_TEXT = st.text(st.characters(exclude_categories=[]), max_size=60)


def _values(name: str) -> list[str]:
    return {
        "user": ["carl", "ann", "Bob Lee", "ann", 'q"q', "n/a", "=x", "a\x1b", "", "x" * 500],
        "state": ["busy", "idle"],
    }.get(name, [])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("u", ("user:", "util<", "util>")),
        ("busy !u", ("!user:", "!util<", "!util>")),
        ("mem", ("mem<", "mem>", "memory<", "memory>", "memory_total<", "memory_total>")),
        ("zzz", ()),
        ("state:", ("state:busy", "state:idle", "state:n/a")),
        ("busy or stat:I", ("stat:idle",)),
        ("state!=b", ("state!=busy",)),
        ("user:n", ("user:ann", 'user:"n/a"', "user:n/a")),
        ("-user:carl,b", ('-user:carl,"Bob Lee"',)),
        ('user:"bob l', ('user:"Bob Lee"',)),
        ('user:"', ("user:carl", "user:ann", 'user:"Bob Lee"', 'user:"q""q"', 'user:"n/a"', 'user:"=x"', "user:n/a")),
        ("util:", ("util:n/a",)),
        ("util<", ()),
        ("m:", ()),
        ('"us', ()),
    ],
)
def test_what_is_typed_can_go_on(text: str, words: tuple[str, ...]) -> None:
    found = complete(text, len(text), FIELDS, _values)
    # Those that begin with what is typed come first.
    assert set(found) == set(words)
    assert len(found) == len(words)


def test_at_a_blank_all_fields_can_follow() -> None:
    found = complete("busy ", 5, FIELDS, _values)
    assert found[:4] == ("node:", "model:", "state:", "user:")
    assert word_start("busy ", 5) == 5
    assert complete("", 0, FIELDS, _values) == found


def test_a_continuation_replaces_the_word_before_the_cursor() -> None:
    text, cursor = "busy stat util<5", 9
    assert word_start(text, cursor) == 5
    assert complete(text, cursor, FIELDS, _values) == ("state:",)


def test_what_begins_as_typed_comes_first() -> None:
    found = complete("user:x", 6, FIELDS, lambda _: ["axe", "xa", "bx", "xb"])
    assert found == ("user:xa", "user:xb", "user:axe", "user:bx")


def test_continuations_are_bounded() -> None:
    endless = (f"user{at}" for at in itertools.count())
    assert len(complete("user:u", 6, FIELDS, lambda _: endless)) == MAX_CONTINUATIONS
    assert complete("u" * 100_000, 3, FIELDS, _values) == ()


@given(ANY_TEXT, st.integers(-5, 70))
def test_continuing_any_text_never_fails(text: str, cursor: int) -> None:
    assert 0 <= word_start(text, cursor) <= len(text)
    for word in complete(text, cursor, FIELDS, _values):
        assert word


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20), st.sampled_from([":", "=", ":carl,"]))
def test_a_value_that_is_completed_finds_its_row(value: str, operator: str) -> None:
    text = f"user{operator}"
    shown = [word for word in complete(text, len(text), FIELDS, lambda _: [value]) if word != f"{text}n/a"]
    for word in shown:
        assert kept(word, {"user": value})
    assert bool(shown) is value.isprintable()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "everything"),
        ("model:h100 util<10", "model contains h100 and util below 10 %"),
        ("!user:ann,bob state!=ok", "user does not contain ann or bob and state is not ok"),
        ("-idle or us:a*", "no text contains idle, or user is like a*"),
        ("!user:a?", "user is not like a?"),
        ("util:n/a", "util is unknown"),
        ("util!=n/a", "util is known"),
        ("util:5,n/a", "util is 5 % or is unknown"),
        ("!util:5,n/a", "util is not 5 % and is known"),
        ("memory>=512m power<=300 temp>80", "memory at least 512 MiB and power at most 300 W and temp above 80 °C"),
        ("started<2h age>90 gpu:1", "started less than 2h ago and age above 90s and gpu is 1"),
        ("net>1.5g clock!=-5", "net above 1.5 GB/s and clock is not -5 MHz"),
        ('user="" busy\u202e', "user is empty and some text contains busy\\u202e"),
    ],
)
def test_filters_in_plain_words(text: str, said: str) -> None:
    assert explain(parse(text), FIELDS) == said


@pytest.mark.parametrize("text", ["zzz:1", "m:1", "user<1", "util<x", "util<n/a"])
def test_what_is_explained_is_checked_like_what_is_compiled(text: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse(text).over(FIELDS)
    with pytest.raises(FilterError) as caught:
        explain(parse(text), FIELDS)
    assert str(caught.value) == str(refused.value)
