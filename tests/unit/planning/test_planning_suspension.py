"""The steps of a suspension and of a resumption."""

import pytest

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.plan import INVERSE, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.suspension import moved_to, resume_steps, still_held, suspend_steps

GRANTS = (Grant("GPU-1", Share.EXCLUSIVE), Grant("GPU-2", Share.EXCLUSIVE, memory_mib=8000))
ALLOCATION = Allocation("w00000001", "n1", GRANTS, cpus=4.0, memory_mib=1024)
SNAPSHOT = Snapshot(
    1.0,
    (
        Node(
            NodeSpec("n1", "default", "local"),
            NodeState.OK,
            1.0,
            devices=tuple(Device(f"GPU-{index}", index, "NVIDIA A100", 40_960) for index in (1, 2, 3)),
        ),
    ),
)


def workload(state=WorkloadState.RUNNING, allocation=ALLOCATION):
    request = Request(("train",), gpus=2)
    return Workload("w00000001", "x", "ann", request, state, 1.0, revision=7, attempt=3, allocation=allocation)


def test_the_devices_are_given_back_once_their_memory_is_free():
    steps = suspend_steps(workload(), SNAPSHOT)
    assert [(step.seq, step.kind, step.needs) for step in steps] == [
        (1, StepKind.SUSPEND, ()),
        (2, StepKind.UNCLAIM, (1,)),
    ]
    assert [step.allocation for step in steps] == [ALLOCATION, None]
    assert {(step.attempt, step.revision, step.node, step.workload) for step in steps} == {(3, 7, "n1", "w00000001")}
    assert {step.reason for step in steps} == {StepReason.OPERATOR}
    assert all("GPU 1,2" in step.target and step.blast_radius.users == ("ann",) for step in steps)
    assert INVERSE[steps[0].kind] is StepKind.RESUME


def test_another_reason_can_be_given():
    assert {step.reason for step in suspend_steps(workload(), SNAPSHOT, StepReason.DRAIN)} == {StepReason.DRAIN}


def test_what_has_no_place_is_not_suspended():
    assert suspend_steps(workload(WorkloadState.PENDING, None), SNAPSHOT) == ()


def test_the_devices_are_claimed_before_it_goes_on():
    suspended = workload(WorkloadState.SUSPENDED)
    elsewhere = moved_to(ALLOCATION, ["GPU-1", "GPU-3"])
    for allocation in (ALLOCATION, elsewhere):
        steps = resume_steps(suspended, allocation, SNAPSHOT)
        assert [(step.kind, step.needs) for step in steps] == [(StepKind.CLAIM, ()), (StepKind.RESUME, (1,))]
        assert {step.allocation for step in steps} == {allocation}
        assert {step.devices_before for step in steps} == {("GPU-1", "GPU-2")}
        assert {step.attempt for step in steps} == {3}


def test_a_move_changes_the_devices_and_nothing_else():
    moved = moved_to(ALLOCATION, ["GPU-3", "GPU-1"])
    assert [grant.device for grant in moved.grants] == ["GPU-3", "GPU-1"]
    assert moved_to(moved, ["GPU-1", "GPU-2"]) == ALLOCATION
    with pytest.raises(ValueError, match="argument"):
        moved_to(ALLOCATION, ["GPU-3"])


def test_suspended_work_holds_memory_of_its_host_and_no_device():
    (held,) = still_held(workload(WorkloadState.SUSPENDED))
    assert (held.grants, held.cpus, held.memory_mib) == ((), None, 1024)
    assert still_held(workload()) == (ALLOCATION,)
    assert still_held(workload(WorkloadState.PENDING, None)) == ()
