"""A node that went away in the middle of a step is doubtful: nothing new goes there until somebody has looked."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.cordon import uncordon
from gpualloc.engine.drift import drift
from gpualloc.engine.observe import DOUBTFUL, look
from gpualloc.engine.open_runs import abandon
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.reconcile import clear_doubts, propose
from gpualloc.engine.submit import submit
from gpualloc.errors import UnknownOutcomeError, UnreachableError
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.wiring import Options, open_context


class GoneInMidStep:
    """A fleet whose node does what it is told and is gone before it can answer."""

    def __init__(self, fleet):
        self._fleet = fleet

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        self._fleet.do(call)
        raise UnknownOutcomeError("the connection was lost", node=call.step.node)

    def verify(self, call):
        raise UnreachableError("connection refused", node=call.step.node)


@pytest.fixture
def doubtful(tmp_path):
    """A world with a run that stopped in the middle of its first step; and the node, and the work."""
    with open_context(Options(sim="demo", state_dir=tmp_path)) as ctx:
        work = submit(ctx, "work", Request(("sleep", "600"), gpus=1)).workload.id
        cycle = rebalance(replace(ctx, fleet=GoneInMidStep(ctx.fleet)))
        yield ctx, cycle.plan.steps[0].node, work


def cordon_of(ctx, name):
    (node,) = look(ctx, [name]).nodes
    return node.cordon or ""


def test_the_node_takes_no_new_work_and_an_operator_cannot_open_it(doubtful):
    ctx, node, _ = doubtful
    assert cordon_of(ctx, node).startswith(f"{DOUBTFUL}: run ")
    assert [(row.node, row.field, row.drift.value) for row in drift(ctx).differences if row.field == "run"] == [
        (node, "run", "doubtful")
    ]
    other = submit(ctx, "other", Request(("sleep", "600"), gpus=1, nodes=(node,))).workload.id
    plan = rebalance(ctx, dry_run=True).plan
    assert [rejection.reason.value for rejection in plan.rejections if rejection.workload == other] == ["reserved"]
    assert uncordon(ctx, [node], None) == (((node, None), False),)
    assert cordon_of(ctx, node).startswith(DOUBTFUL)


def test_reconcile_brings_the_run_to_its_end(doubtful):
    ctx, node, work = doubtful
    (report,) = clear_doubts(ctx).recovered
    assert report.failed == report.unknown == []
    assert cordon_of(ctx, node) == ""
    assert ctx.journal.find(work).state is WorkloadState.RUNNING
    assert propose(ctx).drift.differences == ()


def test_reconcile_takes_back_what_an_abandoned_run_has_half_done(doubtful):
    ctx, node, work = doubtful
    (run,) = ctx.journal.open_runs()
    abandon(ctx, run.id)
    assert cordon_of(ctx, node).startswith(f"{DOUBTFUL}: run {run.id} was abandoned")
    asked = clear_doubts(ctx).asked
    assert [state.value for _, state in asked] == ["undone"]
    assert cordon_of(ctx, node) == ""
    assert [claim for seen in look(ctx).nodes for claim in seen.claims if claim.workload == work] == []
