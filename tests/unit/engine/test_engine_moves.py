"""Rebalance moves running work over the simulated cluster, when that gains more than it costs."""

import itertools
from array import array

import pytest
from msgspec.structs import replace

from gpualloc.engine.past import past_of
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample
from gpualloc.engine.submit import submit
from gpualloc.model.forecast import Forecasts
from gpualloc.model.plan import StepKind
from gpualloc.model.rebalancing import IDLE_REASON, MoveKind, RebalanceRules
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.sim.cluster import ClusterSpec, HostSpec

FOREVER = ("python", "train.py")
HOUR = 3600.0


def two_by_two():
    first = HostSpec("n1", ("A100-40GB",) * 2, cpus=32, memory_gib=512, driver="580.95.05")
    second = HostSpec("n2", ("A100-40GB",) * 2, cpus=32, memory_gib=512, driver="580.95.05")
    return ClusterSpec("two", (first, second))


@pytest.fixture
def world(made_context, wall):
    """A function that makes the world; its clock is `wall`."""
    return lambda policy="first-fit": made_context(policy, two_by_two(), wall)


@pytest.fixture
def ctx(world):
    return world()


def ask(ctx, name, **request):
    return submit(ctx, name, Request(FOREVER, **request)).workload.id


def scattered(ctx, wall):
    """Half a device in use on each of n1's, and n2 full: two whole devices' worth is free, in two halves."""
    ask(ctx, "full", gpus=2, nodes=("n2",), preempt=Preemption.NEVER)
    ids = []
    for n in range(4):
        wall.step(1.0)
        ids.append(ask(ctx, f"half {n}", gpus=1, fraction=0.5, nodes=("n1",), gpu_memory_mib=8_000))
    rebalance(ctx)
    release(ctx, [ids[1], ids[2]])
    wall.step(2 * HOUR)
    return ids[0], ids[3]


def where(ctx, identity):
    return {grant.device for grant in ctx.journal.find(identity).allocation.grants}


def with_rules(ctx, **rules):
    settings = replace(ctx.settings, rebalance=replace(RebalanceRules(cool_down_s=0.0), **rules))
    return replace(ctx, settings=settings)


def test_halves_are_put_together_for_work_that_waits_for_a_whole_device(ctx, wall):
    one, other = scattered(ctx, wall)
    assert where(ctx, one) != where(ctx, other)
    waiting = ask(ctx, "whole", gpus=1)
    rebalance(with_rules(ctx, moves=0))
    assert ctx.journal.find(waiting).state is WorkloadState.PENDING
    wall.step(HOUR)
    cycle = rebalance(ctx)
    assert [move.kind for move in cycle.better.moves] == [MoveKind.RELOCATE]
    assert where(ctx, one) == where(ctx, other)
    assert {ctx.journal.find(work).state for work in (one, other, waiting)} == {WorkloadState.RUNNING}
    assert where(ctx, waiting).isdisjoint(where(ctx, one))
    (move,) = cycle.better.moves
    start = next(step for step in cycle.plan.steps if step.workload == waiting and step.kind is StepKind.CLAIM)
    gave = next(s for s in cycle.plan.steps if s.workload == move.workload and s.kind is StepKind.UNCLAIM)
    assert gave.seq in start.needs
    assert rebalance(ctx).quiet


def test_nothing_moves_that_has_just_been_moved_or_started_or_gains_too_little(ctx, wall):
    scattered(ctx, wall)
    ask(ctx, "whole", gpus=1)
    held = rebalance(ctx).better
    assert held.moves == ()
    assert [each.guard for each in held.held_back] == ["gain"], "it has waited no time at all"
    wall.step(HOUR)
    assert rebalance(with_rules(ctx, min_run_s=1e6)).better.moves == ()
    assert rebalance(with_rules(ctx, tenant_moves=0)).better.moves == ()
    assert rebalance(with_rules(ctx, max_age_s=-1.0)).better.moves == ()


def test_moved_work_that_has_ended_counts_in_the_budget_of_its_tenant(ctx, wall):
    ctx = with_rules(ctx, idle_worth=0.9)
    scattered(ctx, wall)
    (move,) = rebalance(ctx).better.moves
    release(ctx, [move.workload])
    running = ctx.journal.workloads([WorkloadState.RUNNING])
    assert move.workload not in {work.id for work in running}
    assert past_of(ctx, ctx.settings.rebalance, running, {}).moved == {ctx.actor: frozenset({move.workload})}
    wall.step(2 * HOUR)
    assert past_of(ctx, ctx.settings.rebalance, running, {}).moved == {}


def test_work_that_saves_itself_starts_again_elsewhere_in_the_same_plan(world, wall):
    ctx = world()
    checkpoint = {"preempt": Preemption.CHECKPOINT, "checkpoint_signal": "USR1", "checkpoint_grace_s": 5.0}
    first = ask(ctx, "first", gpus=1, **checkpoint)
    second = ask(ctx, "second", gpus=1, nodes=("n2",), preempt=Preemption.NEVER)
    rebalance(ctx)
    wall.step(2 * HOUR)
    waiting = ask(ctx, "pair", gpus=2)
    wall.step(HOUR)
    cycle = rebalance(ctx)
    assert [(move.kind, move.to.node) for move in cycle.better.moves] == [(MoveKind.REQUEUE, "n2")]
    assert {ctx.journal.find(work).state for work in (first, second, waiting)} == {WorkloadState.RUNNING}
    assert ctx.journal.find(first).allocation.node == "n2"
    assert ctx.journal.find(first).attempt == 2
    assert ctx.journal.find(waiting).allocation.node == "n1"


def notebooks(ctx):
    for node in ("n1", "n2"):
        submit(ctx, f"notebook on {node}", Request(("jupyter", "lab"), gpus=2, nodes=(node,)))
    rebalance(ctx)


def sampled(ctx, wall, seconds):
    for _ in range(int(seconds // 60)):
        wall.step(60.0)
        sample(ctx)


def test_idle_work_gives_way_and_goes_on_when_its_place_is_free(world, wall):
    ctx = with_rules(world(), idle_after_s=600.0, min_run_s=600.0)
    ctx = replace(ctx, settings=replace(ctx.settings, sample_every_s=60.0))
    notebooks(ctx)
    waiting = ask(ctx, "whole", gpus=1)
    sampled(ctx, wall, 1200.0)
    cycle = rebalance(ctx)
    assert [move.kind for move in cycle.better.moves] == [MoveKind.SUSPEND]
    assert "idle for" in cycle.better.moves[0].why
    suspended = ctx.journal.find(cycle.better.moves[0].workload)
    assert (suspended.state, suspended.reason) == (WorkloadState.SUSPENDED, IDLE_REASON)
    assert ctx.journal.find(waiting).state is WorkloadState.RUNNING
    assert rebalance(ctx).quiet
    release(ctx, [waiting])
    (back,) = rebalance(ctx).better.moves
    assert (back.kind, back.workload) == (MoveKind.RESUME, suspended.id)
    assert ctx.journal.find(suspended.id).state is WorkloadState.RUNNING
    assert rebalance(ctx).quiet


class AsNow:
    """Expects that everything stays as it is."""

    name = "as now"
    version = "1"

    def forecast(self, grid, horizons):
        last = [value for row in range(len(grid.names)) for value in [grid.values[(row + 1) * grid.ticks - 1]] * 3]
        values = array("d", [value for n in range(0, len(last), 3) for _ in horizons for value in last[n : n + 3]])
        return Forecasts(tuple(horizons), values, (("last",) * len(horizons),) * len(grid.names))


def test_devices_are_capped_in_a_trough_as_soon_as_work_starts_on_them(ctx, wall):
    ctx = replace(with_rules(ctx, trough_below=0.5), forecaster=AsNow())
    one = ask(ctx, "one", gpus=1)
    cycle = rebalance(ctx)
    assert [(move.kind, {move.device}) for move in cycle.better.moves] == [(MoveKind.CAP, where(ctx, one))]
    assert rebalance(ctx).quiet
    wall.step(HOUR)
    ask(ctx, "three", gpus=1)
    ask(ctx, "pair", gpus=2)
    assert [move.kind for move in rebalance(ctx).better.moves] == [MoveKind.UNCAP]
    assert rebalance(ctx).quiet


def test_without_forecasts_moves_rest_on_what_is_measured_only(ctx, wall):
    scattered(ctx, wall)
    ask(ctx, "whole", gpus=1)
    wall.step(HOUR)
    (move,) = rebalance(with_rules(ctx, predict=False), dry_run=True).better.moves
    assert move.rests_on == ("snapshot",)


def test_work_that_stood_still_long_enough_goes_before_all_that_waits(world, wall):
    ctx = with_rules(world(), idle_after_s=600.0, min_run_s=600.0, cool_down_s=2 * HOUR)
    ctx = replace(ctx, settings=replace(ctx.settings, sample_every_s=60.0))
    notebooks(ctx)
    first = ask(ctx, "pair", gpus=2, preempt=Preemption.NEVER)
    sampled(ctx, wall, 1200.0)
    (gone,) = rebalance(ctx).better.moves
    release(ctx, [first])
    second = ask(ctx, "next pair", gpus=2, preempt=Preemption.NEVER)
    assert rebalance(ctx).better.moves == ()
    assert ctx.journal.find(second).state is WorkloadState.RUNNING, "it has not stood still for long"
    third = ask(ctx, "last pair", gpus=2, preempt=Preemption.NEVER)
    wall.step(3 * HOUR)
    release(ctx, [second])
    (back,) = rebalance(ctx).better.moves
    assert (back.kind, back.workload) == (MoveKind.RESUME, gone.workload)
    assert ctx.journal.find(third).state is WorkloadState.PENDING
    assert rebalance(ctx).quiet


def test_work_of_which_nobody_knows_that_it_is_idle_stays(world, wall):
    ctx = with_rules(world(), idle_after_s=600.0, min_run_s=600.0)
    notebooks(ctx)
    ask(ctx, "whole", gpus=1)
    sampled(ctx, wall, 300.0)
    wall.step(900.0)
    assert rebalance(ctx).better.moves == ()


def test_work_that_computes_and_work_of_higher_priority_stay(world, wall):
    ctx = with_rules(world(), idle_after_s=600.0, min_run_s=600.0)
    ctx = replace(ctx, settings=replace(ctx.settings, sample_every_s=60.0))
    ask(ctx, "busy", gpus=2, nodes=("n1",))
    submit(ctx, "first", Request(("jupyter",), gpus=2, nodes=("n2",), priority=1))
    rebalance(ctx)
    ask(ctx, "whole", gpus=1)
    sampled(ctx, wall, 1200.0)
    assert rebalance(ctx).better.moves == ()


def test_devices_are_emptied_ahead_of_demand_only_when_that_is_worth_something(ctx, wall):
    one, other = scattered(ctx, wall)
    assert rebalance(ctx).quiet
    (move,) = rebalance(with_rules(ctx, idle_worth=0.5)).better.moves
    assert (move.kind, "idle_worth" in move.why) == (MoveKind.RELOCATE, True)
    assert where(ctx, one) == where(ctx, other)
    assert rebalance(with_rules(ctx, idle_worth=0.5)).quiet


def test_a_run_cut_at_its_deadline_leaves_a_valid_plan(ctx, wall):
    scattered(ctx, wall)
    ask(ctx, "whole", gpus=1)
    wall.step(HOUR)
    looks = itertools.count()
    cycle = rebalance(ctx, timer=lambda: next(looks) * 1000.0)
    assert (cycle.plan.steps, cycle.better.cut) == ((), True)
    assert "deadline" in cycle.plan.rejections[0].detail
    for allowed in range(1, 12):
        looks = itertools.count()
        cycle = rebalance(ctx, dry_run=True, timer=lambda: 0.0 if next(looks) <= allowed else 1000.0)  # noqa: B023
        assert cycle.better.cut or cycle.better.moves
        asked = {rejection.workload for rejection in cycle.plan.rejections} | {s.workload for s in cycle.plan.steps}
        assert {work.id for work in ctx.journal.workloads([WorkloadState.PENDING])} <= asked
    assert rebalance(ctx, timer=lambda: 0.0).better.moves


def test_equal_input_gives_an_equal_plan(ctx, wall):
    scattered(ctx, wall)
    ask(ctx, "whole", gpus=1)
    wall.step(HOUR)
    one, other = rebalance(ctx, dry_run=True), rebalance(ctx, dry_run=True)
    assert one.better.moves[0].workload == other.better.moves[0].workload
    assert one.plan.steps == other.plan.steps


def test_samples_are_kept_by_the_run_itself(ctx):
    assert sample(ctx) > 0


def test_moved_work_counts_for_its_account_although_it_has_ended(ctx, wall):
    one, other = scattered(ctx, wall)
    ask(ctx, "whole", gpus=1)
    wall.step(HOUR)
    assert rebalance(ctx).better.moves
    release(ctx, [one, other])
    past = past_of(ctx, RebalanceRules(), (), {})
    assert [len(ids) for ids in past.moved.values()] == [1]


def test_a_dry_run_proposes_less_for_work_that_leaves_gpus_unused(world, wall):
    ctx = world()
    ctx = replace(ctx, settings=replace(ctx.settings, sample_every_s=300.0))
    submit(ctx, "wide", Request(("train",), gpus=2, nodes=("n1",)))
    submit(ctx, "idle", Request(("jupyter",), gpus=2, nodes=("n2",)))
    rebalance(ctx)
    for _ in range(60):
        wall.step(300.0)
        sample(ctx)
    proposed = {one.name for one in rebalance(ctx, dry_run=True).right_sizes}
    assert proposed <= {"wide"}, "idle work is idle, not too large"
    assert rebalance(ctx).right_sizes == ()
