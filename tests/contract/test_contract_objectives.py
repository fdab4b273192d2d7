"""What objectives promise over random problems: no place is taken while one would do that they have less against."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem
from gpualloc.model.objective import Objective
from gpualloc.policies import registry
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.objectives.aims import aim_of
from gpualloc.policies.objectives.burdens import burden_of
from gpualloc.policies.offer import enough, offer
from gpualloc.policies.packer import Packer
from gpualloc.policies.room import NodeRoom
from gpualloc.policies.session import BoardSession
from gpualloc.policies.survey import survey

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
AIMS = (Objective.COST, Objective.JCT, Objective.ENERGY)
POLICIES = ("pack", "best-fit", "random", "spread")


def _drawn(problems: st.SearchStrategy[Problem], data: st.DataObject) -> tuple[Problem, BoardSession]:
    """A problem with an objective, and a session over it."""
    problem = replace(data.draw(problems), objective=data.draw(st.sampled_from(AIMS)))
    session = registry.load(data.draw(st.sampled_from(POLICIES))).begin(problem)
    assert isinstance(session, BoardSession)
    return problem, session


@FAST
@given(data=st.data())
def test_no_node_is_taken_while_the_objective_has_less_against_another(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem, session = _drawn(problems, data)
    aim = aim_of(problem, survey(problem).values())
    assert aim is not None
    for workload in problem.requests:
        request = workload.request
        rooms = [room for room in map(session.room, session.board.names) if room is not None]
        answer = session.place(workload)
        if not isinstance(answer, Allocation) or request.gang or request.share is not Share.EXCLUSIVE:
            continue
        able = [room for room in rooms if takes_work(room.node) and allowed(room.node, request)]
        able = [room for room in able if enough(offer(room, request), request)]
        if problem.objective is Objective.COST or (problem.objective is Objective.JCT and request.gpus):
            against = {room.node.name: aim.of_node(room) for room in able}
            assert against[answer.node] == min(against.values())
        if problem.objective is Objective.ENERGY:
            used = {room.node.name: room.in_use for room in able}
            assert used[answer.node] or not any(used.values())


@FAST
@given(data=st.data())
def test_what_is_remembered_is_what_a_new_look_says(problems: st.SearchStrategy[Problem], data: st.DataObject) -> None:
    problem, session = _drawn(problems, data)
    plain = [work for work in problem.requests if not work.request.gang and work.request.share is not Share.MIG]
    rooms = [room for room in map(session.room, session.board.names) if room is not None]
    aim = aim_of(problem, rooms)
    assert aim is not None
    for workload in problem.requests:
        session.place(workload)
        for other in plain:
            ask = session.ask(other.request)
            anew = Packer(session.board, lambda options: np.zeros(options.size), burden_of(aim, session.board, rooms))
            fits = anew.scores(ask)[0] > -np.inf
            np.testing.assert_array_equal(fits, session.packer.scores(ask)[0] > -np.inf)
            np.testing.assert_array_equal(session.packer.burdens(ask)[fits], anew.burdens(ask)[fits])


def _without_facts(room: NodeRoom) -> NodeRoom:
    devices = tuple(replace(each, device=replace(each.device, power_limit_w=None)) for each in room.devices)
    spec = replace(room.node.spec, price_per_gpu_hour=None, labels={})
    return replace(room, node=replace(room.node, spec=spec), devices=devices)


@FAST
@given(data=st.data())
@pytest.mark.parametrize("objective", AIMS)
def test_what_is_told_is_never_worse_than_what_is_not(
    objective: Objective, problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = replace(data.draw(problems), objective=objective)
    rooms = list(survey(problem).values())
    told = aim_of(problem, rooms)
    silent = aim_of(problem, [_without_facts(room) for room in rooms])
    assert told is not None
    assert silent is not None
    for room in rooms:
        # An empty node that costs nothing is one more that nobody has to begin: the first score may fall, never rise.
        assert told.of_node(room) <= silent.of_node(room)
