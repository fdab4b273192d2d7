"""Runs that do not go straight to their end: stopped by a signal, held by hooks, too many victims, given up."""

import pytest
from msgspec.structs import replace

from gpualloc.adapters.crew import ThreadCrew
from gpualloc.engine.apply import apply, failure
from gpualloc.engine.doubt import doubtful, doubtful_nodes
from gpualloc.engine.observe import look
from gpualloc.engine.open_runs import abandon, look_again, resume, roll_back, unsettled
from gpualloc.engine.plan import make_plan
from gpualloc.engine.rebalance import rebalance
from gpualloc.engine.release import release
from gpualloc.engine.submit import submit
from gpualloc.errors import (
    HookError,
    InfeasibleError,
    NotFoundError,
    StepError,
    StoppedError,
    UnknownOutcomeError,
)
from gpualloc.model.plan import BlastRadius, RunState, StepKind, StepReason, StepState
from gpualloc.model.workload import Request, WorkloadState
from gpualloc.ports import HookOutcome

FOREVER = ("python", "train.py")


class Hooks:
    """Remembers what was run, and lets those named fail."""

    def __init__(self, *failing):
        self.failing = failing
        self.ran = []

    def run(self, name, event):
        self.ran.append((name, event.step and event.step.kind.value, event.state))
        return HookOutcome("exit code 3" if name in self.failing else None, f"{name} said so\n", 0.5)


class Fleet:
    """The real fleet but for what one kind of step answers."""

    def __init__(self, fleet, kind, verb, error):
        self._fleet, self._kind, self._verb, self._error = fleet, kind, verb, error

    def __getattr__(self, name):
        asked = getattr(self._fleet, name)
        if name != self._verb:
            return asked

        def answer(call):
            if call.step.kind is self._kind:
                raise self._error
            return asked(call)

        return answer


def waiting(ctx, count=1, node="fir01", **more):
    request = Request(FOREVER, gpus=1, memory_mib=1024, nodes=(node,), **more)
    return [submit(ctx, f"work {number}", request).workload.id for number in range(count)]


class CountingFleet:
    """The real fleet; counts the steps it did."""

    def __init__(self, fleet):
        self._fleet = fleet
        self.done = 0

    def __getattr__(self, name):
        return getattr(self._fleet, name)

    def do(self, call):
        result = self._fleet.do(call)
        self.done += 1
        return result


def stopping_after(ctx, steps):
    """The context, told to stop once that many steps are done."""
    fleet = CountingFleet(ctx.fleet)
    return replace(ctx, fleet=fleet, stopped=lambda: fleet.done >= steps)


def states(ctx):
    return [workload.state for workload in ctx.journal.workloads()]


def claims(ctx):
    return [claim.workload for node in look(ctx).nodes for claim in node.claims]


@pytest.fixture
def threaded(ctx):
    return replace(ctx, crew=ThreadCrew)


def test_a_run_over_several_nodes_reaches_its_end_in_threads(threaded):
    for node in ("fir01", "birch01", "oak01", "cedar01"):
        waiting(threaded, node=node, count=2)
    seen = []
    cycle = rebalance(threaded, on_step=lambda step, state, _error, total: seen.append((step.seq, state, total)))
    assert failure(cycle.report) is None
    assert set(states(threaded)) == {WorkloadState.RUNNING}
    steps = cycle.plan.steps
    assert [step.seq for step in cycle.report.done] == [step.seq for step in steps]
    for chain in {step.chain for step in steps}:
        own = [step.seq for step in steps if step.chain == chain]
        assert [told for told in seen if told[0] in own] == [
            (seq, state, len(steps)) for seq in own for state in (StepState.INTENT, StepState.DONE)
        ]


@pytest.mark.parametrize("done", [1, 2, 4])
def test_a_stopped_run_stays_open_and_the_next_write_command_takes_it_up(ctx, done):
    identities = waiting(ctx, count=2)
    stopped = stopping_after(ctx, done)
    plan = make_plan(ctx)
    report = apply(stopped, plan)
    error = failure(report)
    assert (type(error), error.exit_code) == (StoppedError, 130)
    assert {step.seq for step in (*report.done, *report.left)} == {step.seq for step in plan.steps}
    (run,) = ctx.journal.open_runs()
    assert [entry.kind for entry in ctx.journal.audit()].count("interrupt") == 1

    taken_up = []
    cycle = rebalance(replace(ctx, on_resume=taken_up.append))

    assert [one.id for one in taken_up] == [run.id]
    assert cycle.plan.steps == ()
    assert states(ctx) == [WorkloadState.RUNNING] * 2
    assert sorted(claims(ctx)) == sorted(identities)
    assert ctx.journal.open_runs() == ()


def test_nothing_is_begun_after_a_signal(ctx):
    waiting(ctx)
    plan = make_plan(ctx)
    with pytest.raises(StoppedError):
        apply(replace(ctx, stopped=lambda: True), plan)
    assert (ctx.journal.open_runs(), ctx.journal.applied(plan.id)) == ((), None)


def test_a_stopped_run_can_be_taken_back_or_gone_on_with(ctx):
    waiting(ctx, count=2)
    stopped = stopping_after(ctx, 4)
    apply(stopped, make_plan(ctx))
    (run,) = ctx.journal.open_runs()
    with pytest.raises(NotFoundError, match="no open run 'r-other'"):
        roll_back(ctx, "r-other")

    run, report = roll_back(replace(ctx, stopped=lambda: True), "latest")
    assert (run.state, bool(report.left)) == (RunState.ROLLBACK, True)
    # An interrupted rollback goes on as one, whatever is said next.
    run, report = resume(ctx, run.id)

    assert report.left == []
    assert states(ctx) == [WorkloadState.PENDING] * 2
    assert claims(ctx) == []
    assert ctx.journal.applied(run.plan.id).state is RunState.FAILED
    rebalance(ctx)
    assert states(ctx) == [WorkloadState.RUNNING] * 2


def test_what_has_no_inverse_is_listed_by_a_rollback(ctx):
    identities = waiting(ctx)
    rebalance(ctx)
    stopped = stopping_after(ctx, 1)
    with pytest.raises(StoppedError):
        release(stopped, identities)
    _, report = roll_back(ctx, "latest")
    assert [step.kind for step in report.kept] == [StepKind.STOP]
    assert ctx.journal.open_runs() == ()


def test_given_up_work_is_held_back_until_somebody_looked(ctx):
    identities = waiting(ctx)
    lost = replace(ctx, fleet=Fleet(ctx.fleet, StepKind.LIMIT, "verify", UnknownOutcomeError("cut", node="fir01")))
    apply(lost, make_plan(ctx))
    (run,) = ctx.journal.open_runs()

    given_up = abandon(ctx, run.id)

    assert given_up.run.state is RunState.ABANDONED
    assert [step.kind for step in given_up.doubts] == [StepKind.CLAIM, StepKind.LIMIT]
    assert [one.run.id for one in unsettled(ctx)] == [run.id]
    assert doubtful(ctx) == set(identities)
    assert list(doubtful_nodes(ctx)) == ["fir01"]
    assert rebalance(ctx).plan.steps == ()
    away = replace(ctx, fleet=Fleet(ctx.fleet, StepKind.LIMIT, "verify", UnknownOutcomeError("cut", node="fir01")))
    with ctx.journal.write("test") as writer:
        assert {state for _, state in look_again(away, writer)} == {StepState.DONE, None}
        assert list(doubtful_nodes(ctx)) == ["fir01"]
        assert {state for _, state in look_again(ctx, writer)} == {StepState.UNDONE}
    assert (doubtful_nodes(ctx), claims(ctx)) == ({}, [])
    rebalance(ctx)
    assert states(ctx) == [WorkloadState.RUNNING]


def test_a_run_with_nothing_in_doubt_is_closed_when_given_up(ctx):
    waiting(ctx, count=2)
    stopped = stopping_after(ctx, 3)
    apply(stopped, make_plan(ctx))
    given_up = abandon(ctx, ctx.journal.open_runs()[0].id)
    assert (given_up.run.state, given_up.doubts) == (RunState.PARTIAL, ())
    assert unsettled(ctx) == ()
    rebalance(ctx)
    assert states(ctx) == [WorkloadState.RUNNING] * 2


def test_hooks_stand_around_a_run_and_each_step_and_are_audited(ctx):
    waiting(ctx)
    told = Hooks()
    rebalance(replace(ctx, hooks=told))
    assert told.ran == [
        ("pre_apply", None, None),
        *(
            one
            for kind in ("claim", "limit", "start")
            for one in (("pre_step", kind, None), ("post_step", kind, "done"))
        ),
        ("exit", None, "done"),
    ]
    audited = [entry.detail for entry in ctx.journal.audit() if entry.kind == "hook"]
    assert [(one["hook"], one["output"]) for one in audited] == [(name, f"{name} said so\n") for name, *_ in told.ran]


def test_a_hook_before_the_run_refuses_it_and_the_exit_hook_runs(ctx):
    waiting(ctx)
    told = Hooks("pre_apply")
    plan = make_plan(ctx)
    with pytest.raises(HookError, match="hook pre_apply: exit code 3: pre_apply said so"):
        apply(replace(ctx, hooks=told), plan)
    assert [name for name, *_ in told.ran] == ["pre_apply", "exit"]
    assert ctx.journal.applied(plan.id) is None
    apply(ctx, plan)
    assert states(ctx) == [WorkloadState.RUNNING]


def test_a_hook_before_a_step_fails_it(ctx):
    waiting(ctx)
    cycle = rebalance(replace(ctx, hooks=Hooks("pre_step")))
    assert isinstance(failure(cycle.report), HookError)
    assert (states(ctx), claims(ctx), ctx.journal.open_runs()) == ([WorkloadState.PENDING], [], ())


@pytest.mark.parametrize("name", ["post_step", "notify", "exit"])
def test_a_hook_that_only_tells_changes_nothing_when_it_fails(ctx, name):
    identities = waiting(ctx)
    told = Hooks(name)
    rebalance(replace(ctx, hooks=told))
    release(replace(ctx, hooks=told), identities)
    assert states(ctx) == [WorkloadState.RELEASED]
    assert ("notify", "stop", None) in told.ran


def test_the_exit_hook_runs_after_a_run_that_was_cut_short(ctx):
    waiting(ctx)
    told = Hooks()
    broken = replace(ctx, hooks=told, fleet=Fleet(ctx.fleet, StepKind.LIMIT, "do", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        rebalance(broken)
    assert told.ran[-1] == ("exit", None, "stopped")
    assert len(ctx.journal.open_runs()) == 1


def victims(ctx, count, reason):
    """A plan that ends running work."""
    waiting(ctx, count)
    rebalance(ctx)
    plan = make_plan(ctx)
    works = ctx.journal.workloads([WorkloadState.RUNNING])
    step = rebalance_step(works[0])
    steps = tuple(
        replace(
            step,
            seq=number,
            workload=work.id,
            target=work.id,
            reason=reason,
            revision=work.revision,
            blast_radius=BlastRadius((work.id,), (work.owner,)),
        )
        for number, work in enumerate(works, start=1)
    )
    return replace(plan, steps=steps)


def rebalance_step(work):
    from gpualloc.planning.steps import release_steps

    return release_steps([work])[0]


def test_more_victims_than_allowed_are_refused_with_the_list(ctx):
    few = replace(ctx, settings=replace(ctx.settings, max_disturbed=1))
    plan = victims(ctx, 2, StepReason.ENFORCE)
    plan = replace(plan, base={})
    with pytest.raises(InfeasibleError) as caught:
        apply(few, bound(ctx, plan))
    assert all(step.workload in caught.value.message for step in plan.steps)
    assert states(ctx) == [WorkloadState.RUNNING] * 2
    assert failure(apply(ctx, bound(ctx, plan))) is None


def test_victims_that_an_operator_named_do_not_count(ctx):
    none = replace(ctx, settings=replace(ctx.settings, max_disturbed=0))
    plan = victims(ctx, 2, StepReason.RELEASE)
    assert failure(apply(none, bound(ctx, plan))) is None


def bound(ctx, plan):
    """The plan, resting on the facts as they are."""
    from gpualloc.planning.base import base_digest, base_facts

    facts = base_facts(look(ctx), plan.steps, {work.id: work for work in ctx.journal.workloads()})
    return replace(plan, base=facts, base_digest=base_digest(facts))


def test_work_behind_a_failed_step_says_what_it_waits_for(ctx):
    first, second = waiting(ctx, 2)
    plan = make_plan(ctx)
    claim = next(step.seq for step in plan.steps if step.workload == first)
    steps = tuple(
        replace(step, needs=(*step.needs, claim)) if step.workload == second and step.kind is StepKind.CLAIM else step
        for step in plan.steps
    )
    refused = Fleet(ctx.fleet, StepKind.LIMIT, "preflight", StepError("no such group", reason="no-cgroup"))
    report = apply(replace(ctx, fleet=refused), replace(plan, steps=steps))
    assert len(report.failed) == 1
    assert (
        ctx.journal.find(second).reason
        == f"it needs step {claim} (claim of {steps[claim - 1].target}), which is skipped"
    )
