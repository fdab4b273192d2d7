"""Steps of unknown outcome, because the node went away at a bad moment: nothing is started twice or forgotten."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.apply import failure
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.submit import submit
from gpualloc.errors import PartlyAppliedError, UnknownOutcomeError, UnreachableError
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.wiring import Options, open_context

KINDS = ("claim", "limit", "start")


class LosingFleet:
    """A fleet that loses what is said about steps of one kind.

    With `do` in the verbs the effect is there and the answer is lost; with `undo` the node is gone before it is asked.
    """

    def __init__(self, fleet, kind, verbs):
        self._fleet, self._kind, self._verbs = fleet, kind, verbs

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        if call.step.kind.value == self._kind and "undo" in self._verbs:
            raise UnreachableError("connection refused", node=call.step.node)
        result = self._fleet.do(call)
        if call.step.kind.value == self._kind and "do" in self._verbs:
            raise UnknownOutcomeError("the connection was lost", node=call.step.node)
        return result

    def undo(self, call):
        if "undo" in self._verbs:
            raise UnreachableError("connection refused", node=call.step.node)
        return self._fleet.undo(call)

    def verify(self, call):
        if call.step.kind.value == self._kind and "verify" in self._verbs:
            raise UnreachableError("connection refused", node=call.step.node)
        return self._fleet.verify(call)


@pytest.fixture
def world(tmp_path):
    with open_context(Options(sim="demo", state_dir=tmp_path)) as ctx:
        yield ctx


def losing(ctx, kind, *verbs):
    return replace(ctx, fleet=LosingFleet(ctx.fleet, kind, verbs))


def waiting(ctx):
    return submit(ctx, "work", Request(("sleep", "600"), gpus=1, memory_mib=1024)).workload.id


def check_doubt(ctx, cycle, identity):
    """It waits, says why, and nobody plans anything else for it."""
    report = cycle.report or cycle.recovered[0]
    assert isinstance(failure(report), PartlyAppliedError)
    workload = ctx.journal.find(identity)
    assert workload.state is WorkloadState.PENDING
    assert "not known" in workload.reason
    assert len(ctx.journal.open_runs()) == 1
    assert rebalance(ctx, dry_run=True).plan.steps == ()


def check_end(ctx, identity):
    """It runs, was started once, and holds one claim."""
    rebalance(ctx)
    workload = ctx.journal.find(identity)
    assert (workload.state, workload.reason, workload.attempt) == (WorkloadState.RUNNING, None, 1)
    assert ctx.journal.open_runs() == ()
    nodes = list(ctx.fleet.observe())
    assert [claim.workload for node in nodes for claim in node.claims].count(identity) == 1
    assert [record.workload for node in nodes for record in node.workloads].count(identity) == 1
    kinds = [entry.kind for entry in ctx.journal.audit(workload=identity)]
    assert kinds == ["submit", "start"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("verb", ["do", "verify"])
def test_a_lost_answer_is_asked_for_again(world, kind, verb):
    identity = waiting(world)
    check_doubt(world, rebalance(losing(world, kind, verb)), identity)
    check_end(world, identity)


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_stays_away_is_waited_for(world, kind):
    identity = waiting(world)
    rebalance(losing(world, kind, "do"))
    for _ in range(2):
        check_doubt(world, rebalance(losing(world, kind, "verify")), identity)
    check_end(world, identity)


def test_what_could_not_be_taken_back_is_before_anything_new(world):
    identity = waiting(world)
    rebalance(losing(world, "start", "undo"))
    assert world.journal.find(identity).state is WorkloadState.PENDING
    assert len(world.journal.open_runs()) == 1
    assert rebalance(world, dry_run=True).plan.steps == ()

    rebalance(world)

    assert world.journal.find(identity).state is WorkloadState.RUNNING
    assert rebalance(world).quiet
    assert [claim.workload for node in world.fleet.observe() for claim in node.claims].count(identity) == 1
