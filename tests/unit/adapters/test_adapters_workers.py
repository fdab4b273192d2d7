"""Calculations in processes of their own."""

import multiprocessing
import os
import signal
from contextlib import closing

import pytest

from gpualloc.adapters.workers import Workers
from gpualloc.errors import BrokenInputError, GpuallocError


def squared(number):
    return number * number, os.getpid()


def refusing(number):
    if number == 3:
        raise BrokenInputError("three", hint="not three")
    return number


def dying(number):
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def left():
    return [process.name for process in multiprocessing.active_children()]


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_every_item_is_answered_with_its_place(jobs):
    with Workers(squared, jobs) as workers:
        for _ in range(2):
            found = dict(workers([4, 5, 6, 7, 8]))
            assert {place: value for place, (value, _) in found.items()} == {0: 16, 1: 25, 2: 36, 3: 49, 4: 64}
        assert dict(workers([])) == {}
    assert ({pid for _, pid in found.values()} == {os.getpid()}) == (jobs == 1)
    assert left() == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_is_raised_there_is_raised_here_and_the_next_call_starts_afresh(jobs):
    with Workers(refusing, jobs) as workers:
        with pytest.raises(BrokenInputError, match="three") as refused:
            list(workers([1, 2, 3, 4, 5, 6]))
        assert refused.value.hint == "not three"
        assert sorted(workers([7, 8])) == [(0, 7), (1, 8)]
    assert left() == []


def test_a_process_that_is_killed_is_told():
    with Workers(dying, 2) as workers, pytest.raises(GpuallocError, match="a process that calculated ended by itself"):
        list(workers([0, 1, 2, 3]))
    assert left() == []


def test_a_caller_that_stops_leaves_nothing_behind():
    with Workers(squared, 2) as workers, closing(workers([1, 2, 3, 4, 5, 6])) as answers:
        next(answers)
    assert left() == []
