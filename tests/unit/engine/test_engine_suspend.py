"""Suspending and resuming over the simulated cluster behind the real node server."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.observe import look
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.submit import submit
from gpualloc.engine.suspend import resume, suspend
from gpualloc.errors import GpuallocError, InfeasibleError, NotFoundError, StepError, UnreachableError, UsageError
from gpualloc.model.plan import StepKind
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.sim.cluster import ClusterSpec, HostSpec

FOREVER = ("python", "train.py")


def cluster(driver="580.95.05", memory_gib=512):
    first = HostSpec("n1", ("A100-40GB", "A100-40GB"), cpus=32, memory_gib=memory_gib, driver=driver)
    second = HostSpec("n2", ("H100-80GB",), cpus=32, memory_gib=memory_gib, driver=driver)
    return ClusterSpec("two", (first, second))


@pytest.fixture
def ctx(made_context):
    return made_context("first-fit", cluster())


def begin(ctx, name="work", **request):
    identity = submit(ctx, name, Request(FOREVER, **{"gpus": 1, "nodes": ("n1",), **request})).workload.id
    rebalance(ctx)
    workload = ctx.journal.find(identity)
    assert workload.state is WorkloadState.RUNNING
    return workload


def devices(workload):
    return [grant.device for grant in workload.allocation.grants]


def seen(ctx, node="n1"):
    return look(ctx).node(node)


def used_by(ctx, workload):
    return [process.device for process in seen(ctx).processes if process.workload == workload.id]


def test_its_devices_are_free_while_it_is_suspended(ctx):
    workload = begin(ctx)
    now = suspend(ctx, workload.id)
    assert now.state is WorkloadState.SUSPENDED
    assert now.allocation == workload.allocation
    assert seen(ctx).claims == ()
    assert used_by(ctx, workload) == []
    others = [begin(ctx, f"other {number}") for number in range(2)]
    assert {uuid for other in others for uuid in devices(other)} == {device.uuid for device in seen(ctx).devices}
    with pytest.raises(StepError) as refused:
        resume(ctx, workload.id)
    assert (refused.value.reason, "--device" in refused.value.hint) == ("claimed", True)
    assert ctx.journal.find(workload.id).state is WorkloadState.SUSPENDED
    release(ctx, [other.id for other in others])
    assert resume(ctx, workload.id).state is WorkloadState.RUNNING
    assert used_by(ctx, workload) == devices(workload)
    assert [claim.workload for claim in seen(ctx).claims] == [workload.id]


def test_it_goes_on_elsewhere_and_is_there_from_then_on(ctx):
    workload = begin(ctx)
    other = next(device.uuid for device in seen(ctx).devices if device.uuid not in devices(workload))
    suspend(ctx, workload.id)
    assert devices(resume(ctx, workload.id, [other])) == [other]
    assert used_by(ctx, workload) == [other]
    suspend(ctx, workload.id)
    assert devices(resume(ctx, workload.id)) == [other]


def test_both_are_done_once_though_they_are_asked_for_twice(ctx):
    workload = begin(ctx)
    assert resume(ctx, workload.id).revision == workload.revision
    once = suspend(ctx, workload.id)
    assert suspend(ctx, workload.id) == once
    kinds = [entry.kind for entry in ctx.journal.audit(workload=workload.id)]
    assert sorted(kinds) == ["start", "submit", "suspend"]


def test_what_it_cannot_be_taken_to_is_refused_before_anything_is_moved(ctx):
    workload = begin(ctx)
    suspend(ctx, workload.id)
    elsewhere = seen(ctx, "n2").devices[0].uuid
    with pytest.raises(NotFoundError):
        resume(ctx, workload.id, [elsewhere])
    with pytest.raises(NotFoundError, match="has no device 'n2:0'"):
        resume(ctx, workload.id, ["n2:0"])
    with pytest.raises(UsageError):
        resume(ctx, workload.id, devices(workload) * 2)
    assert ctx.journal.find(workload.id).state is WorkloadState.SUSPENDED


def test_only_work_with_processes_is_suspended_or_resumed(ctx):
    waits = submit(ctx, "waits", Request(FOREVER, gpus=1)).workload
    for function in (suspend, resume):
        with pytest.raises(UsageError, match="pending"):
            function(ctx, waits.id)
    release(ctx, [waits.id])
    with pytest.raises(UsageError, match="released"):
        suspend(ctx, waits.id)


def test_an_old_driver_and_work_without_gpu_can_never_be_suspended(made_context):
    ctx = made_context("first-fit", cluster(driver="550.54.15"))
    for workload in (begin(ctx), begin(ctx, gpus=0)):
        with pytest.raises(InfeasibleError):
            suspend(ctx, workload.id)
        assert ctx.journal.find(workload.id).state is WorkloadState.RUNNING


def test_a_driver_before_580_goes_on_where_it_was_only(made_context):
    ctx = made_context("first-fit", cluster(driver="570.133.20"))
    workload = begin(ctx)
    other = next(device.uuid for device in seen(ctx).devices if device.uuid not in devices(workload))
    suspend(ctx, workload.id)
    with pytest.raises(InfeasibleError, match="580"):
        resume(ctx, workload.id, [other])
    assert resume(ctx, workload.id).state is WorkloadState.RUNNING


def test_a_host_without_room_is_told(made_context):
    ctx = made_context("first-fit", cluster(memory_gib=8))
    workload = begin(ctx)
    with pytest.raises(StepError) as refused:
        suspend(ctx, workload.id)
    assert refused.value.reason == "memory"
    assert [claim.workload for claim in seen(ctx).claims] == [workload.id]


def test_a_node_that_is_away_leaves_it_as_it_was(ctx):
    workload = begin(ctx)
    with pytest.raises(UnreachableError):
        suspend(replace(ctx, fleet=Away(ctx.fleet)), workload.id)
    assert ctx.journal.find(workload.id) == workload


class Away:
    """A fleet of which no node answers."""

    def __init__(self, fleet):
        self._fleet = fleet

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def observe(self, names=None, near=()):
        raise UnreachableError("n1: away")


class Refusing:
    """A fleet whose nodes refuse one kind of step."""

    def __init__(self, fleet, kind):
        self._fleet, self._kind = fleet, kind

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        if call.step.kind is self._kind:
            raise StepError("the disk is full", reason="disk", node=call.step.node)
        return self._fleet.do(call)


@pytest.mark.parametrize("kind", [StepKind.SUSPEND, StepKind.UNCLAIM])
def test_a_suspension_that_fails_midway_is_taken_back(ctx, kind):
    workload = begin(ctx)
    with pytest.raises(GpuallocError):
        suspend(replace(ctx, fleet=Refusing(ctx.fleet, kind)), workload.id)
    now = ctx.journal.find(workload.id)
    assert now.state is WorkloadState.RUNNING
    assert used_by(ctx, workload) == devices(workload)
    assert [claim.workload for claim in seen(ctx).claims] == [workload.id]
    assert suspend(ctx, workload.id).state is WorkloadState.SUSPENDED


@pytest.mark.parametrize("kind", [StepKind.CLAIM, StepKind.RESUME])
def test_a_resumption_that_fails_midway_is_taken_back(ctx, kind):
    workload = begin(ctx)
    suspend(ctx, workload.id)
    with pytest.raises(GpuallocError):
        resume(replace(ctx, fleet=Refusing(ctx.fleet, kind)), workload.id)
    assert ctx.journal.find(workload.id).state is WorkloadState.SUSPENDED
    assert used_by(ctx, workload) == []
    assert seen(ctx).claims == ()
    assert resume(ctx, workload.id).state is WorkloadState.RUNNING


def test_suspended_work_is_released(ctx):
    workload = begin(ctx)
    suspend(ctx, workload.id)
    (released,) = release(ctx, [workload.id])
    assert released.state is WorkloadState.RELEASED
    assert rebalance(ctx).quiet


def test_a_plan_has_the_room_of_suspended_work_and_leaves_it_in_peace(ctx):
    workload = begin(ctx, gpus=2)
    suspend(ctx, workload.id)
    submit(ctx, "next", Request(FOREVER, gpus=2, nodes=("n1",)))
    plan = make_plan(ctx)
    assert [step.kind for step in plan.steps] == [StepKind.CLAIM, StepKind.START]
    assert all(step.workload != workload.id for step in plan.steps)


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["begin", "suspend", "resume", "move", "release", "cycle"]), st.integers(0, 3)),
    max_size=14,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_whatever_is_asked_in_whatever_order_claims_and_use_are_those_of_running_work(made_context, actions):
    ctx = made_context("best-fit", cluster())
    for action, number in actions:
        workloads = [work for work in ctx.journal.workloads() if not work.state.ended]
        chosen = workloads[number % len(workloads)] if workloads else None
        with suppress(UsageError, InfeasibleError, StepError):  # what is asked may make no sense there
            _act(ctx, action, chosen)
        running = [work for work in ctx.journal.workloads([WorkloadState.RUNNING]) if work.allocation]
        held = sorted((uuid, work.id) for work in running for uuid in devices(work))
        nodes = look(ctx).nodes
        assert sorted((claim.device, claim.workload) for node in nodes for claim in node.claims) == held
        used = sorted((one.device, one.workload) for node in nodes for one in node.processes)
        assert used == held
    assert ctx.journal.open_runs() == ()


def _act(ctx, action, chosen):
    if action == "begin" or chosen is None:
        submit(ctx, "more", Request(FOREVER, gpus=1))
        rebalance(ctx)
    elif action == "suspend":
        suspend(ctx, chosen.id)
    elif action == "resume":
        resume(ctx, chosen.id)
    elif action == "move" and chosen.allocation:
        node = look(ctx).node(chosen.allocation.node)
        resume(ctx, chosen.id, [node.devices[-1].uuid])
    elif action == "release":
        release(ctx, [chosen.id])
    else:
        rebalance(ctx)


def test_one_device_cannot_stand_for_two(ctx):
    workload = begin(ctx, gpus=2)
    suspend(ctx, workload.id)
    with pytest.raises(UsageError, match="named twice"):
        resume(ctx, workload.id, ["0", "n1:0"])
    assert devices(resume(ctx, workload.id, ["n1:1", "0"])) == devices(workload)[::-1]
