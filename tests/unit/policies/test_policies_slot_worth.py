"""What free slots are worth, and which places give away least of it."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import mig_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.model.mig import MigProfile, Place, parse_layout
from gpualloc.policies.slot_worth import GAIN_POWER, LOAD, Demand, SlotWorth, demand_of, worth_of
from gpualloc.policies.slots import Slot

A30, A100, RTX = "A30-24GB", "A100-40GB", "RTX-PRO-6000-96GB"


def worth(key: str, *seen: str) -> SlotWorth:
    profiles = mig_tables.profiles(key)
    found = worth_of(profiles, demand_of(profiles, seen))
    assert found is not None
    return found


def best(found: SlotWorth, used: str, profile: str) -> str:
    """The place of the profile that leaves the most worth, the lowest of several."""
    layout = parse_layout(used)
    places = sorted(
        (place for place in found.slots if place.profile == profile and place not in layout),
        key=lambda place: place.start,
    )
    left = {place: found.of((*layout, place)) for place in places}
    return str(max((place for place in places if left[place] is not None), key=lambda place: left[place] or 0.0))


@pytest.mark.parametrize(
    ("used", "profile", "expected"),
    [
        # Small work keeps out of the half that is still whole.
        ("1g.5gb@4", "1g.5gb", "1g.5gb@5"),
        ("1g.5gb@0", "1g.5gb", "1g.5gb@1"),
        ("3g.20gb@0", "1g.5gb", "1g.5gb@4"),
        # A half that could hold 4g stays for it.
        ("", "3g.20gb", "3g.20gb@4"),
        ("1g.5gb@2", "2g.10gb", "2g.10gb@0"),
    ],
)
def test_large_places_are_kept_whole(used: str, profile: str, expected: str) -> None:
    assert best(worth(A100), used, profile) == expected


def test_what_nobody_asks_for_is_not_kept_free() -> None:
    only_small: Demand = (("1g.6gb", 1.0),)
    found = worth_of(mig_tables.profiles(A30), only_small)
    assert found is not None
    held = frozenset({Slot(0, 1)})
    assert found.given_away(held, Slot(1, 1)) == found.given_away(held, Slot(2, 1))
    with_large = worth(A30)
    beside, apart = with_large.given_away(held, Slot(1, 1)), with_large.given_away(held, Slot(2, 1))
    assert beside is not None
    assert apart is not None
    assert beside < apart


def test_one_unit_that_one_kind_of_work_asks_for_is_worth_what_the_formula_says() -> None:
    one = MigProfile("1g", 1, 1, (0,), 1000, None, 1)
    found = worth_of([one], demand_of([one]))
    assert found is not None
    # From empty and from taken the same gain per time: g = LOAD x (1 + h) = -h.
    assert found.worth == pytest.approx([0.0, -LOAD / (LOAD + 1)])


@pytest.mark.parametrize("key", [A30, A100, RTX])
def test_it_solves_the_equations_of_the_loss_system(key: str) -> None:
    profiles, found = mig_tables.profiles(key), worth(key)
    axis, h = found.axis, found.worth
    parts = dict(demand_of(profiles))
    scale = LOAD * axis.units / sum(parts.get(each.name, 0) * each.size for each in profiles)
    gains = []
    for state, taken in enumerate(axis.states):
        gain = sum(h[axis.numbers[taken - {slot}]] - h[state] for slot in taken)
        for each in profiles:
            after = [int(axis.after[state, slot]) for slot in axis.slots_of(each) if axis.after[state, slot] >= 0]
            if after and each.name in parts:
                best_after = max(h[number] for number in after)
                gain += parts[each.name] * scale * ((each.size / axis.units) ** GAIN_POWER + best_after - h[state])
        gains.append(gain)
    assert gains == pytest.approx([gains[0]] * len(gains), abs=1e-4)


@settings(deadline=None)
@given(st.sampled_from([A30, RTX]), st.data())
def test_the_order_of_what_was_seen_does_not_matter_and_more_taken_is_never_worth_more(
    key: str, data: st.DataObject
) -> None:
    seen = data.draw(st.lists(st.sampled_from([profile.name for profile in mig_tables.profiles(key)]), max_size=8))
    found, again = worth(key, *seen), worth(key, *data.draw(st.permutations(seen)))
    assert np.array_equal(found.worth, again.worth)
    for state, row in enumerate(found.axis.after):
        assert all(found.worth[after] < found.worth[state] for after in row if after >= 0)


def test_a_layout_no_such_device_can_have_has_no_worth() -> None:
    found = worth(A100)
    assert found.of((Place("3g.20gb", 1),)) is None
    assert found.given_away(frozenset({Slot(0, 1)}), Slot(0, 1)) is None
    assert found.given_away(frozenset({Slot(0, 4)}), Slot(0, 1)) is None


def test_nothing_is_worth_anything_where_there_is_no_axis() -> None:
    assert worth_of([], ()) is None
    assert worth_of([MigProfile("1g", 1, 1, tuple(range(900)), 1000, None, 900)], (("1g", 1.0),)) is None


def test_demand_counts_what_was_seen_beside_one_of_each() -> None:
    profiles = mig_tables.profiles(A30)
    assert demand_of(profiles, ["1g.6gb", "1g.6gb", "9g.unknown", "1g.6gb+me"]) == (
        ("1g.6gb", 10.0),
        ("1g.6gb+me", 3.0),
        ("2g.12gb", 3.0),
        ("4g.24gb", 3.0),
    )
    assert dict(demand_of(profiles, ["1g.6gb"] * 1000)) == {"1g.6gb": 20.0, "2g.12gb": 1.0, "4g.24gb": 1.0}
