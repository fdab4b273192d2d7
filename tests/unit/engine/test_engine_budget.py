"""A pool with a power budget: work starts with lower limits, and the limits come back when it is gone."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.context import Settings
from gpualloc.engine.drift import drift
from gpualloc.engine.observe import look
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.settings import carry_out, settings_plan
from gpualloc.engine.submit import submit
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.planning.settings import SettingsChange
from gpualloc.sim.demo import demo_cluster

NODE = "yew01"
DEVICE = 2
"""A free GPU of 175 to 700 W; the other GPUs of the node are in MIG mode."""


@pytest.fixture
def pool(ctx):
    (spec,) = [spec for spec in ctx.fleet.specs() if spec.name == NODE]
    return spec.pool


def limit_w(ctx):
    (node,) = look(ctx, [NODE]).nodes
    return node.devices[DEVICE].power_limit_w


def busy_w(ctx, pool):
    found = 0.0
    for node in look(ctx).nodes:
        for device in node.devices:
            used = {each.device for each in (*node.claims, *node.processes)}
            if node.spec.pool == pool and device.uuid in used:
                found += device.power_limit_w
    return found


def with_budget(ctx, pool, watts):
    return replace(ctx, settings=Settings(power_budgets={pool: watts}))


def started(ctx, command=("python", "train.py")):
    identity = submit(ctx, "x", Request(command, gpus=1, nodes=(NODE,))).workload.id
    return identity, rebalance(ctx)


def test_work_starts_with_a_lower_limit_which_comes_back_with_its_release(ctx, pool):
    budget_w = busy_w(ctx, pool) + 400
    ctx = with_budget(ctx, pool, budget_w)
    identity, cycle = started(ctx)
    assert [(step.kind, step.reason) for step in cycle.plan.steps][:1] == [(StepKind.SET, StepReason.BUDGET)]
    assert cycle.plan.steps[1].needs == (1,)
    assert limit_w(ctx) == 400
    assert busy_w(ctx, pool) <= budget_w
    assert drift(ctx).differences == ()
    assert rebalance(ctx).quiet

    release(ctx, [identity])
    assert limit_w(ctx) == 700
    assert [row for row in ctx.journal.desired() if row.cap_w is not None] == []
    assert drift(ctx).differences == ()


def test_work_that_ended_by_itself_gives_the_limit_back_with_the_next_plan(made_context, pool):
    ctx = made_context(cluster=replace(demo_cluster(), speed=1000.0))
    ctx = with_budget(ctx, pool, busy_w(ctx, pool) + 300)
    _, cycle = started(ctx, command=("sleep", "500"))
    assert cycle.plan.steps[0].wanted.power_limit_w == 300
    ctx.clock.sleep(1000)
    (lift,) = rebalance(ctx).plan.steps
    assert (lift.kind, lift.reason, lift.wanted.power_limit_w) == (StepKind.SET, StepReason.BUDGET, 700)
    assert (limit_w(ctx), rebalance(ctx).quiet) == (700, True)


def test_where_even_the_lowest_limit_is_too_much_it_waits(ctx, pool):
    ctx = with_budget(ctx, pool, busy_w(ctx, pool) + 100)
    identity, cycle = started(ctx)
    workload = ctx.journal.find(identity)
    assert workload.state is WorkloadState.PENDING
    assert workload.reason.startswith(f"quota: power budget of pool {pool}")
    assert cycle.report is None


def test_a_limit_that_was_set_comes_back_after_a_cap(ctx, pool):
    plan = settings_plan(ctx, [NODE], str(DEVICE), SettingsChange(DeviceSettings(power_limit_w=500.0)))
    carry_out(ctx, plan, release=False)
    ctx = with_budget(ctx, pool, busy_w(ctx, pool) + 300)
    identity, _ = started(ctx)
    assert limit_w(ctx) == 300
    assert drift(ctx).differences == ()
    release(ctx, [identity])
    assert limit_w(ctx) == 500
    plan = settings_plan(ctx, [NODE], str(DEVICE), SettingsChange(release=True))
    carry_out(ctx, plan, release=True)
    assert limit_w(ctx) == 700
