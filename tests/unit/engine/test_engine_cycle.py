"""The whole cycle: what was asked for is reached, nothing is given twice, and a second cycle has nothing to do."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.apply import apply, failure
from gpualloc.engine.observe import look
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample, samples_of
from gpualloc.engine.submit import submit
from gpualloc.errors import InfeasibleError, NotFoundError, StalePlanError, UsageError
from gpualloc.model.inventory import NodeState
from gpualloc.model.plan import RunState, StepKind, StepReason
from gpualloc.model.sample import SeriesKind
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.sim.cluster import Fault
from gpualloc.sim.demo import demo_cluster
from gpualloc.sim.gpu import FaultKind

FOREVER = ("python", "train.py")


def states(ctx):
    return Counter(workload.state for workload in ctx.journal.workloads())


def claims(ctx):
    return [claim for node in look(ctx).nodes for claim in node.claims]


requests = st.builds(
    Request,
    command=st.sampled_from([FOREVER, ("sleep", "5000")]),
    gpus=st.integers(0, 4),
    cpus=st.one_of(st.none(), st.floats(0.5, 16)),
    memory_mib=st.one_of(st.none(), st.integers(64, 65536)),
    priority=st.integers(-2, 2),
) | st.builds(Request, command=st.just(FOREVER), gpus=st.just(1), fraction=st.sampled_from([0.25, 0.5]))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.lists(requests, max_size=10), policy=st.sampled_from(["first-fit", "best-fit", "spread"]))
def test_a_cycle_reaches_what_it_decided_and_a_second_has_nothing_to_do(made_context, wanted, policy):
    ctx = made_context(policy)
    for number, request in enumerate(wanted):
        submit(ctx, f"work {number}", request)
    first = rebalance(ctx)
    started = {step.workload for step in first.plan.steps if step.kind is StepKind.START}
    running = {work.id for work in ctx.journal.workloads([WorkloadState.RUNNING])}
    assert running == started
    assert len(started) + len(first.plan.rejections) == len(wanted)

    held = [(grant.visible_uuid, work.request.fraction or 1.0) for work in ctx.journal.workloads() if work.allocation
            for grant in work.allocation.grants]  # fmt: skip
    given_out = Counter()
    for uuid, fraction in held:
        given_out[uuid] += fraction
    assert all(total <= 1 for total in given_out.values())
    assert Counter(claim.mig_instance or claim.device for claim in claims(ctx)) == Counter(uuid for uuid, _ in held)

    second = rebalance(ctx)
    assert second.quiet
    assert [rejection.workload for rejection in second.plan.rejections] == [
        rejection.workload for rejection in first.plan.rejections
    ]

    release(ctx, [work.id for work in ctx.journal.workloads()])
    assert states(ctx) == Counter({WorkloadState.RELEASED: len(wanted)} if wanted else {})
    assert claims(ctx) == []
    assert ctx.journal.verify_audit() is None


def test_a_plan_changes_nothing(ctx):
    submit(ctx, "x", Request(FOREVER, gpus=2))
    before = (states(ctx), ctx.journal.audit(), look(ctx).nodes[0].claims)
    assert make_plan(ctx).applyable
    assert rebalance(ctx, dry_run=True).report is None
    assert (states(ctx), ctx.journal.audit(), look(ctx).nodes[0].claims) == before


def test_the_urgent_goes_first_whenever_it_came(ctx):
    for _ in range(8):
        submit(ctx, "filler", Request(FOREVER, gpus=4))
    urgent = submit(ctx, "urgent", Request(FOREVER, gpus=4, priority=9)).workload
    plan = make_plan(ctx)
    assert plan.steps[0].workload == urgent.id


def test_a_plan_is_stale_once_its_work_is_gone(ctx):
    workload = submit(ctx, "x", Request(FOREVER)).workload
    plan = make_plan(ctx)
    release(ctx, [workload.id])
    with pytest.raises(StalePlanError, match=workload.id):
        apply(ctx, plan)
    assert claims(ctx) == []


def test_a_plan_is_stale_once_a_device_is_taken(ctx, made_context):
    submit(ctx, "x", Request(FOREVER, gpus=4, nodes=("fir01",)))
    plan = make_plan(ctx)
    submit(ctx, "y", Request(FOREVER, gpus=1, priority=5, nodes=("fir01",)))
    rebalance(ctx)
    with pytest.raises(StalePlanError, match="fir01"):
        apply(ctx, plan)


def test_an_applied_plan_is_done_once(ctx):
    submit(ctx, "x", Request(FOREVER))
    plan = make_plan(ctx)
    report = apply(ctx, plan)
    assert failure(report) is None
    assert ctx.journal.applied(plan.id).state is RunState.DONE
    with pytest.raises(StalePlanError, match="applied already"):
        apply(ctx, plan)


def test_a_plan_of_real_nodes_is_not_for_a_simulation(ctx):
    submit(ctx, "x", Request(FOREVER))
    with pytest.raises(StalePlanError, match="real nodes"):
        apply(ctx, replace(make_plan(ctx), simulated=False))


def test_work_that_ended_gives_its_devices_to_who_waits(ctx):
    first = submit(ctx, "first", Request(("true",), gpus=4, nodes=("fir01",))).workload
    rebalance(ctx)
    second = submit(ctx, "second", Request(FOREVER, gpus=4, nodes=("fir01",))).workload
    rebalance(ctx)
    assert ctx.journal.find(first.id).state is WorkloadState.FINISHED
    assert ctx.journal.find(second.id).state is WorkloadState.RUNNING
    starts = [entry.workload for entry in ctx.journal.audit() if entry.kind == "start"]
    assert starts == [first.id, second.id]


def test_a_command_that_is_not_there_leaves_nothing_behind(ctx):
    bad = submit(ctx, "bad", Request(("/nonexistent/train",), gpus=2, memory_mib=512)).workload
    cycle = rebalance(ctx)
    assert failure(cycle.report) is not None
    ended = ctx.journal.find(bad.id)
    assert (ended.state, ended.exit_code) == (WorkloadState.FAILED, 127)
    assert claims(ctx) == []
    assert ctx.journal.open_runs() == ()
    assert rebalance(ctx).quiet


def test_a_node_that_is_away_keeps_its_work(made_context):
    cluster = demo_cluster()
    ctx = made_context(cluster=replace(cluster, speed=10_000.0, faults=(
        *cluster.faults, Fault("fir01", FaultKind.UNREACHABLE, from_s=20_000.0, until_s=200_000.0))))  # fmt: skip
    running = submit(ctx, "x", Request(("sleep", "5000"), gpus=4, nodes=("fir01",))).workload
    rebalance(ctx)
    begun_s = ctx.clock.now_s()
    ctx.clock.sleep(21_000.0)
    node = look(ctx).node("fir01")
    assert node.state is NodeState.UNREACHABLE
    rebalance(ctx)
    assert ctx.journal.find(running.id).state is WorkloadState.RUNNING
    assert ctx.clock.now_s() - begun_s >= 21_000.0
    waiting = submit(ctx, "y", Request(FOREVER, gpus=1, nodes=("fir01",))).workload
    assert [(one.workload, one.reason.value) for one in make_plan(ctx).rejections] == [(waiting.id, "node down")]


def test_a_claim_left_behind_is_cleaned_up(ctx):
    """A claim of ours for work that our state knows as ended, as an old backup of the state would make it."""
    kept = submit(ctx, "x", Request(FOREVER)).workload
    rebalance(ctx)
    lost = replace(ctx.journal.find(kept.id), state=WorkloadState.LOST, revision=ctx.journal.find(kept.id).revision + 1)
    with ctx.journal.write("test") as writer:
        writer.save([lost])
    plan = make_plan(ctx)
    assert [(step.kind, step.reason) for step in plan.steps] == [(StepKind.UNCLAIM, StepReason.CLEANUP)]
    apply(ctx, plan)
    assert claims(ctx) == []


def test_what_can_never_be_is_refused_at_once(ctx):
    with pytest.raises(InfeasibleError, match="8"):
        submit(ctx, "x", Request(FOREVER, gpus=64))
    with pytest.raises(NotFoundError, match="nowhere"):
        submit(ctx, "x", Request(FOREVER, nodes=("nowhere",)))
    with pytest.raises(UsageError):
        submit(ctx, "", Request(FOREVER))
    assert ctx.journal.workloads() == ()


def test_a_tick_has_a_row_for_everything_seen_and_gaps_for_the_unknown(ctx):
    snapshot = look(ctx)
    rows = list(samples_of(snapshot.nodes, 1000))
    devices = [device for node in snapshot.nodes for device in node.devices]
    assert sum(row.series.kind is SeriesKind.DEVICE for row in rows) == len(devices)
    silent = {device.uuid for device in devices if device.gpu_utilization_ratio is None}
    assert silent
    for row in rows:
        if row.series.key in silent:
            assert row.values["gpu_utilization_ratio"] is None
    assert sample(ctx, snapshot) == len(rows)


def test_work_that_waits_says_why_and_stops_saying_it_once_it_runs(ctx):
    first = submit(ctx, "first", Request(FOREVER, gpus=4, nodes=("fir01",))).workload
    rebalance(ctx)
    second = submit(ctx, "second", Request(FOREVER, gpus=4, nodes=("fir01",))).workload
    rebalance(ctx)
    assert ctx.journal.find(second.id).reason.startswith("no capacity: ")
    revision = ctx.journal.find(second.id).revision
    rebalance(ctx)
    assert ctx.journal.find(second.id).revision == revision
    release(ctx, [first.id])
    rebalance(ctx)
    assert (ctx.journal.find(second.id).state, ctx.journal.find(second.id).reason) == (WorkloadState.RUNNING, None)


def test_a_name_that_is_the_id_of_other_work_takes_nothing_from_it(ctx):
    victim = submit(ctx, "victim", Request(FOREVER)).workload
    submit(ctx, victim.id, Request(FOREVER))
    rebalance(ctx)
    assert states(ctx) == {WorkloadState.RUNNING: 2}
    (released,) = release(ctx, [victim.id])
    assert released.id == victim.id
