"""Whatever runs and waits: moves keep the rules, nothing is given twice, and it comes to rest."""

from array import array

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.observe import look
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.sample import sample
from gpualloc.engine.submit import submit
from gpualloc.model.forecast import Forecasts
from gpualloc.model.plan import RunState
from gpualloc.model.rebalancing import DISRUPTIVE, MoveKind, RebalanceRules
from gpualloc.model.workload import Preemption, Request, WorkloadState
from gpualloc.sim.cluster import ClusterSpec, HostSpec

RULES = RebalanceRules(min_run_s=600.0, cool_down_s=1800.0, tenant_window_s=1800.0, idle_after_s=900.0, idle_worth=0.5)
NODES = tuple(
    HostSpec(name, models, cpus=64, memory_gib=512, driver="580.95.05")
    for name, models in (
        ("n1", ("A100-40GB",) * 2),
        ("n2", ("A100-40GB",) * 2),
        ("n3", ("H100-80GB", "H100-80GB", "A30-24GB")),
    )
)
SAVING = {"preempt": Preemption.CHECKPOINT, "checkpoint_signal": "USR1", "checkpoint_grace_s": 5.0}

requests = st.one_of(
    st.builds(Request, command=st.sampled_from([("train",), ("jupyter",)]), gpus=st.integers(1, 2)),
    st.builds(
        Request,
        command=st.sampled_from([("serve",), ("jupyter",)]),
        fraction=st.sampled_from([0.25, 0.5]),
        gpu_memory_mib=st.just(6_000),
    ),
    st.builds(lambda gpus: Request(("train",), gpus=gpus, **SAVING), st.integers(1, 2)),
    st.builds(
        lambda least: Request(("train",), gpus=least, gpus_max=3, resize_command=("true",), preempt=Preemption.NEVER),
        st.integers(1, 2),
    ),
    st.builds(lambda priority: Request(("train",), priority=priority, preempt=Preemption.NEVER), st.integers(-1, 1)),
)
courses = st.lists(
    st.one_of(requests, requests, st.integers(0, 20), st.sampled_from([1200.0, 3600.0])), min_size=6, max_size=20
)


class Quiet:
    """Expects that nobody wants anything, so that there is always a reason to grow."""

    name = "quiet"
    version = "1"

    def forecast(self, grid, horizons):
        cells = len(grid.names) * len(horizons)
        models = (("quiet",) * len(horizons),) * len(grid.names)
        return Forecasts(tuple(horizons), array("d", (0.0, 0.0, 1.0) * cells), models)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(course=courses)
def test_moves_keep_the_rules_and_come_to_rest(made_context, wall, course):
    ctx = made_context("best-fit", ClusterSpec("three", NODES), wall)
    ctx = replace(ctx, settings=replace(ctx.settings, rebalance=RULES, sample_every_s=300.0), forecaster=Quiet())
    crowd(ctx, wall)
    moved_at = {}
    for event in course:
        if isinstance(event, Request):
            submit(ctx, "work", event)
        elif isinstance(event, int):
            live = ctx.journal.workloads([WorkloadState.RUNNING, WorkloadState.PENDING])
            if live:
                release(ctx, [live[event % len(live)].id])
        else:
            for _ in range(int(event // 300)):
                wall.step(300.0)
                sample(ctx)
        check_cycle(ctx, moved_at)
    for _ in range(6):
        # What waits may be a reason to move more only as time passes; at one moment it comes to rest.
        cycle = check_cycle(ctx, moved_at)
    assert cycle.quiet


def crowd(ctx, wall):
    """Halves on both devices of n1, half of each node taken by work that saves itself, and notebooks."""
    halves = []
    for _ in range(4):
        wall.step(1.0)
        half = Request(("serve",), fraction=0.5, gpu_memory_mib=6_000, nodes=("n1",))
        halves.append(submit(ctx, "half", half).workload.id)
    submit(ctx, "saving", Request(("train",), **SAVING))
    submit(ctx, "notebook", Request(("jupyter",), gpus=2, nodes=("n3",)))
    rebalance(ctx)
    release(ctx, halves[1:3])
    for _ in range(8):
        wall.step(300.0)
        sample(ctx)


def check_cycle(ctx, moved_at):
    before = {work.id: work for work in ctx.journal.workloads()}
    now_s = ctx.clock.now_s()
    cycle = rebalance(ctx)
    loud = [move for move in cycle.better.moves if move.kind in DISRUPTIVE]
    assert len({move.workload for move in loud}) <= RULES.moves
    for move in loud:
        work = before[move.workload]
        assert (work.request.preempt is Preemption.NEVER) <= (move.kind is MoveKind.RESIZE)
        if move.kind is MoveKind.RESIZE:
            assert work.request.gpus <= len(move.to.grants) <= work.request.gpus_max
            assert len(move.to.grants) != len(work.allocation.grants)
        assert now_s - work.started_at_s >= RULES.min_run_s
        assert now_s - moved_at.get(move.workload, 0.0) >= RULES.cool_down_s
    for move in cycle.better.moves:
        if move.workload is not None:
            moved_at[move.workload] = now_s
    recent = {identity for identity, at_s in moved_at.items() if now_s - at_s < RULES.tenant_window_s}
    assert not loud or len(recent & {move.workload for move in loud}) <= RULES.tenant_moves
    if cycle.report is not None:
        assert not cycle.report.failed
        assert ctx.journal.applied(cycle.plan.id).state is RunState.DONE
    running = ctx.journal.workloads([WorkloadState.RUNNING])
    claims = [(claim.device, claim.workload) for node in look(ctx).nodes for claim in node.claims]
    assert sorted(claims) == sorted((grant.device, work.id) for work in running for grant in work.allocation.grants)
    sums = {}
    for work in running:
        for grant in work.allocation.grants:
            sums[grant.device] = sums.get(grant.device, 0.0) + grant.fraction
    assert all(total <= 1.0 + 1e-9 for total in sums.values())
    suspended = {work.id for work in ctx.journal.workloads([WorkloadState.SUSPENDED])}
    assert suspended <= {m.workload for m in loud if m.kind is MoveKind.SUSPEND} | {
        work.id for work in before.values() if work.state is WorkloadState.SUSPENDED
    }
    return cycle
