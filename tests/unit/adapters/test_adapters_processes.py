"""Work in processes beside each other: the results of a plain loop, and nobody left over."""

import math
import multiprocessing
import os
import time

import pytest

from gpualloc.adapters.processes import run_in_processes
from gpualloc.errors import GpuallocError


@pytest.fixture(autouse=True)
def nobody_left():
    yield
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("width", [1, 2, 9])
def test_each_item_comes_back_once(width):
    items = [float(number**2) for number in range(7)]
    assert sorted(run_in_processes(math.sqrt, items, width)) == [float(number) for number in range(7)]


def test_nothing_to_do_is_nothing():
    assert list(run_in_processes(math.sqrt, [], 4)) == []


def test_what_the_work_raises_is_raised():
    with pytest.raises(ValueError, match="math domain error"):
        list(run_in_processes(math.sqrt, [1.0, -1.0, 4.0], 2))


def test_a_process_that_ends_is_told_with_its_status():
    with pytest.raises(GpuallocError, match=r"exit status 3"):
        list(run_in_processes(os._exit, [3, 3, 3], 2))


def test_who_stops_iterating_does_not_wait():
    results = run_in_processes(time.sleep, [0.0, 3600.0, 3600.0], 2)
    next(results)
    results.close()
