"""Gangs over the simulated cluster: started, ended, released, drained and lost as one."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.drain import drain
from gpualloc.engine.drift import drift
from gpualloc.engine.gangs import end_rest
from gpualloc.engine.observe import observe
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.settle import catch_up, settle
from gpualloc.engine.submit import submit
from gpualloc.engine.suspend import suspend
from gpualloc.errors import InfeasibleError, StepError, UnreachableError, UsageError
from gpualloc.model.allocation import WorkloadEnd, WorkloadRecord
from gpualloc.model.gang import members_of
from gpualloc.model.inventory import NodeState
from gpualloc.model.plan import StepKind, StepReason
from gpualloc.model.workload import Request, WorkloadState, check_request
from gpualloc.sim.cluster import ClusterSpec, HostSpec

SLEEP = ("sleep", "90000")


@pytest.fixture
def ctx(made_context):
    nodes = tuple(HostSpec(name, ("H100-80GB",) * 2, 64, 512) for name in ("n1", "n2", "n3"))
    return made_context(cluster=ClusterSpec(name="three", seed=1, nodes=nodes))


@pytest.fixture
def gang(ctx):
    """Id of a gang of two that runs."""
    identity = submit(ctx, "gang", Request(SLEEP, gpus=4, gang=True)).workload.id
    rebalance(ctx)
    return identity


class Ending:
    """The real fleet, whose nodes tell these ends of members, by node."""

    def __init__(self, fleet, **ends):
        self._fleet, self._ends = fleet, ends

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def observe(self, names=None, near=()):
        for node in self._fleet.observe(names, near):
            end = self._ends.get(node.name)
            records = tuple(each if end is None else replace(each, end=end) for each in node.workloads)
            yield replace(node, workloads=records)


def claims(ctx):
    return sorted((node.name, claim.workload) for node in observe(ctx).nodes for claim in node.claims)


def test_it_runs_once_all_members_do(ctx, gang):
    work = ctx.journal.find(gang)
    assert (work.state, work.attempt) == (WorkloadState.RUNNING, 1)
    members = members_of(work)
    assert [(each.rank, each.node, len(each.grants)) for each in members] == [(0, "n1", 2), (1, "n2", 2)]
    assert all(each.pid is not None and each.started_at_s is not None for each in members)
    assert (work.pid, work.allocation.node, len(work.allocation.grants)) == (members[0].pid, "n1", 4)
    assert len(claims(ctx)) == 4
    assert drift(ctx).differences == ()
    assert make_plan(ctx).steps == ()
    starts = [entry for entry in ctx.journal.audit() if entry.kind == "start"]
    assert [(entry.node, entry.detail["rank"], len(entry.detail["devices"])) for entry in starts] == [
        ("n1", 0, 2),
        ("n2", 1, 2),
    ]


def test_what_it_has_is_not_given_to_others(ctx, gang):
    waiting = submit(ctx, "more", Request(SLEEP, gpus=4, gang=True)).workload.id
    (rejection,) = make_plan(ctx).rejections
    assert (rejection.workload, rejection.detail) == (waiting, "needs 4 free GPUs in a gang; 2 free on n3")


def test_a_member_that_fails_ends_the_others_with_the_next_rebalance(ctx, gang):
    broken = replace(ctx, fleet=Ending(ctx.fleet, n2=WorkloadEnd(3, 5.0)))
    catch_up(broken, observe(broken))
    work = ctx.journal.find(gang)
    assert work.state is WorkloadState.RUNNING
    assert work.reason.startswith("member 1 on n2: exit code 3; the others are ended by the next apply")
    plan = make_plan(broken)
    assert [(step.kind, step.node, step.reason) for step in plan.steps] == [
        (StepKind.STOP, "n1", StepReason.GANG),
        (StepKind.UNCLAIM, "n1", StepReason.GANG),
    ]
    cycle = rebalance(replace(broken, settings=replace(ctx.settings, max_disturbed=0)))
    assert cycle.report.failed == []
    work = ctx.journal.find(gang)
    assert (work.state, work.exit_code, work.reason) == (WorkloadState.FAILED, 3, "member 1 on n2: exit code 3")
    kinds = [entry.kind for entry in ctx.journal.audit(workload=gang)]
    assert kinds == ["submit", "start", "start", "member-end", "member-end", "end"]


def test_run_ends_the_others_itself(ctx, gang):
    broken = replace(ctx, fleet=Ending(ctx.fleet, n1=WorkloadEnd(9, 5.0)))
    end_rest(broken, gang)
    assert ctx.journal.find(gang).state is WorkloadState.RUNNING  # nobody has seen the end
    catch_up(broken, observe(broken))
    end_rest(broken, gang)
    assert (ctx.journal.find(gang).state, ctx.journal.find(gang).exit_code) == (WorkloadState.FAILED, 9)
    end_rest(broken, gang)


def test_success_is_that_of_all_members(ctx, gang):
    one = replace(ctx, fleet=Ending(ctx.fleet, n1=WorkloadEnd(0, 5.0)))
    catch_up(one, observe(one))
    work = ctx.journal.find(gang)
    assert (work.state, work.reason) == (WorkloadState.RUNNING, None)
    assert make_plan(one).steps == ()
    both = replace(ctx, fleet=Ending(ctx.fleet, n1=WorkloadEnd(0, 5.0), n2=WorkloadEnd(0, 8.0)))
    catch_up(both, observe(both))
    work = ctx.journal.find(gang)
    assert (work.state, work.exit_code, work.ended_at_s) == (WorkloadState.FINISHED, 0, 8.0)


def test_a_member_lost_with_its_node_takes_the_gang_down(ctx, gang):
    broken = replace(ctx, fleet=Ending(ctx.fleet, n1=WorkloadEnd(255, 5.0, reason="rebooted")))
    rebalance(broken)
    work = ctx.journal.find(gang)
    assert (work.state, work.exit_code) == (WorkloadState.LOST, None)
    assert work.reason == "member 0 on n1: the node was rebooted"


def test_a_node_that_is_not_looked_at_says_nothing(ctx, gang):
    only = observe(ctx, ["n2"])
    assert settle([ctx.journal.find(gang)], only) == ((), ())
    records = (WorkloadRecord(gang, ctx.journal.controller, 1, 7, 2.0, WorkloadEnd(1, 5.0)),)
    ended = replace(only, nodes=(replace(only.nodes[0], workloads=records),))
    ((work,), (entry,)) = settle([ctx.journal.find(gang)], ended)
    assert (work.state, entry.kind, entry.detail["rank"]) == (WorkloadState.RUNNING, "member-end", 1)


def test_one_release_ends_all(ctx, gang):
    (work,) = release(ctx, [gang])
    assert (work.state, work.reason) == (WorkloadState.RELEASED, "released")
    assert claims(ctx) == []
    assert make_plan(ctx).steps == ()


class Cut(Ending):
    """The real fleet without one of its nodes."""

    def observe(self, names=None, near=()):
        for node in self._fleet.observe(names, near):
            gone = replace(node, state=NodeState.UNREACHABLE, workloads=(), claims=(), devices=())
            yield gone if node.name in self._ends else node


def test_a_release_with_a_node_cut_off_ends_the_rest_and_that_when_it_is_back(ctx, gang):
    cut = replace(ctx, fleet=Cut(ctx.fleet, n2=None))
    with pytest.raises(UnreachableError, match=f"n2 does not answer, so the member of {gang} there may run on"):
        release(cut, [gang])
    work = ctx.journal.find(gang)
    assert (work.state, [each.end is None for each in members_of(work)]) == (WorkloadState.RUNNING, [False, True])
    assert {node for node, _ in claims(ctx)} == {"n2"}
    assert make_plan(cut).steps == ()
    rebalance(ctx)
    assert (ctx.journal.find(gang).state, claims(ctx)) == (WorkloadState.RELEASED, [])


def test_a_release_with_all_its_nodes_cut_off_changes_nothing(ctx, gang):
    cut = replace(ctx, fleet=Cut(ctx.fleet, n1=None, n2=None))
    with pytest.raises(UnreachableError):
        release(cut, [gang])
    assert all(each.end is None for each in members_of(ctx.journal.find(gang)))
    other = submit(ctx, "other", Request(SLEEP, nodes=("n3",))).workload.id
    rebalance(ctx)
    with pytest.raises(UnreachableError):
        release(cut, [gang, other])
    assert ctx.journal.find(other).state is WorkloadState.RUNNING


def test_members_that_fall_over_each_other_while_it_is_released_are_released(ctx, gang):
    """The real fleet says that rank 1 ended with code 1, as one whose peer was ended a moment before."""

    class Falling(Ending):
        def do(self, call):
            done = self._fleet.do(call)
            if call.step.kind is not StepKind.STOP or call.step.node != "n2":
                return done
            return replace(done, facts={**done.facts, "end": {"exit_code": 1, "at_s": 5.0}})

    (work,) = release(replace(ctx, fleet=Falling(ctx.fleet)), [gang])
    assert (work.state, work.reason) == (WorkloadState.RELEASED, "released")


def test_a_drain_of_one_node_lets_all_of_it_go_and_it_waits_again(ctx, gang):
    done = drain(ctx, ["n2"], None, None, evict=True)
    assert done.error is None
    work = ctx.journal.find(gang)
    assert (work.state, work.allocation, work.reason) == (WorkloadState.PENDING, None, "drained by ann")
    assert claims(ctx) == []
    rebalance(ctx)
    again = ctx.journal.find(gang)
    assert (again.state, again.allocation.nodes, again.attempt) == (WorkloadState.RUNNING, ("n1", "n3"), 2)


def test_it_cannot_be_suspended(ctx, gang):
    with pytest.raises(InfeasibleError, match="is a gang"):
        suspend(ctx, gang)
    assert ctx.journal.find(gang).state is WorkloadState.RUNNING


@pytest.mark.parametrize(
    ("kind", "node"), [(StepKind.CLAIM, "n2"), (StepKind.START, "n1"), (StepKind.START, "n2"), (StepKind.LIMIT, "n2")]
)
@pytest.mark.parametrize("asked", ["preflight", "do"])
def test_what_one_node_refuses_is_taken_back_from_all(ctx, kind, node, asked):
    class Refusing:
        def __init__(self, fleet):
            self._fleet = fleet

        def __getattr__(self, name):
            return getattr(self._fleet, name)

        def _ask(self, name, call):
            if (name, call.step.kind, call.step.node) == (asked, kind, node):
                raise StepError("no", reason="claimed", node=node)
            return getattr(self._fleet, name)(call)

        def preflight(self, call):
            return self._ask("preflight", call)

        def do(self, call):
            return self._ask("do", call)

    identity = submit(ctx, "gang", Request(SLEEP, gpus=4, memory_mib=1024, gang=True)).workload.id
    rebalance(replace(ctx, fleet=Refusing(ctx.fleet)))
    work = ctx.journal.find(identity)
    assert (work.state, work.allocation, work.reason) == (WorkloadState.PENDING, None, f"{node}: no")
    assert claims(ctx) == []
    assert all(record.end is not None for each in observe(ctx).nodes for record in each.workloads)
    rebalance(ctx)
    assert ctx.journal.find(identity).state is WorkloadState.RUNNING


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"gpus": 0, "gang": True}, "whole GPUs"),
        ({"gpus": 1, "gang": True, "fraction": 0.5}, "whole GPUs"),
        ({"gpus": 1, "gang": True, "mig_profile": "1g.10gb"}, "whole GPUs"),
        ({"gpus": 4, "per_node": 2}, "add --gang|members of a gang"),
        ({"gpus": 4, "gang": True, "per_node": 3}, "cannot be had as 3"),
        ({"gpus": 4, "gang": True, "per_node": 0}, "--per-node 0 is out of range"),
    ],
)
def test_gangs_without_meaning_are_refused(said, told):
    with pytest.raises(UsageError, match=told):
        check_request(Request(SLEEP, **said))
