"""Work beside each other: all of it is heard, in the order each piece told it, and none outlives the crew."""

import threading

import pytest

from gpualloc.adapters.crew import ThreadCrew


def test_pieces_of_work_run_beside_each_other_and_are_heard_in_their_order():
    both = threading.Barrier(2, timeout=60)

    def work(name):
        def do(tell):
            both.wait()
            for number in range(3):
                tell((name, number))

        return do

    with ThreadCrew() as crew:
        crew.begin(work("a"))
        crew.begin(work("b"))
        heard = [crew.hear() for _ in range(6)]
    for name in "ab":
        assert [number for who, number in heard if who == name] == [0, 1, 2]


def test_what_a_piece_of_work_raises_is_raised_where_it_is_heard():
    def fail(_tell):
        raise KeyError("x")

    with ThreadCrew() as crew:
        crew.begin(fail)
        with pytest.raises(KeyError):
            crew.hear()


def test_the_end_waits_for_what_is_under_way():
    begun, go, over = threading.Event(), threading.Event(), []

    def work(_tell):
        begun.set()
        go.wait(60)
        over.append(True)

    def end():
        with ThreadCrew() as crew:
            crew.begin(work)
            begun.wait(60)

    ending = threading.Thread(target=end)
    ending.start()
    begun.wait(60)
    go.set()
    ending.join(60)
    assert over == [True]
