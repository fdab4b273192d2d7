"""The power budget of a pool: never exceeded by what a plan starts, and no cap is lower than it must be."""

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Gang, Grant, Member, Share
from gpualloc.model.decision import Decision, RejectionReason
from gpualloc.model.desired import DesiredDevice
from gpualloc.model.gang import with_members
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.planning.budget import cap_steps, lifted, resting_on_caps, shared_out, within_budgets
from gpualloc.planning.order import joined
from gpualloc.planning.steps import steps_for

BUDGET_W = 1500.0
POWER = {"power_limit_w": 700.0, "power_limit_min_w": 200.0, "power_limit_max_w": 700.0}


def decision(*allocations):
    return Decision("p", "1", 0, tuple(allocations), ())


def start(workload, *devices, node="gpu01"):
    return Allocation(workload, node, tuple(Grant(f"GPU-{node}-{index}", Share.EXCLUSIVE) for index in devices))


def fleet(count=4, claims=(), processes=(), **power):
    devices = [{**POWER, **power} for _ in range(count)]
    return scenes.snapshot(scenes.node("gpu01", devices=devices, claims=claims, processes=processes))


def kept(snapshot, *allocations, running=(), desired=(), budgets=None):
    budgets = {"main": BUDGET_W} if budgets is None else budgets
    return within_budgets(decision(*allocations), snapshot, running, desired, budgets)


def watts(caps):
    return {cap.device.index: cap.watts for cap in caps}


def test_without_a_budget_nothing_is_looked_at():
    made = decision(start("a", 0, 1, 2, 3))
    assert within_budgets(made, fleet(), (), (), {}) == (made, ())
    assert kept(fleet(), *made.allocations, budgets={"other": 1.0}) == (made, ())


def test_what_fits_starts_as_it_is():
    made, caps = kept(fleet(), start("a", 0, 1))
    assert (len(made.allocations), caps) == (1, ())


def test_a_watt_too_much_is_capped_too():
    made, caps = kept(fleet(), start("a", 0, 1), budgets={"main": 1398.0})
    assert (len(made.allocations), watts(caps)) == (1, {0: 699.0, 1: 699.0})


def gang(name, *nodes):
    parts = [start(name, 0, 1, node=each) for each in nodes]
    members = [Member(rank, part.node, part.grants) for rank, part in enumerate(parts)]
    return with_members(replace(parts[0], gang=Gang(len(nodes), 2 * len(nodes), ())), members)


def test_the_members_of_a_gang_share_the_budget_or_none_of_them_starts():
    nodes = [scenes.node(name, devices=[POWER] * 4) for name in ("n1", "n2")]
    made, caps = kept(scenes.snapshot(*nodes), gang("a", "n1", "n2"))
    assert len(made.allocations) == 1
    assert [(cap.node.name, cap.device.index, cap.watts) for cap in caps] == [
        ("n1", 0, 375.0),
        ("n1", 1, 375.0),
        ("n2", 0, 375.0),
        ("n2", 1, 375.0),
    ]
    made, caps = kept(scenes.snapshot(*nodes), gang("a", "n1", "n2"), start("b", 2, node="n1"))
    assert [rejection.workload for rejection in made.rejections] == ["b"]
    made, caps = kept(scenes.snapshot(*nodes), gang("a", "n1", "n2"), start("b", 2, node="n1"), budgets={"main": 700.0})
    assert ([one.workload for one in made.rejections], [one.workload for one in made.allocations]) == (["a"], ["b"])


def test_each_member_rests_on_the_caps_of_its_node():
    nodes = [scenes.node(name, devices=[POWER] * 2) for name in ("n1", "n2")]
    made, caps = kept(scenes.snapshot(*nodes), gang("a", "n1", "n2"))
    steps = joined(cap_steps(caps), steps_for(made.allocations, {"a": scenes.workload("a")}, scenes.snapshot(*nodes)))
    needs = {(step.kind, step.node): step.needs for step in resting_on_caps(steps)}
    assert needs[StepKind.CLAIM, "n1"] == (1, 2)
    assert set(needs[StepKind.CLAIM, "n2"]) > {3, 4}


def test_what_does_not_fit_starts_with_equal_lower_caps():
    made, caps = kept(fleet(), start("a", 0, 1, 2))
    assert (len(made.allocations), watts(caps)) == (1, {0: 500.0, 1: 500.0, 2: 500.0})
    made, caps = kept(fleet(claims=[{"device": 3}]), start("a", 0, 1))
    assert watts(caps) == {0: 400.0, 1: 400.0}


@pytest.mark.parametrize(
    "seen",
    [
        {"claims": [{"device": 3}, {"device": 2}]},
        {"claims": [{"device": 3}], "processes": [{"device": 2}]},
    ],
)
def test_what_cannot_be_lowered_enough_waits_with_the_figures(seen):
    made, caps = kept(fleet(**seen), start("a", 0, 1))
    (rejection,) = made.rejections
    assert (made.allocations, caps, rejection.reason) == ((), (), RejectionReason.QUOTA)
    assert "pool main (1500 W), 2 GPUs busy: its GPUs take 400 W at least, and 100 W are left" in rejection.detail


def test_starts_count_one_after_another_and_a_device_only_once():
    made, caps = kept(fleet(), start("a", 0), start("b", 1), start("c", 2), start("d", 3), start("e", 0))
    assert [each.workload for each in made.allocations] == ["a", "b", "e"]
    assert [each.workload for each in made.rejections] == ["c", "d"]
    assert caps == ()


def test_our_books_count_although_the_claim_is_not_there():
    _, caps = kept(fleet(), start("a", 0, 1), running=[start("r", 3)])
    assert watts(caps) == {0: 400.0, 1: 400.0}


def test_an_unknown_limit_of_a_busy_device_lets_nothing_start():
    made, _ = kept(fleet(claims=[{"device": 3}], power_limit_w=None), start("a", 0))
    assert "the power limit of GPU-gpu01-3 is not known" in made.rejections[0].detail


def test_a_device_that_is_capped_still_gets_back_what_fits():
    desired = [DesiredDevice("gpu01", "GPU-gpu01-0", None, cap_w=300.0, uncapped_w=700.0)]
    snapshot = fleet(power_limit_w=300.0)
    _, caps = kept(snapshot, start("a", 0), desired=desired)
    assert watts(caps) == {0: 700.0}


def test_a_start_waits_for_the_caps_of_its_devices_and_for_no_others():
    def step(seq, kind, workload, *devices):
        return Step(seq, kind, "gpu01", workload, "", StepReason.WAITING, "", start(workload, *devices), 1, 1)

    _, caps = kept(fleet(), start("a", 0, 1, 2))
    steps = list(cap_steps(caps))
    told = [(each.kind, each.reason, each.wanted.power_limit_w, each.before.power_limit_w) for each in steps]
    assert told == [(StepKind.SET, StepReason.BUDGET, 500.0, 700.0)] * 3
    steps += [step(4, StepKind.CLAIM, "a", 0, 1, 2), replace(step(5, StepKind.START, "a", 0, 1, 2), needs=(4,))]
    steps += [step(6, StepKind.CLAIM, "b", 3)]
    assert [each.needs for each in resting_on_caps(steps)] == [(), (), (), (1, 2, 3), (4,), ()]


def test_a_cap_is_lifted_when_its_device_is_idle():
    desired = [
        DesiredDevice("gpu01", f"GPU-gpu01-{index}", None, cap_w=300.0, uncapped_w=700.0) for index in range(4)
    ] + [DesiredDevice("gpu01", "GPU-gone", None, cap_w=300.0, uncapped_w=700.0)]
    snapshot = fleet(claims=[{"device": 0, "workload": "a"}], processes=[{"device": 1}])
    assert watts(lifted(snapshot, desired, {"GPU-gpu01-2"})) == {3: 700.0}
    assert watts(lifted(snapshot, desired, {"GPU-gpu01-2"}, {"a"})) == {0: 700.0, 3: 700.0}


RANGES = st.lists(
    st.tuples(st.floats(0, 400), st.floats(0, 600)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=8,
)


@given(ranges=RANGES, room_w=st.floats(0, 4000))
def test_shares_are_in_range_fit_and_could_not_be_higher(ranges, room_w):
    levels = shared_out(ranges, room_w)
    if levels is None:
        assert sum(low for low, _ in ranges) > room_w
        return
    assert all(low <= level <= high for level, (low, high) in zip(levels, ranges, strict=True))
    assert sum(levels) <= room_w + 1e-6
    if sum(high for _, high in ranges) > room_w:
        tried = (sum(min(high, max(low, level)) for low, high in ranges) for level in range(1001))
        assert sum(levels) == max(total for total in tried if total <= room_w)
    else:
        assert levels == [high for _, high in ranges]


@given(
    starts=st.lists(st.sets(st.integers(0, 7), min_size=1, max_size=4), max_size=6),
    claimed=st.sets(st.integers(0, 7), max_size=3),
    budget_w=st.floats(100, 6000),
)
def test_no_plan_exceeds_the_budget_by_what_it_starts(starts, claimed, budget_w):
    snapshot = fleet(8, claims=[{"device": index} for index in claimed])
    allocations = [start(f"w{number}", *sorted(devices)) for number, devices in enumerate(starts)]
    made, caps = kept(snapshot, *allocations, budgets={"main": budget_w})
    assert len(made.allocations) + len(made.rejections) == len(allocations)
    limits = watts(caps)
    added = {int(grant.device.rpartition("-")[2]) for each in made.allocations for grant in each.grants} - claimed
    assert all(200.0 <= level <= 700.0 for level in limits.values())
    if added:
        assert sum(limits.get(index, 700.0) for index in added) + 700.0 * len(claimed) <= budget_w + 1e-6
