"""The filter language: what is kept, and what is refused."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from tui.fleet_fixture import NOW_S
from tui.query_rows import FIELDS, GPU, MOMENT, Row, kept

from gpualloc.tui.fields import Field, Value
from gpualloc.tui.listings.fleet import FLEET
from gpualloc.tui.listings.processes import PROCESSES
from gpualloc.tui.listings.workloads import WORKLOADS
from gpualloc.tui.query import parse
from gpualloc.tui.query_words import MAX_QUERY_CHARS, FilterError


def _refused(text: str) -> FilterError:
    with pytest.raises(FilterError) as caught:
        parse(text).over(FIELDS)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "h100",
        "BOB",
        "lee h100 gpu03",
        '"bob lee"',
        "model:h100 util<10 mem>50% state!=ok user:ann busy",
        "user:ann",
        'user:"bob lee"',
        "USER:LEE",
        'user="bob lee"',
        "user!=bob",
        "user:carl,ann",
        'user:"carl, too",bob*',
        "us:ann",
        "node=GPU03",
        "node:gpu",
        "node:gpu0?",
        "node:*03",
        "model:*h100*hbm?",
        "!idle",
        "-idle",
        "!user:carl",
        "!node:gpu1*",
        "idle or busy",
        "idle OR node:gpu03 busy",
        "gpu:0,2",
        "util:7",
        "util=7%",
        "util>0.5",
        "util!=8",
        "mem:50",
        "mem:50.4",
        "memory:39.1",
        "memory<40",
        "memory>=39g",
        "memory:40000m",
        "memory>1GB",
        "memory_t:79.6",
        "power:302",
        "power>300W",
        "temp>=66",
        "temp<=66°C",
        "clock:1410",
        "age:5m",
        "age:330s",
        "age:330",
        "age<1h30m",
        "started:2h",
        "started>1h59m",
        "started<=2h",
        "net:12M",
        "net<1.5G",
        "!util:n/a",
        "util!=n/a",
    ],
)
def test_filters_that_keep_the_row(text: str) -> None:
    assert kept(text)


@pytest.mark.parametrize(
    "text",
    [
        "idle",
        "h100 idle",
        "!busy",
        "!model:h100",
        "user:carl",
        "user=bob",
        "user!=ann",
        "!user!=carl",
        "node:gpu?",
        'node:"gpu0?"',
        "node=gpu*",
        "util<7",
        "util>7",
        "util:0.07",
        "util>10",
        "!util<10",
        "mem:50.5",
        "memory>40",
        "memory:40",
        "memory<512m",
        "age:6m",
        "age:4m",
        "started<2h",
        "started:n/a",
        "user:n/a",
        "idle or user:carl or util>50",
        "2",
    ],
)
def test_filters_that_leave_the_row_out(text: str) -> None:
    assert not kept(text)


@pytest.mark.parametrize("unknown", [None, float("nan")])
@pytest.mark.parametrize("term", ["util<10", "util>=0", "util:0", "util!=7", "util=7", "util<10 or util>=10"])
def test_what_is_unknown_is_neither_so_nor_otherwise(term: str, unknown: Value) -> None:
    told = GPU | {"util": unknown}
    assert not kept(term, told)
    assert not kept(" or ".join("!" + one for one in term.split(" or ")), told)


@pytest.mark.parametrize("name", [one.name for one in FIELDS])
def test_what_is_unknown_is_found_by_its_word_alone(name: str) -> None:
    untold = {key: value for key, value in GPU.items() if key != name}
    for text, of_unknown in ((":n/a", True), ("=N/A", True), ("!=n/a", False)):
        assert kept(name + text, untold) is of_unknown
        assert kept(name + text) is not of_unknown
        assert kept(f"!{name}{text}", untold) is not of_unknown
    assert not kept(f'{name}:"7"', untold)


def test_an_unknown_one_among_several_is_wanted_too() -> None:
    assert kept("util:n/a,7")
    assert kept("util:n/a,7", {})
    assert not kept("!util:n/a,9", {})
    assert kept("!util:n/a,9")


def test_a_quoted_word_for_unknown_is_a_text() -> None:
    assert not kept('user:"n/a"', {})
    assert kept('user:"n/a"', {"user": "n/a"})


def test_nobody_is_not_unknown() -> None:
    told = GPU | {"user": ()}
    assert kept("!user:* user!=ann !user:ann !user:n/a", told)
    assert not kept("user:*", told)


def test_bare_text_is_looked_for_in_each_text_alone() -> None:
    assert kept("!ann", {"node": "gpu03", "user": None})
    assert not kept("hbm3busy")
    assert not kept('"hbm3 busy"')


def test_texts_match_as_they_are_shown() -> None:
    told: dict[str, Value] = {"user": "a\x1b[31mb\0c"}
    assert kept(r"user:a\x1b[31mb", told)
    assert kept(r"b\x00c", told)
    assert not kept("user:*[[]*", told)


@pytest.mark.parametrize(
    ("text", "told"),
    [("モデル", "モデル-3"), ("user:שלום*", "שלום עולם"), ("user=STRASSE", "Straße"), ("user:e\u0301", "cafe\u0301")],
)
def test_wide_combining_and_right_to_left_texts_are_found(text: str, told: str) -> None:
    assert kept(text, {"user": told})


def test_moments_to_come_are_a_negative_time_ago() -> None:
    told: dict[str, Value] = {"started": NOW_S + 3600}
    assert kept("started<0 started>-2h started:-1h started:-60m", told)
    assert not kept("started:1h", told)


@pytest.mark.parametrize(
    ("text", "at", "says", "hint"),
    [
        ("utl<10", 0, "no field is called utl", "did you mean util"),
        ("busy zzz:1", 5, "no field is called zzz", "fields are node, model"),
        ("m:1", 0, "m could be model, mem, memory, memory_total", None),
        ("memor<1", 0, "memor could be memory, memory_total", None),
        ("user<3", 0, "user is a text", None),
        ("busy util<ten", 10, "util takes a percentage", None),
        ("gpu:0,x", 6, "gpu takes a number, not x", None),
        ("memory<40%", 7, "memory takes a size in GiB", None),
        ("temp>hot", 5, "temp takes degrees Celsius", None),
        ("age>400d", 4, "age takes a time up to 366d", None),
        ("util<n/a", 5, "above or below an unknown value", None),
        ('util:""', 5, "not an empty text", None),
        ("user:", 5, "expected a value after user:", None),
        ("user:ann,", 5, "both sides of the comma", None),
        ("user:!ann", 4, ":! is no operator", "! stands before the field"),
        ("util<>5", 4, "<> is no operator", None),
        ("<5", 0, "expected the name of a field before <", '"<"'),
        ("!=5", 1, "expected the name of a field before =", None),
        ("busy !", 5, "expected a term after !", "!idle"),
        ("or busy", 0, "before `or`", '"or"'),
        ("busy or or idle", 8, "before `or`", None),
        ("busy or", 5, "after `or`", None),
        ('busy user:"bob', 5, "a double quote opens here", None),
        ('""', 0, "expected a text between the quotes", None),
        ("ab\x1bc", 2, "a control character", None),
        ("x" * 100_000, MAX_QUERY_CHARS, "longer than 2000 characters", None),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, at: int, says: str, hint: str | None) -> None:
    error = _refused(text)
    assert error.at == at
    assert error.message.startswith(f"filter, column {at + 1}: ")
    assert says in error.message
    assert (hint or "") in (error.hint or "")


def test_errors_are_safe_to_draw() -> None:
    for text in ("util<\u202e5", "gpu:1,\u202e"):
        assert _refused(text).message.isprintable()


@pytest.mark.parametrize("text", ['"or"', '"util<5"', '"!busy"', "0000:65:00.0", "/dev/nvidia0", '"a""b"'])
def test_quotes_and_texts_that_begin_with_no_letter_are_bare_texts(text: str) -> None:
    looked_for = text[1:-1].replace('""', '"') if text[0] == '"' else text
    assert kept(text, {"node": f"x{looked_for}x"})
    assert not kept(text)


def test_eight_thousand_rows_are_asked_for_what_the_filter_needs_alone() -> None:
    rows = [Row(GPU | {"node": f"gpu{at // 8:04}", "util": at % 100 / 100}) for at in range(8000)]
    test = parse("util<10 model:h100,h200 mem>50").over(FIELDS)
    assert sum(test(row, MOMENT) for row in rows) == 800
    assert set(itertools.chain.from_iterable(row.asked for row in rows)) == {"util", "model", "mem"}
    assert rows[99].asked == ["util"]


def test_hostile_patterns_are_matched_in_one_pass() -> None:
    told: dict[str, Value] = {"node": "a" * 300}
    assert not kept("node:" + "*a" * 290 + "*b", told)
    assert kept("node:" + "*a" * 290 + "*", told)


def test_documented_filters_are_filters() -> None:
    page = (Path(__file__).parents[2] / "docs" / "top-filter.md").read_text()
    examples = re.findall(r"^\| `([^`]+)` \|", page.partition("## Examples")[2], re.MULTILINE)
    assert len(examples) >= 5
    lists = (FLEET.fields, PROCESSES.fields, WORKLOADS.fields)
    for text in examples:
        assert any(_compiles(text, fields) for fields in lists), text


def _compiles(text: str, fields: tuple[Field[Any], ...]) -> bool:
    try:
        return bool(parse(text).over(fields))
    except FilterError:
        return False
