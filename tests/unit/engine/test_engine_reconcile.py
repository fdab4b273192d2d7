"""A foreign hand changes what gpualloc made: drift shows it, and reconcile makes it again."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.drift import drift
from gpualloc.engine.observe import look
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.reconcile import await_nodes, clear_doubts, propose
from gpualloc.engine.settings import carry_out, settings_plan
from gpualloc.engine.submit import submit
from gpualloc.errors import InfeasibleError, NotFoundError, StepError, UsageError
from gpualloc.model.desired import ComputeMode, DeviceSettings
from gpualloc.model.inventory import NodeState
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.model.workload import Request
from gpualloc.planning.settings import SettingsChange
from gpualloc.ports import StepCall
from gpualloc.sim.cluster import Fault
from gpualloc.sim.demo import demo_cluster
from gpualloc.sim.gpu import FaultKind

POWER = SettingsChange(DeviceSettings(power_limit_w=300.0, sm_clock_min_mhz=210, sm_clock_max_mhz=1410))


def by_hand(ctx, plan, kind, **changes):
    """Do a step on what the plan changed last, as somebody would who knows nothing of our books."""
    run = ctx.journal.applied(plan.id)
    foreign = replace(plan.steps[-1], kind=kind, **changes)
    ctx.fleet.do(StepCall("r0", 1, run.fence, ctx.journal.controller, foreign, None))


def running(ctx, **request):
    identity = submit(ctx, "x", Request(("python", "train.py"), **request)).workload.id
    plan = rebalance(ctx).plan
    return ctx.journal.find(identity), plan


def fields(ctx):
    return [(each.field, each.drift.value) for each in drift(ctx).differences]


def test_limits_and_claims_that_went_are_made_again(ctx):
    work, plan = running(ctx, gpus=1, cpus=4.0, memory_mib=2048)
    assert fields(ctx) == []
    by_hand(ctx, plan, StepKind.UNLIMIT)
    by_hand(ctx, plan, StepKind.UNCLAIM)
    assert sorted(fields(ctx)) == [("claim", "missing"), ("cpus", "missing"), ("memory_mib", "missing")]

    proposal = propose(ctx)
    assert {step.reason for step in proposal.plan.steps} == {StepReason.REPAIR}
    (before,) = (each for each in look(ctx).nodes if each.name == work.allocation.node)
    assert before.claims == ()
    report = apply(ctx, proposal.plan)
    assert failure(report) is None
    assert fields(ctx) == []
    assert propose(ctx).plan.steps == ()
    assert ctx.journal.find(work.id) == work
    assert ctx.journal.verify_audit() is None


class RefusingFleet:
    """A fleet whose nodes can set no limits."""

    def __init__(self, fleet):
        self._fleet = fleet

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        if call.step.kind is StepKind.LIMIT:
            raise StepError("no such controller", reason="no-cgroup", node=call.step.node)
        return self._fleet.do(call)


def test_a_repair_that_fails_takes_nothing_from_work_that_runs(ctx):
    work, plan = running(ctx, gpus=1, cpus=4.0)
    by_hand(ctx, plan, StepKind.UNLIMIT)
    by_hand(ctx, plan, StepKind.UNCLAIM)
    report = apply(replace(ctx, fleet=RefusingFleet(ctx.fleet)), propose(ctx).plan)
    assert [step.kind for step, _ in report.failed] == [StepKind.LIMIT]
    assert [step.kind for step in report.done] == [StepKind.CLAIM]
    (node,) = look(ctx, [work.allocation.node]).nodes
    assert [claim.workload for claim in node.claims] == [work.id]
    assert ctx.journal.find(work.id) == work
    assert fields(ctx) == [("cpus", "missing")]


def set_on(ctx, *targets, device=None, change=POWER):
    plan = settings_plan(ctx, targets, device, change)
    report = carry_out(ctx, plan, release=change.release)
    assert failure(report) is None
    return plan


def device_of(ctx, node, index):
    (seen,) = look(ctx, [node]).nodes
    return seen.devices[index]


def test_settings_are_set_kept_over_a_reboot_and_given_back(ctx):
    before = device_of(ctx, "yew01", 2).settings
    plan = set_on(ctx, "yew01", device="2")
    (step,) = plan.steps
    assert step.before == DeviceSettings(power_limit_w=700.0, sm_clock_min_mhz=0, sm_clock_max_mhz=0)
    assert device_of(ctx, "yew01", 2).settings.power_limit_w == 300.0
    (desired,) = ctx.journal.desired()
    assert (desired.settings, desired.before) == (POWER.settings, step.before)

    by_hand(ctx, plan, StepKind.SET, wanted=step.before, before=step.wanted)
    assert len(fields(ctx)) == 3
    assert failure(apply(ctx, propose(ctx).plan)) is None
    assert fields(ctx) == []

    set_on(ctx, "yew01", device="2", change=SettingsChange(release=True))
    assert device_of(ctx, "yew01", 2).settings == before
    assert ctx.journal.desired() == ()
    assert settings_plan(ctx, ["yew01"], "2", SettingsChange(release=True)).steps == ()


def test_a_second_change_keeps_what_was_there_before_the_first(ctx):
    uuid = device_of(ctx, "yew01", 2).uuid
    set_on(ctx, uuid)
    set_on(ctx, uuid, change=SettingsChange(DeviceSettings(power_limit_w=400.0, compute_mode=ComputeMode.PROHIBITED)))
    set_on(ctx, "yew01:2", change=SettingsChange(power_default=True))
    assert device_of(ctx, "yew01", 2).settings.power_limit_w == 700.0
    set_on(ctx, uuid, change=SettingsChange(release=True))
    after = device_of(ctx, "yew01", 2).settings
    assert (after.power_limit_w, after.compute_mode, after.sm_clock_max_mhz) == (700.0, ComputeMode.DEFAULT, 0)


@pytest.mark.parametrize(
    ("targets", "device", "change", "error", "said"),
    [
        (["yew01"], "2", SettingsChange(DeviceSettings(power_limit_w=9000.0)), UsageError, "175 to 700 W"),
        (["yew01"], None, SettingsChange(), UsageError, "something to set"),
        (["yew01"], None, replace(POWER, release=True), UsageError, "something to set"),
        (["yew01", "birch01"], "2", POWER, UsageError, "one device of one node"),
        (["yew09"], None, POWER, NotFoundError, "no node 'yew09'"),
        (["GPU-nothing"], None, POWER, NotFoundError, "GPU-nothing"),
        (["yew01"], "9", POWER, NotFoundError, "no device '9'"),
    ],
)
def test_what_cannot_be_set_says_why(ctx, targets, device, change, error, said):
    with pytest.raises(error, match=said):
        settings_plan(ctx, targets, device, change)


def test_a_sick_device_is_not_set(made_context):
    ctx = made_context(cluster=replace(demo_cluster(), faults=(Fault("yew01", FaultKind.HUNG, gpu=2),)))
    with pytest.raises(InfeasibleError, match="not well"):
        settings_plan(ctx, ["yew01"], "2", POWER)


def test_nodes_are_awaited_until_they_answer_or_the_time_is_over(made_context):
    faults = (Fault("yew01", FaultKind.UNREACHABLE, until_s=3.0), Fault("birch01", FaultKind.UNREACHABLE))
    ctx = made_context(cluster=replace(demo_cluster(), faults=faults, speed=50.0))
    (node,) = await_nodes(ctx, ["yew01"], 60.0).nodes
    assert node.state is NodeState.OK
    (silent,) = await_nodes(ctx, ["birch01"], 3.0).nodes
    assert silent.state is NodeState.UNREACHABLE
    assert drift(ctx).unknown == ("birch01",)


def test_there_are_no_doubts_to_clear_in_a_quiet_world(ctx):
    doubts = clear_doubts(ctx)
    assert (doubts.recovered, doubts.asked) == ((), ())
