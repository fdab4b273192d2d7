"""From the instances a GPU has to those it is to have: order, what stays, and what is refused."""

from __future__ import annotations

from random import Random

import pytest
from fakes import mig_tables
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError, UsageError
from gpualloc.model.mig import Layout, MigProfile, Place, layout_of, parse_layout, room_of
from gpualloc.planning.mig import Act, Held, Operation, in_the_way, transition

A100, RTX = "A100-40GB", "RTX-PRO-6000-96GB"
Change = tuple[str, Layout, frozenset[Place], Layout]


def instances(layout: str, *in_use: str) -> list[Held]:
    """The instances of a layout, those in use named by their places."""
    return mig_tables.held(parse_layout(layout), parse_layout(",".join(in_use)))


def told(operations: tuple[Operation, ...]) -> list[str]:
    """The operations as text: `-` destroys, `+` creates."""
    return [f"{'+' if operation.act is Act.CREATE else '-'}{operation.place}" for operation in operations]


@pytest.mark.parametrize(
    ("key", "current", "target", "expected"),
    [
        (A100, "", "", ""),
        (A100, "3g.20gb@0", "3g.20gb@0", ""),
        (A100, "", "1g.5gb@6,3g.20gb@0,2g.10gb@4", "+3g.20gb@0 +2g.10gb@4 +1g.5gb@6"),
        (A100, "3g.20gb@0,3g.20gb@4", "", "-3g.20gb@0 -3g.20gb@4"),
        (A100, "7g.40gb@0", "3g.20gb@0,3g.20gb@4", "-7g.40gb@0 +3g.20gb@0 +3g.20gb@4"),
        # What stands in no way goes last, and what is in both stays.
        (A100, "1g.5gb@0,1g.5gb@1,1g.5gb@6", "1g.5gb@1,2g.10gb@2", "+2g.10gb@2 -1g.5gb@0 -1g.5gb@6"),
        # Each goes right before the create that needs its units.
        (
            A100,
            "2g.10gb@0,2g.10gb@2,2g.10gb@4",
            "1g.5gb@0,1g.5gb@2,1g.5gb@4",
            "-2g.10gb@0 +1g.5gb@0 -2g.10gb@2 +1g.5gb@2 -2g.10gb@4 +1g.5gb@4",
        ),
        # Elsewhere on the axis, yet in the way: one media extension, so many engines.
        (A100, "1g.5gb@0,1g.5gb+me@6", "1g.5gb+me@3,1g.5gb@6", "-1g.5gb+me@6 +1g.5gb+me@3 +1g.5gb@6 -1g.5gb@0"),
        (RTX, "1g.24gb@6,1g.24gb-me@9", "1g.24gb+me.all@0", "-1g.24gb@6 +1g.24gb+me.all@0 -1g.24gb-me@9"),
        (
            RTX,
            "1g.24gb@3,1g.24gb@6,1g.24gb+gfx@9",
            "2g.48gb@0,1g.24gb@6",
            "-1g.24gb@3 +2g.48gb@0 -1g.24gb+gfx@9",
        ),
    ],
)
def test_destroyed_as_late_as_the_creates_allow(key: str, current: str, target: str, expected: str) -> None:
    done = transition(mig_tables.profiles(key), instances(current), parse_layout(target))
    assert told(done.operations) == expected.split()


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("double@0,single@2,single@3", "-single@2 -single@3 +hungry@5 -double@0"),
        ("single@0,single@2,single@3", "-single@0 -single@2 +hungry@5 -single@3"),
    ],
)
def test_the_fewest_smallest_and_first_make_way_where_there_is_a_choice(current: str, expected: str) -> None:
    """All three engines are taken, two are wanted, and no unit is: two instances must go, whichever."""

    def profile(name: str, size: int, starts: tuple[int, ...], engines: int) -> MigProfile:
        return MigProfile(name, 0, size, starts, 1000 * size, None, 6, (("copy", engines),))

    profiles = [
        profile("single", 1, (0, 1, 2, 3, 4, 5), 1),
        profile("double", 2, (0, 2, 4), 1),
        profile("hungry", 1, (5,), 2),
        profile("whole", 6, (0,), 3),
    ]
    done = transition(profiles, instances(current), parse_layout("hungry@5"))
    assert told(done.operations) == expected.split()


def test_instances_are_destroyed_by_uuid_and_kept_ones_are_told() -> None:
    current = instances("1g.5gb@0,2g.10gb@2", "2g.10gb@2")
    done = transition(mig_tables.profiles(A100), current, parse_layout("2g.10gb@2"))
    assert [operation.uuid for operation in done.operations] == ["MIG-1g.5gb@0"]
    assert done.kept == (current[1],)


@pytest.mark.parametrize(
    ("current", "in_use", "target", "message"),
    [
        (
            "3g.20gb@4",
            "3g.20gb@4",
            "3g.20gb@0,2g.10gb@4,1g.5gb@6",
            "MIG-3g.20gb@4 (3g.20gb@4) leaves no room for 2g.10gb@4, 1g.5gb@6",
        ),
        ("1g.5gb@6", "1g.5gb@6", "", "MIG-1g.5gb@6 (1g.5gb@6) is not in the layout"),
        ("1g.5gb@0", "1g.5gb@0", "1g.5gb+me@0", "MIG-1g.5gb@0 (1g.5gb@0) leaves no room for 1g.5gb+me@0"),
        ("1g.5gb+me@6", "1g.5gb+me@6", "1g.5gb+me@0", "MIG-1g.5gb+me@6 (1g.5gb+me@6) leaves no room for 1g.5gb+me@0"),
        (
            "1g.5gb@0,2g.10gb@2,1g.5gb@4",
            "1g.5gb@0,2g.10gb@2",
            "2g.10gb@0,1g.5gb@4",
            "MIG-1g.5gb@0 (1g.5gb@0) leaves no room for 2g.10gb@0; MIG-2g.10gb@2 (2g.10gb@2) is not in the layout",
        ),
    ],
)
def test_an_instance_in_use_that_would_have_to_go_is_named(
    current: str, in_use: str, target: str, message: str
) -> None:
    seen = instances(current, in_use)
    with pytest.raises(InfeasibleError) as raised:
        transition(mig_tables.profiles(A100), seen, parse_layout(target))
    assert raised.value.message == f"MIG instances in use would have to go: {message}"
    stuck = in_the_way(seen, parse_layout(target))
    assert stuck
    drained = [replace(held, in_use=held.in_use and held not in stuck) for held in seen]
    assert transition(mig_tables.profiles(A100), drained, parse_layout(target)).operations


def test_an_illegal_target_is_no_question_of_what_is_in_use() -> None:
    with pytest.raises(UsageError, match="overlap"):
        transition(mig_tables.profiles(A100), instances("7g.40gb@0", "7g.40gb@0"), parse_layout("4g.20gb@0,1g.5gb@3"))


@pytest.mark.parametrize(
    "unplaced",
    [
        Held("MIG-a", "1g.5gb", None, in_use=False),
        Held("MIG-a", "1c.3g.20gb", 0, in_use=False),
        Held("MIG-a", "2g.10gb", 1, in_use=False),
    ],
)
def test_nothing_is_created_around_an_instance_that_may_lie_anywhere(unplaced: Held) -> None:
    known = instances("1g.5gb@6")
    with pytest.raises(InfeasibleError, match="does not tell which units MIG instance MIG-a"):
        transition(mig_tables.profiles(A100), [unplaced, *known], parse_layout("3g.20gb@0,1g.5gb@6"))
    done = transition(mig_tables.profiles(A100), [unplaced, *known], parse_layout("1g.5gb@6"))
    assert done.operations == (Operation(Act.DESTROY, unplaced.place, "MIG-a"),)
    with pytest.raises(InfeasibleError, match=r"MIG-a \(.*\) is not in the layout"):
        transition(mig_tables.profiles(A100), [replace(unplaced, in_use=True)], ())


def test_a_gpu_instance_divided_by_someone_else_is_kept_or_refused() -> None:
    half = Held("MIG-a", "3g.20gb", 4, in_use=False)
    current = [half, replace(half, uuid="MIG-b")]
    kept = transition(mig_tables.profiles(A100), current, parse_layout("1g.5gb@0,3g.20gb@4"))
    assert (told(kept.operations), kept.kept) == (["+1g.5gb@0"], tuple(current))
    with pytest.raises(InfeasibleError, match=r"MIG-a .* and MIG-b .* share one GPU instance"):
        transition(mig_tables.profiles(A100), current, ())


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """A model, its layout, the places in use, and a target; often one that keeps some of the instances."""
    key = draw(st.sampled_from(mig_tables.KEYS))
    every = list(mig_tables.layouts(key))
    current = draw(st.sampled_from(every))
    in_use = frozenset(draw(st.sets(st.sampled_from(current)))) if current else frozenset()
    keeping = [layout for layout in every if in_use <= set(layout)]
    return key, current, in_use, draw(st.sampled_from(keeping) | st.sampled_from(every))


@settings(deadline=None)
@given(changes(), st.randoms())
def test_a_simulated_gpu_carries_it_out_or_an_instance_in_use_is_not_wanted(change: Change, chance: Random) -> None:
    key, current, in_use, target = change
    gpu, seen = mig_tables.gpu_with(key, current, in_use)
    before = mig_tables.generations(gpu)
    try:
        done = transition(mig_tables.profiles(key), chance.sample(seen, len(seen)), target)
    except InfeasibleError:
        assert not in_use <= set(target)
        return
    mig_tables.carry_out(gpu, done.operations)
    after = mig_tables.generations(gpu)
    kept = {place for place, generation in after.items() if before.get(place) == generation}
    assert set(after) == set(target)
    assert kept == set(current) & set(target) == {held.place for held in done.kept}
    assert in_use <= kept


@settings(deadline=None)
@given(changes())
def test_nothing_goes_before_a_create_needs_it(change: Change) -> None:
    """Every instance destroyed before a create, put back, would leave no room for that create."""
    key, current, _, target = change
    room = room_of(mig_tables.profiles(key))
    standing, destroyed = set(current), []
    creates = []
    for operation in transition(mig_tables.profiles(key), mig_tables.held(current), target).operations:
        assert operation.place is not None
        if operation.act is Act.DESTROY:
            destroyed.append(operation.place)
            standing.remove(operation.place)
            continue
        for place in destroyed:
            assert not room.fits(room.taken([*standing, place]), operation.place)
        standing.add(operation.place)
        creates.append(operation.place)
        destroyed = []
    assert layout_of(creates) == tuple(creates)


@settings(deadline=None)
@given(changes(), st.randoms())
def test_the_order_in_which_instances_are_seen_does_not_matter(change: Change, chance: Random) -> None:
    key, current, _, target = change
    seen = mig_tables.held(current)
    shuffled = chance.sample(seen, len(seen))
    told_in_order = transition(mig_tables.profiles(key), seen, target).operations
    assert transition(mig_tables.profiles(key), shuffled, target).operations == told_in_order
