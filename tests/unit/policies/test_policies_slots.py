"""The slot axis of a device as a graph of what can be taken together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from fakes import mig_tables

from gpualloc.model.mig import Layout, MigProfile, parse_layout, room_of
from gpualloc.policies.slots import Slot, SlotAxis, axis_of

A100 = "A100-40GB"


def axis(key: str) -> SlotAxis:
    found = axis_of(mig_tables.profiles(key))
    assert found is not None
    return found


def slots_of(profiles: Sequence[MigProfile], layout: Layout) -> frozenset[Slot]:
    sizes = {profile.name: profile.size for profile in profiles}
    return frozenset(Slot(place.start, sizes[place.profile]) for place in layout)


@pytest.mark.parametrize("key", ["A30-24GB", A100, "RTX-PRO-6000-96GB"])
def test_its_states_are_the_slots_of_every_layout_the_simulator_allows(key: str) -> None:
    profiles = mig_tables.profiles(key)
    assert set(axis(key).states) == {slots_of(profiles, layout) for layout in mig_tables.layouts(key)}


@pytest.mark.parametrize("key", ["A30-24GB", A100, "RTX-PRO-6000-96GB"])
def test_a_step_takes_one_free_slot_and_its_units(key: str) -> None:
    graph = axis(key)
    for number, taken in enumerate(graph.states):
        assert graph.state_of(taken) == number
        for slot, after in zip(graph.slots, graph.after[number], strict=True):
            if after < 0:
                assert any(
                    slot.start < other.start + other.size and other.start < slot.start + slot.size for other in taken
                )
                continue
            assert after > number
            assert graph.states[after] == taken | {slot}
            assert graph.free[after] == graph.free[number] - slot.size


def test_slots_of_a_profile_come_by_their_start() -> None:
    graph = axis(A100)
    two = next(profile for profile in mig_tables.profiles(A100) if profile.name == "2g.10gb")
    assert [graph.slots[number] for number in graph.slots_of(two)] == [Slot(0, 2), Slot(2, 2), Slot(4, 2)]


def test_what_a_device_cannot_have_is_no_state() -> None:
    graph = axis(A100)
    assert graph.state_of([Slot(0, 4), Slot(0, 1)]) is None
    assert graph.state_of([Slot(1, 2)]) is None
    assert graph.state_of(slots_of(mig_tables.profiles(A100), parse_layout("3g.20gb@0,1g.5gb@4"))) is not None


def test_a_device_without_profiles_has_the_empty_state_only() -> None:
    graph = axis_of([])
    assert graph is not None
    assert (graph.states, graph.units) == ((frozenset(),), 0)


def test_an_axis_with_too_many_states_is_refused_before_they_are_all_listed() -> None:
    endless = MigProfile("1g", 1, 1, tuple(range(900)), 1000, None, 900)
    assert room_of((endless,)).sizes == {"1g": 1}
    assert axis_of([endless]) is None
