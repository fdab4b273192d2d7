"""MIG layouts: their text, what makes them legal, and which profile serves a need."""

from __future__ import annotations

import pytest
from fakes import mig_tables
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import UsageError
from gpualloc.model.mig import (
    MigProfile,
    Place,
    check_layout,
    engine_totals,
    free_places,
    layout_of,
    layout_text,
    parse_layout,
    parse_target,
    profiles_for,
    room_of,
)
from gpualloc.sim.catalog import find, mig_table

NAMES = st.from_regex(r"[1-9]g\.[1-9][0-9]{0,2}gb(\+me(\.all)?|\+gfx|-me)?", fullmatch=True)
LAYOUTS = st.lists(st.builds(Place, NAMES, st.integers(0, 999)), max_size=8).map(layout_of)
SPACE = st.sampled_from(["", " ", "\t", "\n  "])


@given(LAYOUTS | st.none())
def test_a_target_is_read_as_it_was_written(target):
    assert parse_target(layout_text(target)) == target


@given(LAYOUTS, st.data())
def test_spaces_and_order_do_not_count(layout, data):
    pieces = [
        f"{data.draw(SPACE)}{place.profile}{data.draw(SPACE)}@{data.draw(SPACE)}{place.start}{data.draw(SPACE)}"
        for place in data.draw(st.permutations(layout))
    ]
    assert parse_layout(",".join(pieces)) == layout


def test_no_text_is_no_instances_and_off_is_no_mig_mode():
    assert (parse_layout(""), parse_target(" \n"), parse_target(" off ")) == ((), (), None)
    assert (layout_text(()), layout_text(None)) == ("", "off")


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("3g.40gb", "'3g.40gb'"),
        ("3g.40gb@", "'3g.40gb@'"),
        ("@0", "'@0'"),
        ("3g.40gb@-1", "'3g.40gb@-1'"),
        ("3g.40gb@x", "'3g.40gb@x'"),
        ("3g.40gb@1000", "'3g.40gb@1000'"),
        ("3g.40gb@٣", "'3g.40gb@٣'"),
        ("3g.40gb@0@4", "'3g.40gb@0@4'"),
        ("3g 40gb@0", "'3g 40gb@0'"),
        ("3g.40gb@0;1g.10gb@4", "'3g.40gb@0;1g.10gb@4'"),
        ("3g.40gb@0, 1g.10gb,2g.20gb@4", "'1g.10gb'"),
        ("3g.40gb@0,", "''"),
        (",", "''"),
        ("\x1b[2J@0", r"'\x1b[2J@0'"),
        ("off,3g.40gb@0", "'off'"),
    ],
)
def test_a_bad_piece_is_named(text, piece):
    with pytest.raises(UsageError) as raised:
        parse_target(text)
    assert raised.value.message == f"{piece} is not a place of a MIG instance"
    assert "profile@start" in (raised.value.hint or "")


def test_off_is_no_layout():
    with pytest.raises(UsageError):
        parse_layout("off")


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("H100-80GB", "3g.20gb@0", "the GPU has no MIG profile '3g.20gb'"),
        ("H100-80GB", "2g.20gb@6", "2g.20gb cannot start at 6"),
        (
            "H100-80GB",
            "4g.40gb@0,2g.20gb@2",
            "4g.40gb@0 and 2g.20gb@2 overlap: both take units 2 to 3 of the placement axis",
        ),
        (
            "H100-80GB",
            "1g.10gb@5,3g.40gb@4",
            "3g.40gb@4 and 1g.10gb@5 overlap: both take unit 5 of the placement axis",
        ),
        (
            "H100-80GB",
            "1g.10gb@0,1g.10gb@0",
            "1g.10gb@0 and 1g.10gb@0 overlap: both take unit 0 of the placement axis",
        ),
        (
            "H100-80GB",
            "1g.10gb+me@0,1g.10gb+me@1",
            "1g.10gb+me@0,1g.10gb+me@1 has 2 of 1g.10gb+me, and the GPU can have 1",
        ),
        (
            "A30-24GB",
            "1g.6gb+me@0,2g.12gb+me@2",
            "1g.6gb+me@0,2g.12gb+me@2 each take the media extension, and the GPU has one",
        ),
        (
            "RTX-PRO-6000-96GB",
            "1g.24gb@0,1g.24gb+me.all@3",
            "1g.24gb@0,1g.24gb+me.all@3 takes 5 nvdec engines, and the GPU has 4",
        ),
    ],
)
def test_an_illegal_layout_is_refused_by_what_is_wrong(key, text, message):
    with pytest.raises(UsageError) as raised:
        check_layout(mig_tables.profiles(key), parse_layout(text))
    assert raised.value.message == message


@pytest.mark.parametrize(
    ("key", "text", "hint"),
    [
        ("A30-24GB", "3g.20gb@0", "it has 1g.6gb, 1g.6gb+me, 2g.12gb, 2g.12gb+me, 4g.24gb"),
        ("A30-24GB", "2g.12gb@1", "it can start at 0, 2"),
    ],
)
def test_what_would_be_legal_is_listed(key, text, hint):
    with pytest.raises(UsageError) as raised:
        check_layout(mig_tables.profiles(key), parse_layout(text))
    assert raised.value.hint == hint


def test_a_gpu_that_tells_of_no_profile_has_only_the_empty_layout():
    check_layout((), ())
    assert free_places((), ()) == ()
    with pytest.raises(UsageError) as raised:
        check_layout((), parse_layout("1g.5gb@0"))
    assert raised.value.hint == "its driver tells of no MIG profile"


@pytest.mark.parametrize("key", mig_tables.KEYS)
def test_free_places_are_those_of_the_simulator_beside_every_layout(key):
    told = mig_tables.profiles(key)
    for layout, open_places in mig_tables.layouts(key).items():
        assert free_places(told, layout) == layout_of(open_places)


@pytest.mark.parametrize("key", ["A30-24GB", "A100-40GB", "RTX-PRO-6000-96GB"])
def test_exactly_what_the_simulator_allows_is_accepted(key):
    told, refused = mig_tables.profiles(key), 0
    for layout, open_places in mig_tables.layouts(key).items():
        check_layout(told, layout)
        for place in room_of(told).needs.keys() - open_places:
            refused += 1
            with pytest.raises(UsageError):
                check_layout(told, layout_of([*layout, place]))
    assert refused > 800


@pytest.mark.parametrize("key", mig_tables.KEYS)
def test_engines_are_counted_as_the_tables_of_the_models_count_them(key):
    totals = mig_table(find(key)).engine_totals
    assert totals.items() <= engine_totals(mig_tables.profiles(key)).items()


def test_engines_are_not_counted_where_no_profile_takes_the_whole_gpu():
    half = MigProfile("1g.5gb", 19, 1, (0, 1), 4864, 14, 2, (("copy", 4),))
    whole = MigProfile("2g.10gb", 0, 2, (0,), 9728, 28, 1, (("copy", None),))
    for told in [(half,), (half, whole)]:
        assert engine_totals(told) == {}
        check_layout(told, parse_layout("1g.5gb@0,1g.5gb@1"))


def names(key: str, **need: int) -> list[str]:
    return [profile.name for profile in profiles_for(mig_tables.profiles(key), **need)]


@pytest.mark.parametrize(
    ("key", "need", "expected"),
    [
        ("H100-80GB", {"memory_mib": 9984}, ["1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]),
        ("H100-80GB", {"memory_mib": 9985}, ["1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]),
        ("H100-80GB", {"sm_count": 27}, ["2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"]),
        ("H100-80GB", {"memory_mib": 20_000, "sm_count": 61}, ["4g.40gb", "7g.80gb"]),
        ("H100-80GB", {"memory_mib": 81_153}, []),
        ("A30-24GB", {}, ["1g.6gb", "2g.12gb", "4g.24gb"]),
        ("RTX-PRO-6000-96GB", {"sm_count": 188}, ["4g.96gb", "4g.96gb+gfx"]),
    ],
)
def test_the_smallest_sufficient_profile_comes_first(key, need, expected):
    assert names(key, **need) == expected


def test_a_media_extension_is_offered_only_when_nothing_else_would_do():
    plain = MigProfile("1g.5gb", 19, 1, (0, 1), 4864, None, 2)
    extended = MigProfile("1g.5gb+me", 20, 1, (0, 1), 4864, 14, 1, media_extension=True)
    assert profiles_for([extended, plain], memory_mib=1) == (plain,)
    assert profiles_for([extended, plain], sm_count=1) == (extended,)
