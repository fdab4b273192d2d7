"""Which runs tell how long work runs."""

import pytest
from msgspec.structs import replace

from gpualloc.engine.run_times import label_of, past_runs, told_before
from gpualloc.forecast.run_times import PastRun
from gpualloc.model.workload import Request, Workload, WorkloadState

NOW_S = 1000.0
RAN = Workload(
    "w00000001",
    "train-17",
    "ann",
    Request(("x",), gpus=2),
    WorkloadState.FINISHED,
    100.0,
    started_at_s=200.0,
    ended_at_s=500.0,
)


@pytest.mark.parametrize(
    ("changes", "seconds", "over"),
    [
        ({}, 300.0, True),
        ({"state": WorkloadState.FAILED}, 300.0, True),
        ({"state": WorkloadState.RELEASED}, 300.0, False),
        ({"state": WorkloadState.LOST}, 300.0, False),
        ({"state": WorkloadState.RUNNING, "ended_at_s": None}, 800.0, False),
        ({"state": WorkloadState.SUSPENDED, "ended_at_s": None}, 800.0, False),
        ({"state": WorkloadState.FAILED, "request": Request(("x",), gpus=2, at_most_s=300.0)}, 300.0, False),
        ({"request": Request(("x",), gpus=2, at_most_s=301.0)}, 300.0, True),
    ],
)
def test_a_run_is_over_when_it_came_to_its_own_end(changes, seconds, over):
    assert past_runs([replace(RAN, **changes)], NOW_S) == [PastRun("ann", "train", 2, seconds, over)]


@pytest.mark.parametrize(
    "changes",
    [
        {"started_at_s": None, "state": WorkloadState.PENDING, "ended_at_s": None},
        {"started_at_s": None, "state": WorkloadState.RELEASED},
        {"ended_at_s": None, "state": WorkloadState.LOST},
    ],
)
def test_what_never_began_or_ended_nobody_knows_when_tells_nothing(changes):
    assert past_runs([replace(RAN, **changes)], NOW_S) == []


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("train-17", "train"),
        ("train17", "train"),
        ("eval_3b_002", "eval_3b"),
        ("17", "17"),
        ("train", "train"),
        ("v1.2", "v1.2"),
        ("7b-2", "7b"),
        ("träin-5", "träin"),
    ],
)
def test_a_label_is_the_name_without_its_number(name, label):
    assert label_of(name) == label


def ended_run(number, started, seconds):
    return replace(RAN, id=f"w{number:08d}", started_at_s=float(started), ended_at_s=float(started + seconds))


FORTY = [ended_run(number, number, 10) for number in range(40)]
"""Enough for a whole band, also beside one that still runs."""


def test_a_run_is_told_by_what_was_known_when_it_began():
    # The second of these begins while the first still runs: that had run for 50 s then.
    first, second = ended_run(41, 150, 400), ended_run(42, 200, 8)
    told = told_before([*FORTY, first, second])
    assert [(one.made_at_s, one.band.median, one.band.high, one.last, came) for one, came in told[-2:]] == [
        (150, 10.0, 10.0, 10.0, 400.0),
        (200, 10.0, 10.0, 10.0, 8.0),
    ]


def test_what_ended_later_is_no_help():
    assert told_before([*FORTY[:18], ended_run(19, 100, 1000), ended_run(41, 110, 5)]) == []


def test_runs_that_did_not_come_to_their_end_are_not_compared():
    released = replace(ended_run(41, 200, 50), state=WorkloadState.RELEASED)
    assert told_before([*FORTY, released]) == told_before(FORTY) != []
