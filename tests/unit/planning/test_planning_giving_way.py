"""How work gives way: by its own rule, as gently as its node can do it."""

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.model.workload import Preemption, Request, Workload, WorkloadState
from gpualloc.planning.giving_way import Way, eviction_steps, way_out

GRANT = Grant("GPU-gpu01-0", Share.EXCLUSIVE)
PROCESS = {"device": "0", "workload": "w00000001", "memory_mib": 40_000}


def work(preempt=Preemption.SUSPEND, grants=(GRANT,), identity="w00000001", **request):
    return Workload(
        identity,
        "train",
        "ann",
        Request(("train",), preempt=preempt, **request),
        WorkloadState.RUNNING,
        1.0,
        revision=3,
        attempt=1,
        allocation=Allocation(identity, "gpu01", tuple(grants)),
    )


def node(**said):
    return scenes.node("gpu01", **{"devices": 2, "processes": [PROCESS], "available_mib": 44_000, **said})


def ways(workload, **said):
    return [found.way for found in way_out(workload, node(**said))]


def test_each_rule_allows_what_follows_it():
    hook = {"checkpoint_signal": "USR1"}
    assert ways(work(**hook)) == [Way.SUSPEND, Way.CHECKPOINT, Way.STOP]
    assert ways(work(Preemption.CHECKPOINT, **hook)) == [Way.CHECKPOINT, Way.STOP]
    assert ways(work(Preemption.CHECKPOINT, checkpoint_command=("save",))) == [Way.CHECKPOINT, Way.STOP]
    assert ways(work(Preemption.CHECKPOINT)) == [Way.STOP]
    assert ways(work(Preemption.STOP, **hook)) == [Way.STOP]
    assert ways(work(Preemption.NEVER, **hook)) == [Way.STAY]


@pytest.mark.parametrize(
    ("changes", "said", "why"),
    [
        ({}, {"driver_version": "565.57"}, "driver 565.57; 570 is needed"),
        ({}, {"driver_version": None}, "driver of unknown version"),
        ({}, {"available_mib": 43_999}, "44000 MiB of host memory are needed, 43999 MiB are free"),
        ({}, {"available_mib": None}, "not known"),
        ({}, {"processes": [{**PROCESS, "memory_mib": None}]}, "not known"),
        ({}, {"state": "unreachable"}, "does not answer"),
        ({"grants": ()}, {}, "it has no GPU"),
        ({"grants": (Grant("GPU-gpu01-0", Share.MIG, "MIG-1"),)}, {}, "work on MIG"),
        ({"grants": (Grant("GPU-gpu01-0", Share.MPS, fraction=0.5),)}, {}, "work on MPS"),
    ],
)
def test_what_cannot_be_suspended_says_why_and_goes_the_next_way(changes, said, why):
    found = way_out(work(**changes), node(**said))
    assert [each.way for each in found] == [Way.STOP]
    assert why in found[0].why


def test_the_steps_are_those_of_the_gentlest_way():
    snapshot = scenes.snapshot(node())
    suspend, unclaim = eviction_steps([work()], snapshot, "drained by ann")
    assert (suspend.kind, suspend.reason, suspend.allocation) == (StepKind.SUSPEND, StepReason.DRAIN, work().allocation)
    assert suspend.blast_radius.users == ("ann",)
    assert (unclaim.kind, unclaim.reason) == (StepKind.UNCLAIM, StepReason.DRAIN)
    steps = eviction_steps([work(checkpoint_signal="USR1")], snapshot, "drained by ann", not_by=[Way.SUSPEND])
    assert [step.kind for step in steps] == [StepKind.STOP, StepKind.UNCLAIM]
    assert steps[0].checkpoint
    assert not eviction_steps([work(Preemption.STOP)], snapshot, "drained by ann")[0].checkpoint
    assert eviction_steps([work(Preemption.NEVER)], snapshot, "drained by ann") == ()


@given(
    rules=st.lists(st.sampled_from(Preemption), max_size=6),
    driver=st.sampled_from([None, "535.1", "570.2"]),
    hook=st.booleans(),
)
def test_everybody_goes_but_those_who_never_do(rules, driver, hook):
    works = [
        work(rule, identity=f"w0000000{number}", checkpoint_signal="USR1" if hook else None)
        for number, rule in enumerate(rules)
    ]
    steps = eviction_steps(works, scenes.snapshot(node(driver_version=driver, processes=())), "drained")
    going = {step.workload for step in steps if step.kind in (StepKind.STOP, StepKind.SUSPEND)}
    assert going == {each.id for each in works if each.request.preempt is not Preemption.NEVER}
    assert [step.seq for step in steps] == list(range(1, len(steps) + 1))
    assert all(step.reason is StepReason.DRAIN for step in steps)


def test_a_node_that_was_not_seen_gives_nothing_away():
    elsewhere = replace(work(), allocation=Allocation("w00000001", "gpu09", (GRANT,)))
    assert eviction_steps([elsewhere], scenes.snapshot(node()), "drained") == ()
