"""Work with a range of devices, over the simulated cluster: it gives some up, gets more, and all under the guards."""

from array import array

import pytest
from msgspec.structs import replace

from gpualloc.engine.moving import spare_of
from gpualloc.engine.open_runs import roll_back
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample
from gpualloc.engine.submit import submit
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.forecast import Forecasts
from gpualloc.model.plan import StepKind, StepState
from gpualloc.model.rebalancing import MoveKind, RebalanceRules
from gpualloc.model.workload import Preemption, Request, Workload, WorkloadState
from gpualloc.sim.cluster import ClusterSpec, HostSpec

HOUR = 3600.0
RULES = RebalanceRules(cool_down_s=0.0, min_run_s=600.0)


class Expects:
    """Forecasts the same demand for every series and horizon; None tells nothing."""

    name = "expects"
    version = "1"

    def __init__(self, gpus):
        self.gpus = gpus

    def forecast(self, grid, horizons):
        band = (float("nan"),) * 3 if self.gpus is None else (self.gpus, self.gpus, self.gpus + 1e-9)
        values = array("d", band * (len(grid.names) * len(horizons)))
        return Forecasts(tuple(horizons), values, (("expects",) * len(horizons),) * len(grid.names))


@pytest.fixture
def world(made_context, wall):
    """A function that makes a world of one node with eight GPUs, in which that many are expected to be wanted."""

    def make(expected=None, **rules):
        node = HostSpec("n1", ("A100-40GB",) * 8, cpus=32, memory_gib=512, driver="580.95.05")
        ctx = made_context("first-fit", ClusterSpec("one", (node,)), wall)
        settings = replace(ctx.settings, rebalance=replace(RULES, **rules), sample_every_s=60.0)
        return replace(ctx, settings=settings, forecaster=Expects(expected))

    return make


def expecting(ctx, gpus):
    return replace(ctx, forecaster=Expects(gpus))


def with_rules(ctx, **rules):
    return replace(ctx, settings=replace(ctx.settings, rebalance=replace(ctx.settings.rebalance, **rules)))


def elastic(ctx, gpus=2, most=6, hook=("true",), command=("train",), **request):
    asked = Request(command, gpus=gpus, gpus_max=most, resize_command=hook, **request)
    return submit(ctx, "elastic", asked).workload.id


def devices(ctx, identity):
    return [grant.device for grant in ctx.journal.find(identity).allocation.grants]


def used(ctx, identity):
    """Devices on which the node shows processes of the work, and those it has claims of."""
    (node,) = ctx.fleet.observe()
    running = {process.device for process in node.processes if process.workload == identity}
    return running, {claim.device for claim in node.claims if claim.workload == identity}


def grown(ctx, wall, **request):
    """Work that was given all that it can use, on a node that was full of nothing else."""
    identity = elastic(ctx, **request)
    rebalance(ctx)
    wall.step(HOUR)
    rebalance(expecting(ctx, 0.0))
    wall.step(HOUR)
    return identity


def test_it_grows_in_quiet_up_to_its_most_and_stays_so(world, wall):
    ctx = world(expected=0.0)
    identity = elastic(ctx)
    other = submit(ctx, "other", Request(("train",), gpus=1)).workload.id
    rebalance(ctx)
    first = devices(ctx, identity)
    wall.step(HOUR)
    cycle = rebalance(ctx)
    (move,) = cycle.better.moves
    assert (move.kind, move.workload) == (MoveKind.RESIZE, identity)
    assert [step.kind for step in cycle.plan.steps] == [StepKind.RESIZE]
    had = devices(ctx, identity)
    assert (len(had), had[:2]) == (6, first)
    assert set(had).isdisjoint(devices(ctx, other))
    assert used(ctx, identity) == (set(had), set(had))
    work = ctx.journal.find(identity)
    assert (work.state, work.attempt) == (WorkloadState.RUNNING, 1)
    entry = [entry for entry in ctx.journal.audit() if entry.kind == "resize"][-1]
    assert (entry.detail["devices_before"], entry.detail["devices"]) == (first, had)
    wall.step(HOUR)
    assert rebalance(ctx).quiet


@pytest.mark.parametrize(("expected", "has"), [(None, 2), (8.0, 2), (5.0, 5), (0.0, 6), (20.0, 2)])
def test_it_gets_only_what_demand_is_not_expected_to_want(world, wall, expected, has):
    ctx = world(expected)
    identity = elastic(ctx)
    rebalance(ctx)
    wall.step(HOUR)
    rebalance(ctx)
    assert len(devices(ctx, identity)) == has


def test_nothing_grows_while_something_waits_for_devices_or_at_the_wrong_time(world, wall):
    ctx = world(expected=0.0)
    submit(ctx, "full", Request(("train",), gpus=4, preempt=Preemption.NEVER))
    identity = elastic(ctx)
    rebalance(ctx)
    assert len(devices(ctx, identity)) == 2, "it has just been started"
    wall.step(HOUR)
    waiting = submit(ctx, "whole", Request(("train",), gpus=4)).workload.id
    assert rebalance(ctx).better.moves == ()
    release(ctx, [waiting])
    assert rebalance(with_rules(ctx, moves=0)).better.moves == ()
    assert rebalance(with_rules(ctx, max_age_s=-1.0)).better.moves == ()
    budget = replace(ctx.settings, power_budgets={ctx.fleet.specs()[0].pool: 1e6})
    assert rebalance(replace(ctx, settings=budget)).better.moves == ()
    assert rebalance(with_rules(ctx, idle_worth=1.0)).better.moves == ()
    rebalance(ctx)
    assert len(devices(ctx, identity)) == 4


def test_only_work_that_gave_a_range_and_runs_grows_the_oldest_first(world, wall):
    ctx = world(expected=0.0)
    old = elastic(ctx, gpus=1, most=5)
    fixed = submit(ctx, "fixed", Request(("train",), gpus=1)).workload.id
    rebalance(ctx)
    wall.step(60.0)
    young = elastic(ctx, gpus=1, most=5)
    rebalance(ctx)
    wall.step(HOUR)
    rebalance(ctx)
    assert [len(devices(ctx, work)) for work in (old, young, fixed)] == [5, 2, 1]


def test_it_gives_up_what_waiting_work_needs_and_keeps_the_rest(world, wall):
    ctx = world(expected=0.0)
    submit(ctx, "two", Request(("train",), gpus=2, preempt=Preemption.NEVER))
    identity = grown(ctx, wall, preempt=Preemption.NEVER)
    before = devices(ctx, identity)
    waiting = submit(ctx, "three", Request(("train",), gpus=3, preempt=Preemption.NEVER)).workload.id
    wall.step(HOUR)
    cycle = rebalance(ctx)
    (move,) = cycle.better.moves
    assert (move.kind, move.cost_gpu_s) == (MoveKind.RESIZE, 6 * 30.0)
    assert devices(ctx, identity) == before[:3], "the last that it was given go first"
    assert ctx.journal.find(waiting).state is WorkloadState.RUNNING
    assert set(devices(ctx, waiting)) == set(before[3:])
    assert used(ctx, identity) == (set(before[:3]), set(before[:3]))
    resize = next(step for step in cycle.plan.steps if step.kind is StepKind.RESIZE)
    claim = next(step for step in cycle.plan.steps if step.workload == waiting and step.kind is StepKind.CLAIM)
    assert resize.seq in claim.needs
    assert claim.seq > resize.seq
    two_more = submit(ctx, "two more", Request(("train",), gpus=2, preempt=Preemption.NEVER)).workload.id
    wall.step(HOUR)
    assert rebalance(ctx).better.moves == (), "it would have less than its least"
    assert ctx.journal.find(two_more).state is WorkloadState.PENDING


def test_free_devices_are_taken_before_those_of_others(world, wall):
    ctx = world(expected=0.0)
    identity = grown(ctx, wall, gpus=2, most=7, preempt=Preemption.NEVER)
    waiting = submit(ctx, "two", Request(("train",), gpus=2)).workload.id
    wall.step(HOUR)
    rebalance(ctx)
    assert ctx.journal.find(waiting).state is WorkloadState.RUNNING
    assert len(devices(ctx, identity)) == 6


def test_a_command_that_fails_leaves_it_as_it_was_and_the_other_waiting(world, wall):
    ctx = world(expected=0.0)
    identity = grown(ctx, wall, most=8, preempt=Preemption.NEVER)
    before = devices(ctx, identity)
    assert len(before) == 8
    # What it said about its command cannot be changed, so the world is: its processes go on, and the command is gone.
    breaking(ctx, identity)
    waiting = submit(ctx, "one", Request(("train",), gpus=1)).workload.id
    wall.step(HOUR)
    cycle = rebalance(ctx)
    assert [move.kind for move in cycle.better.moves] == [MoveKind.RESIZE]
    assert [step.kind for step, _ in cycle.report.failed] == [StepKind.RESIZE]
    assert "exit code 3" in cycle.report.failed[0][1].message
    assert devices(ctx, identity) == before
    assert used(ctx, identity) == (set(before), set(before))
    work = ctx.journal.find(waiting)
    assert work.state is WorkloadState.PENDING
    assert "resize" in work.reason
    assert [entry.kind for entry in ctx.journal.audit() if entry.workload == identity][-1] == "step-failed"
    wall.step(60.0)
    assert rebalance(with_rules(ctx, cool_down_s=HOUR)).better.moves == (), "the command is not run again at once"
    wall.step(HOUR)
    assert rebalance(with_rules(ctx, cool_down_s=HOUR)).better.moves != ()


def breaking(ctx, identity):
    work = ctx.journal.find(identity)
    broken = replace(work, request=replace(work.request, resize_command=("exit", "3")), revision=work.revision + 1)
    with ctx.journal.write("test") as writer:
        writer.save((broken,), ())


def test_after_a_change_it_is_left_alone_and_counts_for_its_account(world, wall):
    ctx = world(expected=0.0, cool_down_s=2 * HOUR, tenant_moves=1)
    identity = elastic(ctx, most=4)
    rebalance(ctx)
    wall.step(1.0)
    second = elastic(ctx, most=4)
    rebalance(ctx)
    wall.step(HOUR)
    rebalance(ctx)
    assert (len(devices(ctx, identity)), len(devices(ctx, second))) == (4, 2), "one of its account at a time"
    wall.step(1800.0)
    waiting = submit(ctx, "three", Request(("train",), gpus=3)).workload.id
    wall.step(900.0)
    assert rebalance(ctx).better.moves == ()
    assert ctx.journal.find(waiting).state is WorkloadState.PENDING
    wall.step(2 * HOUR)
    assert rebalance(with_rules(ctx, tenant_moves=2)).better.moves[0].workload == identity
    assert ctx.journal.find(waiting).state is WorkloadState.RUNNING


def idle(ctx, wall, seconds):
    for _ in range(int(seconds // 60)):
        wall.step(60.0)
        sample(ctx)


def test_idle_devices_beyond_the_least_are_given_back_when_demand_wants_them(world, wall):
    ctx = world(expected=0.0, idle_after_s=1200.0)
    identity = grown(ctx, wall, command=("jupyter",))
    before = devices(ctx, identity)
    assert len(before) == 6
    idle(ctx, wall, 2000.0)
    assert rebalance(ctx).quiet, "nobody is expected to want them"
    assert rebalance(expecting(with_rules(ctx, idle_after_s=0.0), 8.0)).quiet, "nobody asked for that to be noticed"
    (move,) = rebalance(expecting(ctx, 8.0)).better.moves
    assert (move.kind, "idle for 1200 s" in move.why) == (MoveKind.RESIZE, True)
    assert devices(ctx, identity) == before[:2]
    idle(ctx, wall, 2000.0)
    assert rebalance(ctx).quiet, "work that leaves devices idle is given no more"


def test_work_that_uses_its_devices_keeps_them(world, wall):
    ctx = world(expected=0.0, idle_after_s=1200.0)
    identity = grown(ctx, wall)
    idle(ctx, wall, 2000.0)
    assert rebalance(expecting(ctx, 8.0)).better.moves == ()
    assert len(devices(ctx, identity)) == 6


def test_taken_back_it_has_what_it_had_before(world, wall):
    ctx = world(expected=0.0)
    identity = grown(ctx, wall, most=8, preempt=Preemption.NEVER)
    before = devices(ctx, identity)
    waiting = submit(ctx, "three", Request(("train",), gpus=3)).workload.id
    wall.step(HOUR)
    done = []

    def on_step(step, state, _error, _count):
        done.extend([step.kind] if state is StepState.DONE else [])

    cycle = rebalance(replace(ctx, stopped=lambda: StepKind.RESIZE in done), on_step=on_step)
    assert [step.kind for step in cycle.report.done] == [StepKind.RESIZE]
    assert devices(ctx, identity) == before[:5]
    _, report = roll_back(ctx, "latest")
    assert (report.unknown, report.kept) == ([], [])
    assert sorted(devices(ctx, identity)) == sorted(before)
    assert used(ctx, identity) == (set(before), set(before))
    assert ctx.journal.find(waiting).state is WorkloadState.PENDING
    kinds = [entry.kind for entry in ctx.journal.audit() if entry.workload == identity]
    assert kinds.count("resize") == 3


def test_idle_devices_are_missed_least_then_the_last_ones():
    grants = tuple(Grant(f"GPU-{n}", Share.EXCLUSIVE) for n in range(4))
    request = Request(("train",), gpus=2, gpus_max=4, resize_command=("true",))
    place = Allocation("w00000001", "n1", grants)
    work = Workload("w00000001", "x", "ann", request, WorkloadState.RUNNING, 0.0, allocation=place)
    assert spare_of(work) == ("GPU-3", "GPU-2")
    assert spare_of(work, {"GPU-0"}) == ("GPU-0", "GPU-3")
    assert spare_of(replace(work, request=Request(("train",), gpus=2))) == ()
    assert spare_of(replace(work, allocation=replace(place, grants=grants[:2]))) == ()
