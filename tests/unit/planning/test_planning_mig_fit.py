"""Room made on a GPU for instances that waiting work needs."""

from __future__ import annotations

import json
from collections import Counter
from itertools import chain, combinations
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fakes import mig_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.model.mig import Layout, Place, layout_of, layout_text, parse_layout, room_of
from gpualloc.planning.mig import Held, transition
from gpualloc.planning.mig_fit import layout_for

A100, H100, RTX = "A100-40GB", "H100-80GB", "RTX-PRO-6000-96GB"
TRACES = json.loads((Path(__file__).parents[1] / "sim" / "golden_traces.json").read_text())
Need = tuple[str, Layout, frozenset[Place], list[str]]


def fitted(key: str, current: str, in_use: str, *wanted: str) -> str | None:
    """The layout as text; None when there is none."""
    held = mig_tables.held(parse_layout(current), parse_layout(in_use))
    layout = layout_for(mig_tables.profiles(key), held, wanted)
    return None if layout is None else layout_text(layout)


@pytest.mark.parametrize(
    ("current", "in_use", "wanted", "expected"),
    [
        ("", "", [], ""),
        ("3g.20gb@0", "", [], "3g.20gb@0"),
        # A small instance keeps out of the large places, and away from the starts that others need.
        ("", "", ["1g.5gb"], "1g.5gb@6"),
        ("", "", ["3g.20gb"], "3g.20gb@4"),
        ("1g.5gb@6", "1g.5gb@6", ["1g.5gb"], "1g.5gb@4,1g.5gb@6"),
        # Free instances stay while there is room without them.
        ("3g.20gb@4", "", ["1g.5gb"], "1g.5gb@0,3g.20gb@4"),
        ("1g.5gb@0", "", ["3g.20gb", "2g.10gb"], "1g.5gb@0,2g.10gb@2,3g.20gb@4"),
        # The fewest are given up, and of as many the smallest.
        ("1g.5gb@0,1g.5gb@1,3g.20gb@4", "", ["4g.20gb"], "4g.20gb@0,3g.20gb@4"),
        ("1g.5gb@0,1g.5gb@1,3g.20gb@4", "", ["3g.20gb"], "1g.5gb@0,1g.5gb@1,3g.20gb@4"),
        ("3g.20gb@0,2g.10gb@4,1g.5gb@6", "3g.20gb@0", ["1g.5gb+me"], "3g.20gb@0,2g.10gb@4,1g.5gb+me@6"),
        # Several at once, where one after the other in the order asked would have met the golden trap.
        ("", "", ["1g.5gb", "1g.5gb", "2g.10gb", "3g.20gb"], "1g.5gb@0,1g.5gb@1,2g.10gb@2,3g.20gb@4"),
        # In use they stay, and then there may be no room.
        ("1g.5gb@0,1g.5gb@4", "1g.5gb@0,1g.5gb@4", ["3g.20gb"], None),
        ("1g.5gb@0,1g.5gb@4", "1g.5gb@0", ["3g.20gb"], "1g.5gb@0,3g.20gb@4"),
        ("", "", ["7g.40gb", "1g.5gb"], None),
        ("1g.5gb+me@6", "1g.5gb+me@6", ["1g.5gb+me"], None),
        ("1g.5gb+me@6", "", ["1g.5gb+me"], "1g.5gb+me@6"),
        ("", "", ["9g.99gb"], None),
    ],
)
def test_room_is_made(current: str, in_use: str, wanted: list[str], expected: str | None) -> None:
    assert fitted(A100, current, in_use, *wanted) == expected


def test_what_is_known_of_the_worth_comes_before_open_places_and_after_what_is_given_up() -> None:
    def at_three(used: Layout) -> float:
        return float(Place("1g.5gb", 3) in used)

    profiles, free = mig_tables.profiles(A100), mig_tables.held(parse_layout("1g.5gb@3"))
    assert layout_for(profiles, [], ["1g.5gb"], at_three) == parse_layout("1g.5gb@3")
    assert layout_for(profiles, free, ["1g.5gb"], at_three) == parse_layout("1g.5gb@3,1g.5gb@6")


def test_engines_are_left_for_those_who_ask_for_them() -> None:
    assert fitted(RTX, "1g.24gb@0", "1g.24gb@0", "1g.24gb+me.all") is None
    assert fitted(RTX, "1g.24gb@0", "", "1g.24gb+me.all") == "1g.24gb+me.all@0"


@pytest.mark.parametrize("trace", [trace for trace in TRACES if trace.get("fits_rule", True)], ids=str)
def test_one_after_another_they_come_where_real_drivers_put_them(trace: dict[str, Any]) -> None:
    profiles = {profile.id: profile.name for profile in mig_tables.profiles(trace["model"])}
    layout: Layout = ()
    for number, start in zip(trace["create_without_placement"], trace["starts"], strict=True):
        held = mig_tables.held(layout, in_use=layout)
        made = layout_for(mig_tables.profiles(trace["model"]), held, [profiles[number]])
        assert made == (None if start is None else layout_of([*layout, Place(profiles[number], start)]))
        layout = made or layout


@pytest.mark.parametrize("trace", TRACES, ids=str)
def test_all_at_once_the_golden_sequences_fit_and_are_carried_out(trace: dict[str, Any]) -> None:
    key = trace["model"]
    profiles = {profile.id: profile.name for profile in mig_tables.profiles(key)}
    wanted = [profiles[number] for number in trace["create_without_placement"]]
    gpu, seen = mig_tables.gpu_with(key, ())
    layout = layout_for(mig_tables.profiles(key), seen, wanted)
    assert layout is not None
    assert sorted(place.profile for place in layout) == sorted(wanted)
    mig_tables.carry_out(gpu, transition(mig_tables.profiles(key), seen, layout).operations)
    assert layout_of(mig_tables.generations(gpu)) == layout


def test_what_cannot_be_placed_or_taken_apart_stays() -> None:
    profiles = mig_tables.profiles(A100)
    assert layout_for(profiles, [Held("MIG-a", "1g.5gb", None, in_use=False)], ["1g.5gb"]) is None
    assert layout_for(profiles, [Held("MIG-a", "1c.3g.20gb", 0, in_use=False)], ["1g.5gb"]) is None
    divided = [Held(uuid, "3g.20gb", 4, in_use=False) for uuid in ("MIG-a", "MIG-b")]
    assert layout_for(profiles, divided, ["3g.20gb"]) == parse_layout("3g.20gb@0,3g.20gb@4")
    assert layout_for(profiles, divided, ["7g.40gb"]) is None


@st.composite
def needs(draw: st.DrawFn) -> Need:
    """A model, its layout, the places in use, and profiles that work waits for."""
    key = draw(st.sampled_from(["A30-24GB", A100, RTX]))
    current = draw(st.sampled_from(list(mig_tables.layouts(key))))
    in_use = frozenset(draw(st.sets(st.sampled_from(current), max_size=3))) if current else frozenset()
    names = [profile.name for profile in mig_tables.profiles(key)]
    return key, current, in_use, draw(st.lists(st.sampled_from(names), max_size=4))


def by_trying_everything(key: str, current: Layout, in_use: frozenset[Place], wanted: list[str]) -> Layout | None:
    """The layout that the rules of `layout_for` prefer among all layouts of the model, judged by the simulator."""
    every, units = mig_tables.layouts(key), room_of(mig_tables.profiles(key)).units
    free = [place for place in current if place not in in_use]
    choices = list(chain.from_iterable(combinations(free, count) for count in range(len(free) + 1)))
    found = []
    for layout in every:
        for kept in choices:
            if len(layout) != len(in_use) + len(kept) + len(wanted) or not set(layout) >= in_use | set(kept):
                continue
            added = tuple(place for place in layout if place not in in_use and place not in kept)
            given_up = tuple(place for place in free if place not in kept)
            if Counter(place.profile for place in added) != Counter(wanted):
                continue
            open_places = len(every[layout_of([*in_use, *added])]), len(every[layout])
            starts = [[(place.start, place.profile) for place in places] for places in (added, given_up)]
            found.append((len(given_up), units(given_up), [-count for count in open_places], starts, layout))
    return min(found, key=lambda each: each[:4])[-1] if found else None


@settings(deadline=None)
@given(needs(), st.randoms())
def test_no_layout_of_all_is_better(need: Need, chance: Random) -> None:
    key, current, in_use, wanted = need
    held = mig_tables.held(current, in_use)
    found = layout_for(mig_tables.profiles(key), chance.sample(held, len(held)), chance.sample(wanted, len(wanted)))
    assert found == by_trying_everything(key, current, in_use, wanted)


@settings(deadline=None)
@given(needs())
def test_a_simulated_gpu_becomes_it_with_everything_in_use_untouched(need: Need) -> None:
    key, current, in_use, wanted = need
    gpu, seen = mig_tables.gpu_with(key, current, in_use)
    before = mig_tables.generations(gpu)
    target = layout_for(mig_tables.profiles(key), seen, wanted)
    if target is None:
        return
    mig_tables.carry_out(gpu, transition(mig_tables.profiles(key), seen, target).operations)
    after = mig_tables.generations(gpu)
    assert set(after) == set(target)
    assert {place: after[place] for place in in_use} == {place: before[place] for place in in_use}
    assert not Counter(wanted) - Counter(place.profile for place in after if place not in in_use)
