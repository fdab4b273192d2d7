"""The rule for an interrupted run, at every point where it can be interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fakes import scenes

from gpualloc.model.plan import Step, StepRecord, StepState
from gpualloc.model.workload import Workload
from gpualloc.planning.recovery import Remedy, recovery_moves
from gpualloc.planning.steps import release_steps, steps_for

D, I, F, U = StepState.DONE, StepState.INTENT, StepState.FAILED, StepState.UNDONE  # noqa: E741
PENDING = scenes.workload("w1", cpus=2)
HELD = scenes.allocation("w1", "gpu01", "0", cpus=2.0)
STEPS = steps_for([HELD], {"w1": PENDING}, scenes.snapshot())
RUNNING = scenes.workload("w1", state="running", attempt=1, revision=2, allocation=HELD)


def _records(steps: tuple[Step, ...], states: tuple[StepState, ...]) -> list[StepRecord]:
    return [StepRecord("r1", step, state) for step, state in zip(steps, states, strict=False)]


def _moves(
    states: tuple[StepState, ...], holds: Mapping[int, bool], work: Workload | None, steps: tuple[Step, ...] = STEPS
) -> list[tuple[int, str]]:
    works = {work.id: work} if work else {}
    found = recovery_moves(steps, _records(steps, states), holds, works)
    assert all(move.detail for move in found)
    return [(move.step.seq, str(move.remedy)) for move in found]


@pytest.mark.parametrize(
    ("states", "holds", "moves"),
    [
        ((), {}, [(1, "do"), (2, "do"), (3, "do")]),
        ((I,), {1: False}, [(1, "do"), (2, "do"), (3, "do")]),
        ((I,), {1: True}, [(1, "mark done"), (2, "do"), (3, "do")]),
        ((D,), {}, [(2, "do"), (3, "do")]),
        ((D, D, I), {3: True}, [(3, "mark done")]),
        ((D, D, I), {3: False}, [(3, "do")]),
        ((D, I), {}, [(2, "wait"), (3, "wait")]),
        ((D, D, F), {}, [(2, "undo"), (1, "undo")]),
        ((D, U, F), {}, [(1, "undo")]),
        ((D, I, F), {2: True}, [(2, "undo"), (1, "undo")]),
        ((D, F), {}, [(1, "undo"), (3, "skip")]),
        ((U, U, U), {}, []),
    ],
)
def test_work_that_still_waits(
    states: tuple[StepState, ...], holds: dict[int, bool], moves: list[tuple[int, str]]
) -> None:
    assert _moves(states, holds, PENDING) == moves


@pytest.mark.parametrize("gone", [None, "released", "failed", "other start"])
@pytest.mark.parametrize(
    ("states", "holds", "moves"),
    [
        ((), {}, [(1, "skip"), (2, "skip"), (3, "skip")]),
        ((D, I), {2: False}, [(1, "undo"), (2, "skip"), (3, "skip")]),
        ((D, D, I), {3: True}, [(3, "undo"), (2, "undo"), (1, "undo")]),
        ((D, D, I), {}, [(1, "wait"), (2, "wait"), (3, "wait")]),
    ],
)
def test_work_that_is_not_wanted_any_more(
    gone: str | None, states: tuple[StepState, ...], holds: dict[int, bool], moves: list[tuple[int, str]]
) -> None:
    said: dict[str, Any] = {"attempt": 5} if gone == "other start" else {"state": gone}
    assert _moves(states, holds, scenes.workload("w1", **said) if gone else None) == moves


def test_what_is_all_done_stays_although_the_work_ended_since() -> None:
    assert _moves((D, D, D), {}, RUNNING) == []
    assert _moves((D, D, D), {}, scenes.workload("w1", state="finished", attempt=1)) == []


def test_a_decided_start_is_recognised_whether_or_not_its_number_was_stored() -> None:
    assert _moves((D, D, I), {3: False}, scenes.workload("w1", attempt=1)) == [(3, "do")]
    assert _moves((D, D, I), {3: True}, RUNNING) == [(3, "mark done")]


@pytest.mark.parametrize("work", [RUNNING, scenes.workload("w1", state="released"), None])
def test_a_release_is_always_finished(work: Workload | None) -> None:
    steps = release_steps([RUNNING])
    assert _moves((I,), {1: True}, work, steps) == [(1, "mark done"), (2, "do"), (3, "do")]
    assert _moves((D, I), {2: False}, work, steps) == [(2, "do"), (3, "do")]


def test_undo_comes_before_going_on_and_in_reverse() -> None:
    other = scenes.workload("w2")
    pair = [HELD, scenes.allocation("w2", "gpu02", "0")]
    steps = steps_for(pair, {"w1": PENDING, "w2": other}, scenes.snapshot())
    records = _records(steps, (D, D, F, D))
    moves = recovery_moves(steps, records, {}, {"w1": PENDING, "w2": other})
    assert [(move.step.seq, move.remedy) for move in moves] == [(2, Remedy.UNDO), (1, Remedy.UNDO), (5, Remedy.DO)]
