"""What another plan does otherwise with the work that waits."""

from __future__ import annotations

from fakes.sample_world import step
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.model.plan import Plan, Step, StepKind
from gpualloc.planning.difference import Fate, differences, fates

NAMES = ("w1", "w2", "w3")


def start(seq: int, workload: str, node: str, device: str) -> Step:
    allocation = Allocation(workload, node, (Grant(device, Share.EXCLUSIVE),))
    return replace(step(seq, StepKind.START), workload=workload, node=node, allocation=allocation)


def plan(places: dict[str, tuple[str, str] | None]) -> Plan:
    """Workload to node and device; None waits."""
    steps = tuple(start(seq, name, *place) for seq, (name, place) in enumerate(places.items(), 1) if place)
    waiting = tuple(
        Rejection(name, RejectionReason.NO_CAPACITY, "all in use") for name, place in places.items() if place is None
    )
    return Plan("p1", 0.0, "pack", "1", 0, True, {}, "", steps, waiting)


_PLACES = st.dictionaries(
    st.sampled_from(NAMES), st.one_of(st.none(), st.tuples(st.sampled_from(("n1", "n2")), st.sampled_from(("a", "b"))))
)


@given(_PLACES)
def test_equal_plans_differ_in_nothing(places: dict[str, tuple[str, str] | None]) -> None:
    assert differences(plan(places), plan(places)) == ()


@given(_PLACES, _PLACES)
def test_what_differs_is_each_workload_that_is_elsewhere(
    one: dict[str, tuple[str, str] | None], other: dict[str, tuple[str, str] | None]
) -> None:
    found = {each.workload: (each.before, each.after) for each in differences(plan(one), plan(other))}
    nowhere = object()
    assert set(found) == {name for name in NAMES if one.get(name, nowhere) != other.get(name, nowhere)}
    back = {each.workload: (each.after, each.before) for each in differences(plan(other), plan(one))}
    assert back == found


def test_a_fate_is_a_place_or_why_it_waits() -> None:
    found = fates(plan({"w1": ("n1", "a"), "w2": None}))
    assert found == {
        "w1": Fate((("n1", (Grant("a", Share.EXCLUSIVE),)),)),
        "w2": Fate(waits="no capacity: all in use"),
    }


def test_another_reason_to_wait_is_no_difference() -> None:
    one = plan({"w1": None})
    other = replace(one, rejections=(Rejection("w1", RejectionReason.FRAGMENTED, "not together"),))
    assert differences(one, other) == ()


def test_members_of_a_gang_are_all_told() -> None:
    steps = (start(1, "w1", "n1", "a"), start(2, "w1", "n2", "b"))
    assert [node for node, _ in fates(replace(plan({}), steps=steps))["w1"].places] == ["n1", "n2"]
