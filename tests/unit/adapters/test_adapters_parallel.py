from __future__ import annotations

import threading

import pytest

from gpualloc.adapters.parallel import run_each


@pytest.mark.parametrize("count", [0, 1, 2, 50])
@pytest.mark.parametrize("width", [1, 4, 100])
def test_every_item_gives_one_result(count, width):
    assert sorted(run_each(lambda item: item * item, range(count), width)) == [item * item for item in range(count)]


@pytest.mark.parametrize("items", [[0], [1, 0, 2]])
def test_what_is_raised_in_a_thread_is_raised_to_the_caller(items):
    with pytest.raises(ZeroDivisionError):
        list(run_each(lambda item: 1 / item, items, 2))


def test_no_more_than_width_run_at_once():
    running, most, lock = 0, 0, threading.Lock()
    gate = threading.Barrier(3)

    def work(item: int) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait()
        with lock:
            running -= 1

    list(run_each(work, range(9), 3))
    assert most == 3


def test_a_caller_that_stops_has_nothing_more_started():
    started = []
    go_on = threading.Semaphore(1)

    def work(item: int) -> int:
        go_on.acquire()
        started.append(item)
        return item

    results = run_each(work, range(100), 2)
    next(results)
    results.close()
    go_on.release(100)
    for thread in threading.enumerate():
        if thread.name.startswith("node-"):
            thread.join()
    assert len(started) <= 3
