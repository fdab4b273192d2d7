"""The arrays that policies decide on say what the rooms of the nodes say, whatever happened to both."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.decision import Problem
from gpualloc.policies.board import Board, milli
from gpualloc.policies.filters import allowed, takes_work
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.offer import enough, offer
from gpualloc.policies.session import BoardSession
from gpualloc.policies.spread import Spread

FAST = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def _read_anew(session: BoardSession) -> Board:
    rooms = [session.room(name) for name in session.board.names]
    return Board([room for room in rooms if room is not None])


def _say_the_same(one: Board, other: Board) -> None:
    for name in ("cpu", "memory", "free", "whole", "gpu_memory", "shareable", "used"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for share, parts in one.parts.items():
        np.testing.assert_array_equal(parts, other.parts[share], share)


@FAST
@given(data=st.data())
def test_a_placement_changes_the_board_as_it_changes_the_rooms(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    session = data.draw(st.sampled_from((FirstFit, Spread)))().begin(problem)
    placed = []
    for workload in problem.requests:
        answer = session.place(workload)
        if isinstance(answer, Allocation):
            placed.append(answer)
        _say_the_same(session.board, _read_anew(session))
    for allocation in data.draw(st.permutations(placed)):
        session.free(allocation)
    _say_the_same(session.board, _read_anew(FirstFit().begin(problem)))


@FAST
@given(data=st.data())
def test_the_board_finds_room_exactly_where_the_filters_do(
    problems: st.SearchStrategy[Problem], data: st.DataObject
) -> None:
    problem = data.draw(problems)
    session = FirstFit().begin(problem)
    for workload in problem.requests:
        request = workload.request
        if request.share is not Share.MIG:
            scores, _ = session.packer.scores(session.ask(request))
            rooms = {name: session.room(name) for name in session.board.names}
            fitting = {
                name
                for name, room in rooms.items()
                if room
                and takes_work(room.node)
                and allowed(room.node, request)
                and enough(offer(room, request), request)
            }
            found = {name for name, score in zip(session.board.names, scores, strict=True) if score > -np.inf}
            assert found == fitting
        session.place(workload)


def test_parts_are_counted_in_thousandths_that_never_promise_too_much() -> None:
    assert [milli(part) for part in (0.1, 0.81, 1 / 3, 0.3335)] == [100, 810, 334, 334]
    assert sum(milli(0.1) for _ in range(10)) == pytest.approx(1000, abs=0)
