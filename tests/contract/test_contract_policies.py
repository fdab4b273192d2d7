"""The contract of policies, over random problems, for every policy that is installed."""

from __future__ import annotations

import pytest
from fakes import scenes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem, Rejection, RejectionReason
from gpualloc.model.objective import Objective
from gpualloc.policies import registry
from gpualloc.policies.contract import broken_promises
from gpualloc.policies.feasibility import feasible
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.session import BoardSession
from gpualloc.policies.survey import survey

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", registry.names())
@FAST
@given(data=st.data())
def test_every_policy_keeps_its_promises(name: str, problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem = replace(data.draw(problems), objective=data.draw(st.sampled_from(Objective)))
    assert broken_promises(registry.load(name), problem) == ()


@FAST
@given(data=st.data())
def test_room_given_back_is_exactly_the_room_before(problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem = data.draw(problems)
    session, before = FirstFit().begin(problem), survey(problem)
    placed = [answer for one in problem.requests if isinstance(answer := session.place(one), Allocation)]
    for allocation in data.draw(st.permutations(placed)):
        session.free(allocation)
    assert {name: session.room(name) for name in before} == before


@FAST
@given(data=st.data())
def test_all_policies_agree_on_whether_the_first_request_fits(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    answers = [registry.load(name).begin(problem).place(problem.requests[0]) for name in registry.names()]
    assert len({type(answer) for answer in answers}) == 1
    reasons = {(answer.reason, answer.detail) for answer in answers if isinstance(answer, Rejection)}
    assert len(reasons) <= 1


@FAST
@given(data=st.data())
def test_infeasible_is_said_exactly_when_submit_would_refuse(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    for one in problem.requests:
        answer = FirstFit().begin(problem).place(one)
        says = isinstance(answer, Rejection) and answer.reason is RejectionReason.INFEASIBLE
        assert says == (feasible(problem.snapshot, one.request) is not None)


class _Forgetful(BoardSession):
    """Never books what it gave."""

    def place(self, workload: scenes.Workload) -> Allocation | Rejection:
        answer = super().place(workload)
        if isinstance(answer, Allocation):
            self.free(answer)
        return answer


class _Careless(BoardSession):
    """Takes whatever node comes first in the snapshot and ignores the request."""

    def place(self, workload: scenes.Workload) -> Allocation | Rejection:
        return Allocation(workload.id, self._problem.snapshot.nodes[0].name, ())


@pytest.mark.parametrize(
    ("session", "promise"),
    [(_Forgetful, "is given twice"), (_Careless, "0 grants for 1 GPUs"), (_Careless, "order of the input")],
)
def test_a_policy_that_breaks_a_promise_is_told_which(session: type[BoardSession], promise: str) -> None:
    class Broken(FirstFit):
        def begin(self, problem: Problem) -> BoardSession:
            good = super().begin(problem)
            return session(problem, good._taste)

    nodes = [scenes.node("gpu01", devices=1), scenes.node("gpu02", devices=0)]
    problem = scenes.problem(nodes, [scenes.workload("a"), scenes.workload("b")])
    assert any(promise in sentence for sentence in broken_promises(Broken(), problem))


def test_a_running_workload_can_be_given_back_for_a_what_if() -> None:
    running = scenes.allocation("r", "gpu01", "0", cpus=60.0)
    node = scenes.node(
        "gpu01",
        devices=[{"used_mib": 70000}],
        claims=[{"device": 0, "workload": "r"}],
        processes=[{"device": 0, "workload": "r", "memory_mib": 69500}],
    )
    asked = scenes.workload("a", gpu_memory_mib=60000, cpus=32)
    session = FirstFit().begin(scenes.problem([node], [asked], [running]))
    assert isinstance(session.place(asked), Rejection)
    session.free(running)
    assert isinstance(session.place(asked), Allocation)
    assert isinstance(session.place(replace(asked, id="b")), Rejection)
