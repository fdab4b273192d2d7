"""Cordons and drains: nothing new goes there, and what is there goes as it asked to."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.cordon import cordon, uncordon
from gpualloc.engine.devices import device_of
from gpualloc.engine.drain import drain
from gpualloc.engine.observe import look, observe
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.status import status
from gpualloc.engine.submit import submit
from gpualloc.errors import InfeasibleError, NotFoundError, UnreachableError, UsageError
from gpualloc.model.desired import CordonState
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.planning.giving_way import Way
from gpualloc.sim.cluster import Fault
from gpualloc.sim.demo import demo_cluster
from gpualloc.sim.gpu import FaultKind

FOREVER = ("python", "train.py")


def started(ctx, preempt=Preemption.STOP, **request):
    identity = submit(ctx, "x", Request(FOREVER, preempt=preempt, **request)).workload.id
    rebalance(ctx)
    return ctx.journal.find(identity)


def node_of(ctx, name):
    (node,) = look(ctx, [name]).nodes
    return node


def test_a_cordon_shows_where_work_is_looked_for_and_goes_again(ctx):
    (made, state), = cordon(ctx, ["yew01"], None, " new disks ")  # fmt: skip
    assert (made.reason, made.actor, state) == ("new disks", "ann", CordonState.CORDONED)
    assert node_of(ctx, "yew01").cordon == "new disks"
    assert uncordon(ctx, ["yew01"], None) == ((("yew01", None), True),)
    assert uncordon(ctx, ["yew01"], None) == ((("yew01", None), False),)
    assert node_of(ctx, "yew01").cordon is None
    assert [entry.kind for entry in ctx.journal.audit()] == ["cordon", "uncordon"]
    assert ctx.journal.verify_audit() is None


def test_a_device_is_named_by_index_uuid_or_its_start(ctx):
    device = node_of(ctx, "yew01").devices[2]
    for text in ("2", device.uuid, device.uuid[:12]):
        (made, _), = cordon(ctx, ["yew01"], text, None)  # fmt: skip
        assert (made.device, made.reason) == (device.uuid, "by ann")
    assert [each.cordon for each in node_of(ctx, "yew01").devices] == [None, None, "by ann"]
    with pytest.raises(NotFoundError, match="has no device '9'"):
        device_of(node_of(ctx, "yew01"), "9")
    with pytest.raises(NotFoundError, match="several devices 'GPU-"):
        device_of(node_of(ctx, "yew01"), "GPU-")
    with pytest.raises(UsageError, match="one device of one node"):
        cordon(ctx, ["yew01", "birch01"], "2", None)
    with pytest.raises(NotFoundError, match="no node 'yew'"):
        cordon(ctx, ["yew"], None, None)
    with pytest.raises(UsageError, match="printable"):
        cordon(ctx, ["yew01"], None, "a\x1b[31m")


def test_no_new_work_goes_to_a_cordoned_node(ctx):
    everything = [spec.name for spec in ctx.fleet.specs()]
    cordon(ctx, everything, None, "inventory")
    waiting = started(ctx)
    assert waiting.state is WorkloadState.PENDING
    assert waiting.reason.startswith("reserved: needs 1 free GPU; ")
    uncordon(ctx, ["yew01"], None)
    rebalance(ctx)
    running = ctx.journal.find(waiting.id)
    assert (running.state, running.allocation.node) == (WorkloadState.RUNNING, "yew01")
    cordon(ctx, ["yew01"], None, "again")
    release(ctx, [running.id])
    assert ctx.journal.find(running.id).state is WorkloadState.RELEASED


def test_a_drain_lets_work_run_and_tells_who_is_concerned(ctx):
    work = started(ctx)
    done = drain(ctx, [work.allocation.node], None, None)
    assert [(each.workload.id, each.way_out.way) for each in done.concerned] == [(work.id, Way.STOP)]
    assert [state for _, state in done.states] == [CordonState.DRAINING]
    assert (done.rounds, done.staying, done.error) == ((), (), None)
    assert ctx.journal.find(work.id).state is WorkloadState.RUNNING
    assert [state for _, state in status(ctx).cordons] == [CordonState.DRAINING]
    release(ctx, [work.id])
    assert [state for _, state in status(ctx).cordons] == [CordonState.DRAINED]


def test_evicted_work_waits_again_and_starts_elsewhere(ctx):
    work = started(ctx, cpus=2.0)
    node = work.allocation.node
    done = drain(ctx, [node], None, "new disks", evict=True)
    assert [state for _, state in done.states] == [CordonState.DRAINED]
    waiting = ctx.journal.find(work.id)
    assert (waiting.state, waiting.reason, waiting.allocation) == (
        WorkloadState.PENDING,
        f"drained from {node} by ann",
        None,
    )
    assert waiting.revision > work.revision
    assert node_of(ctx, node).claims == ()
    cycle = rebalance(ctx)
    running = ctx.journal.find(work.id)
    assert (running.state, running.attempt) == (WorkloadState.RUNNING, work.attempt + 1)
    assert running.allocation.node != node
    assert all(step.kind is not StepKind.UNCLAIM for step in cycle.plan.steps)
    assert ctx.journal.verify_audit() is None


def test_a_drain_of_a_device_leaves_the_work_beside_it(ctx):
    first, second = started(ctx, nodes=("birch01",)), started(ctx, nodes=("birch01",))
    (grant,) = first.allocation.grants
    done = drain(ctx, ["birch01"], grant.device, None, evict=True)
    assert [each.workload.id for each in done.concerned] == [first.id]
    assert ctx.journal.find(second.id).state is WorkloadState.RUNNING


def test_work_that_never_gives_way_stays_and_is_told(ctx):
    work = started(ctx, Preemption.NEVER)
    done = drain(ctx, [work.allocation.node], None, None, evict=True)
    assert (done.staying, done.rounds) == ((work.id,), ())
    assert isinstance(done.error, InfeasibleError)
    assert [state for _, state in done.states] == [CordonState.DRAINING]


def test_a_second_drain_keeps_the_reason_and_a_cordon_keeps_the_drain(ctx):
    drain(ctx, ["yew01"], None, "new disks")
    ((again, _),) = drain(ctx, ["yew01"], None, None).states
    ((over, state),) = cordon(ctx, ["yew01"], None, "new disks and fans")
    assert (again.reason, over.reason, over.drain, state) == (
        "new disks",
        "new disks and fans",
        True,
        CordonState.DRAINED,
    )


def test_a_silent_node_is_cordoned_all_the_same(made_context):
    ctx = made_context(cluster=replace(demo_cluster(), faults=(Fault("yew01", FaultKind.UNREACHABLE),)))
    done = drain(ctx, ["yew01"], None, None, evict=True)
    assert done.rounds == ()
    assert [each.cordon for each in look(ctx, ["yew01"]).nodes] == ["by ann"]
    with pytest.raises(UnreachableError, match="which device 0 is cannot be found out"):
        cordon(ctx, ["yew01"], "0", None)


def test_processes_that_a_drain_leaves_are_told_for_that_place_only(ctx):
    (node,) = observe(ctx, ["yew01"]).nodes
    there = [process for process in node.processes if process.workload is None]
    assert there
    assert [process for _, process in drain(ctx, ["yew01"], None, None).strangers] == there
    (busy, idle) = (there[0].device, next(each for each in node.devices if each.uuid != there[0].device))
    assert {process.device for _, process in drain(ctx, ["yew01"], busy, None).strangers} == {busy}
    assert drain(ctx, ["yew01"], idle.uuid, None).strangers == ()
