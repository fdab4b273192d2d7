"""What many nodes tell alike is kept and decoded once, and no node can put words into the mouth of another."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from fakes.hostile_wire import AT_S, SPEC, answers
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.alike_parts import AlikeParts, DecodedOnce
from gpualloc.adapters.fields import Fields, MalformedError
from gpualloc.adapters.picture import Picture
from gpualloc.node.delta import difference

LINKS = [{"index": number, "up": True, "remote": "switch", "errors": 0} for number in range(4)]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0, -0.0]) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=6,
)


def _told(links: object) -> dict[str, Any]:
    told = answers()
    told["sample"]["devices"][0]["nvlinks"] = copy.deepcopy(links)
    return told


def _picture(links: object) -> Picture:
    picture = Picture(SPEC)
    picture.take({"full": _told(links)})
    return picture


def test_nodes_that_tell_the_same_share_it() -> None:
    first, second = _picture(LINKS).node(AT_S), _picture(LINKS).node(AT_S)
    assert first.devices[0].nvlinks is second.devices[0].nvlinks
    assert [link.index for link in first.devices[0].nvlinks] == [0, 1, 2, 3]


def test_what_changes_on_one_node_stays_as_it_was_on_the_other() -> None:
    first, second = _picture(LINKS), _picture(LINKS)
    changed = [*LINKS[:2], {**LINKS[2], "errors": 7}, LINKS[3]]
    first.take({"delta": difference(_told(LINKS), _told(changed))})
    assert [link.errors for link in first.node(AT_S).devices[0].nvlinks] == [0, 0, 7, 0]
    assert [link.errors for link in second.node(AT_S).devices[0].nvlinks] == [0, 0, 0, 0]


def test_what_one_node_garbles_is_not_told_of_another() -> None:
    wrong = copy.deepcopy(LINKS)
    wrong[1]["index"] = True
    right = _picture(LINKS)
    with pytest.raises(MalformedError):
        _picture(wrong).node(AT_S)
    assert right.node(AT_S).devices[0].nvlinks[1].index == 1
    with pytest.raises(MalformedError):
        _picture(wrong).node(AT_S)


@given(st.lists(JSON, min_size=2, max_size=6))
def test_sharing_changes_nothing_that_is_said(parts: list[object]) -> None:
    common = AlikeParts()
    for part in parts:
        told = {"sample": {"devices": [{"nvlinks": part, "power_w": 1.0}]}}
        before = json.dumps(told)
        common.share(told)
        assert json.dumps(told) == before


@given(JSON)
def test_what_is_no_answer_stays_as_it_is(told: object) -> None:
    before = json.dumps(told)
    AlikeParts().share({"sample": told, "inventory": {"devices": told}})
    AlikeParts().share(told)
    assert json.dumps(told) == before


def test_what_is_nested_too_deep_is_left_alone() -> None:
    deep: list[object] = []
    for _ in range(3_000):
        deep = [deep]
    row = {"nvlinks": deep}
    AlikeParts().share({"sample": {"devices": [row]}})
    assert row["nvlinks"] is deep


def test_only_so_many_parts_are_kept() -> None:
    common = AlikeParts()
    rows = [{"nvlinks": [number]} for number in range(5_000)]
    common.share({"sample": {"devices": rows}})
    assert [row["nvlinks"] for row in rows] == [[number] for number in range(5_000)]
    assert len(common._parts) < 1_000


def test_a_part_is_decoded_once_for_as_long_as_it_is_the_same_object() -> None:
    decoded = []

    def decode(record: Fields) -> int:
        decoded.append(record.told["part"])
        return record.integer("part")

    once = DecodedOnce("part", decode)
    same = {"part": 10**9, "other": 1}
    assert [once(Fields(same, "a")), once(Fields({**same, "other": 2}, "b"))] == [10**9, 10**9]
    assert decoded == [10**9]
    assert [once(Fields({"part": 10**9 + number}, "c")) for number in range(100)] == [
        10**9 + number for number in range(100)
    ]
    with pytest.raises(MalformedError):
        once(Fields({"part": "none"}, "d"))
    with pytest.raises(MalformedError):
        once(Fields({"part": "none"}, "d"))
