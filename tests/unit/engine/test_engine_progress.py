"""How far simulated work says it is, through the node server and the wire."""

from msgspec.structs import replace

from gpualloc.engine.observe import look
from gpualloc.engine.progress import progress_of
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.engine.wait import look_at, wait
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.sim.demo import demo_cluster

LONG = ("sleep", "100d")


def seen(ctx):
    """Progress of all work by name."""
    workloads = ctx.journal.workloads()
    found = progress_of(workloads, look(ctx).reached)
    return {workload.name: found[workload.id] for workload in workloads if workload.id in found}


def started(ctx, name="train", command=LONG, **said):
    submit(ctx, name, Request(command, **said))
    rebalance(ctx)
    return next(one for one in ctx.journal.workloads() if one.name == name)


def test_work_with_an_end_tells_how_far_it_is(ctx):
    started(ctx)
    assert (seen(ctx)["train"].of, seen(ctx)["train"].ratio) == (100, 0.0)
    workload, progress = look_at(ctx, ctx.journal.find("train"))
    assert (workload.state, progress.step) == (WorkloadState.RUNNING, 0)


def test_work_without_an_end_and_waiting_work_tell_nothing(ctx):
    started(ctx, command=("python", "train.py"))
    submit(ctx, "waits", Request(LONG))
    assert seen(ctx) == {}


def test_of_a_gang_rank_0_tells(ctx):
    work = started(ctx, gpus=8, gang=True, per_node=4)
    assert len(work.allocation.nodes) == 2
    rank_0, other = (look(ctx).node(name) for name in work.allocation.nodes)
    told = replace(rank_0.workloads[0].progress, step=7.0)
    said = replace(rank_0, workloads=(replace(rank_0.workloads[0], progress=told),))
    assert progress_of([work], [said, other])[work.id].step == 7


def test_what_an_earlier_start_said_is_not_told(ctx):
    work = started(ctx)
    assert progress_of([replace(work, attempt=work.attempt + 1)], look(ctx).reached) == {}


def test_ended_work_tells_nothing_more(made_context):
    ctx = made_context(cluster=replace(demo_cluster(), speed=10_000.0))
    work = started(ctx, command=("sleep", "1h"))
    wait(ctx, work.id, timeout_s=60)
    assert seen(ctx) == {}
    assert look_at(ctx, ctx.journal.find("train")) == (ctx.journal.find(work.id), None)
