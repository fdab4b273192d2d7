"""What holds for the plan of any decision, and for the fleet once it is carried out."""

from __future__ import annotations

from fakes import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Claim
from gpualloc.model.decision import Decision, Problem, Rejection
from gpualloc.model.inventory import Node
from gpualloc.model.plan import StepKind
from gpualloc.planning.base import base_facts, drift
from gpualloc.planning.document import dump, load
from gpualloc.planning.plan import build
from gpualloc.policies.spread import Spread
from gpualloc.policies.survey import survey

FAST = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def _decide(problem: Problem) -> Decision:
    answers = scenes.decided(Spread(), problem).values()
    placed = tuple(answer for answer in answers if isinstance(answer, Allocation))
    return Decision("spread", "1", 0, placed, tuple(answer for answer in answers if isinstance(answer, Rejection)))


def _with_claims(node: Node, placed: tuple[Allocation, ...]) -> Node:
    """The node after the claims of the allocations were written, before any process shows."""
    new = tuple(
        Claim(
            grant.device, one.workload, "ours", grant.share, grant.mig_instance, grant.fraction, grant.memory_mib, 2.0
        )
        for one in placed
        if one.node == node.name
        for grant in one.grants
    )
    return replace(node, claims=node.claims + new)


@FAST
@given(data=st.data())
def test_plans_are_ordered_readable_and_rest_on_what_was_seen(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    decision = _decide(problem)
    works = {work.id: work for work in problem.requests}
    plan = build(decision, problem.snapshot, works, plan_id="p", created_at_s=1.0, simulated=True)
    assert [step.seq for step in plan.steps] == list(range(1, len(plan.steps) + 1))
    assert all(need < step.seq for step in plan.steps for need in step.needs)
    starts = [step.workload for step in plan.steps if step.kind is StepKind.START]
    assert starts == [one.workload for one in decision.allocations]
    assert plan.rejections == decision.rejections
    assert load(dump(plan)) == plan
    assert drift(plan.base, base_facts(problem.snapshot, plan.steps, works)) == ()


@FAST
@given(data=st.data())
def test_what_was_decided_is_what_is_seen_as_given_afterwards(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    session = Spread().begin(problem)
    placed = tuple(answer for one in problem.requests if isinstance(answer := session.place(one), Allocation))
    nodes = tuple(_with_claims(node, placed) for node in problem.snapshot.nodes)
    after = replace(problem, snapshot=replace(problem.snapshot, nodes=nodes), running=problem.running + placed)
    for name, seen in survey(after).items():
        room = session.room(name)
        assert room is not None
        assert seen.devices == room.devices
        assert seen.cpus_free == room.cpus_free
