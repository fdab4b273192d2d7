"""The step of a resize, what waits for it, and the way back."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.outcome import after_success, after_undo
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.plan import INVERSE, StepKind, StepReason
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.planning.moving import resting_on_moves
from gpualloc.planning.order import joined
from gpualloc.planning.resizing import added, given_up, resize_steps, taken_back, with_devices
from gpualloc.planning.steps import steps_for

ALLOCATION = Allocation("w00000001", "n1", tuple(Grant(f"GPU-{n}", Share.EXCLUSIVE) for n in (1, 2)), cpus=4.0)
DEVICES = tuple(Device(f"GPU-{index}", index, "NVIDIA A100", 40_960) for index in (1, 2, 3))
SNAPSHOT = Snapshot(1.0, (Node(NodeSpec("n1", "default", "local"), NodeState.OK, 1.0, devices=DEVICES),))
REQUEST = Request(("train",), gpus=1, gpus_max=3, resize_command=("tell",))
WORK = Workload(
    "w00000001", "x", "ann", REQUEST, WorkloadState.RUNNING, 1.0, revision=7, attempt=3, allocation=ALLOCATION
)
MORE, FEWER = (with_devices(ALLOCATION, devices) for devices in (["GPU-3", "GPU-2", "GPU-1"], ["GPU-2"]))


def names(allocation):
    return [grant.device for grant in allocation.grants]


def test_what_it_has_keeps_its_order_and_its_limits():
    assert names(MORE) == ["GPU-1", "GPU-2", "GPU-3"]
    assert names(FEWER) == ["GPU-2"]
    assert {MORE.cpus, FEWER.cpus} == {4.0}


@pytest.mark.parametrize(("to", "gone", "new"), [(MORE, (), ("GPU-3",)), (FEWER, ("GPU-1",), ())])
def test_the_step_says_what_was_before_and_its_way_back_is_the_same_kind(to, gone, new):
    (step,) = resize_steps(WORK, to, SNAPSHOT, "why not")
    assert (step.kind, step.reason, step.attempt, step.revision) == (StepKind.RESIZE, StepReason.REBALANCE, 3, 7)
    assert step.devices_before == ("GPU-1", "GPU-2")
    assert (given_up(step), added(step)) == (gone, new)
    assert "why not" in step.detail
    assert INVERSE[step.kind] is StepKind.RESIZE
    back = taken_back(step)
    assert (back.allocation, back.devices_before) == (ALLOCATION, tuple(names(to)))
    assert (given_up(back), added(back)) == (new, gone)
    assert taken_back(back).allocation == to
    assert resize_steps(replace(WORK, allocation=None), to, SNAPSHOT, "") == ()


def test_the_books_follow_forth_and_back():
    (step,) = resize_steps(WORK, MORE, SNAPSHOT, "")
    done, (entry,) = after_success(WORK, step, {"seconds": 2.0}, actor="bob", at_s=5.0)
    assert (done.allocation, done.revision, done.state) == (MORE, 8, WorkloadState.RUNNING)
    assert (entry.kind, entry.actor) == ("resize", "bob")
    assert entry.detail == {"devices": names(MORE), "devices_before": names(ALLOCATION), "seconds": 2.0}
    undone, (entry,) = after_undo(done, step, {}, actor="bob", at_s=6.0)
    assert (undone.allocation, undone.revision) == (ALLOCATION, 9)
    assert entry.detail["devices"] == names(ALLOCATION)
    assert after_undo(WORK, step, {}, actor="bob", at_s=6.0) == (None, ()), "it never had more"
    ended = replace(WORK, state=WorkloadState.FINISHED)
    assert after_success(ended, step, {}, actor="bob", at_s=5.0) == (None, ())


def test_what_is_given_up_is_given_to_others_after_that():
    (resize,) = resize_steps(WORK, FEWER, SNAPSHOT, "")
    other = replace(WORK, id="w00000002", state=WorkloadState.PENDING, allocation=None, request=Request(("run",)))
    place = Allocation("w00000002", "n1", (Grant("GPU-1", Share.EXCLUSIVE),))
    starts = steps_for([place], {other.id: other}, SNAPSHOT)
    steps = resting_on_moves(joined(starts, [resize]), {WORK.id: WORK, other.id: other})
    assert [step.kind for step in steps][:2] == [StepKind.RESIZE, StepKind.CLAIM]
    assert steps[1].needs == (1,)


def test_it_gets_only_after_others_gave_it_up():
    third = replace(WORK, id="w00000003", allocation=with_devices(replace(ALLOCATION, workload="w00000003"), ["GPU-3"]))
    (grow,) = resize_steps(WORK, MORE, SNAPSHOT, "")
    both = replace(
        third, allocation=replace(third.allocation, grants=(*third.allocation.grants, Grant("GPU-4", Share.EXCLUSIVE)))
    )
    (shrink,) = resize_steps(both, with_devices(both.allocation, ["GPU-4"]), SNAPSHOT, "")
    steps = resting_on_moves(joined([grow], [shrink]), {WORK.id: WORK, both.id: both})
    assert [(step.workload, step.needs) for step in steps] == [("w00000003", ()), ("w00000001", (1,))]
