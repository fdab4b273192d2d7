"""Questions that may block, asked from a thread that never does."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
from textual.message import Message

from gpualloc.errors import GpuallocError
from gpualloc.tui.desk import Answered, Desk
from gpualloc.tui.messages import Crashed

WAIT_S = 30.0


class Post:
    """Where messages arrive; `deliver` does what the next of them says, as the app would."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[Message] = queue.Queue()
        self.put = self._arrived.put

    def next(self) -> Message:
        return self._arrived.get(timeout=WAIT_S)

    def deliver(self) -> None:
        message = self.next()
        assert isinstance(message, Answered)
        message.tell()


def never(_: object) -> None:
    raise AssertionError("nobody may be told")


def test_an_answer_is_told_where_the_messages_arrive() -> None:
    post = Post()
    told: list[tuple[str, int]] = []
    Desk(post.put).ask(
        "one", lambda: f"from {threading.get_ident()}", lambda a: told.append((a, threading.get_ident())), never
    )
    post.deliver()
    [(answer, receiver)] = told
    assert receiver == threading.get_ident()
    assert answer != f"from {receiver}"


def test_an_error_is_told_and_the_lane_goes_on() -> None:
    post, wrong, told = Post(), list[str](), list[int]()
    desk = Desk(post.put)

    def refused() -> int:
        raise GpuallocError("no such thing")

    desk.ask("one", refused, never, lambda error: wrong.append(error.message))
    post.deliver()
    desk.ask("one", lambda: 7, told.append, never)
    post.deliver()
    assert (wrong, told) == (["no such thing"], [7])


def test_of_those_that_wait_only_the_newest_is_asked() -> None:
    post, told, asked = Post(), list[int](), list[int]()
    desk, go = Desk(post.put), threading.Event()

    def question(number: int) -> Callable[[], int]:
        def ask() -> int:
            asked.append(number)
            if number == 0:
                assert go.wait(WAIT_S)
            return number

        return ask

    for number in range(5):
        desk.ask("one", question(number), told.append, never)
    assert desk.busy("one")
    go.set()
    post.deliver()
    post.deliver()
    assert told == [0, 4]
    assert asked == [0, 4]


def test_a_question_without_an_end_holds_up_no_other_lane() -> None:
    post, told = Post(), list[str]()
    desk, for_ever = Desk(post.put), threading.Event()
    desk.ask("hangs", for_ever.wait, never, never)
    desk.ask("well", lambda: "answer", told.append, never)
    post.deliver()
    assert told == ["answer"]
    assert desk.busy("hangs")
    for_ever.set()
    assert isinstance(post.next(), Answered)


def test_a_question_without_an_end_does_not_hold_up_the_exit() -> None:
    script = (
        "import threading\n"
        "from gpualloc.tui.desk import Desk\n"
        "begun = threading.Event()\n"
        "def hang():\n"
        "    begun.set()\n"
        "    threading.Event().wait()\n"
        "Desk(print).ask('hangs', hang, print, print)\n"
        "begun.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], timeout=WAIT_S, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_defect_is_handed_over_and_told_to_nobody() -> None:
    post = Post()
    Desk(post.put).ask("one", lambda: dict[str, str]()["gone"], never, never)
    message = post.next()
    assert isinstance(message, Crashed)
    assert isinstance(message.error, KeyError)


def test_a_running_question_may_tell_how_far_it_is() -> None:
    post, told = Post(), list[str]()
    desk = Desk(post.put)

    def question() -> str:
        desk.tell(lambda: told.append("half"))
        return "whole"

    desk.ask("one", question, told.append, never)
    post.deliver()
    post.deliver()
    assert told == ["half", "whole"]


@pytest.mark.parametrize("lanes", [1, 8])
def test_every_lane_is_answered(lanes: int) -> None:
    post, told = Post(), set[int]()
    desk = Desk(post.put)
    for number in range(lanes):
        desk.ask(f"lane {number}", lambda number=number: number, told.add, never)  # type: ignore[misc]
    for _ in range(lanes):
        post.deliver()
    assert told == set(range(lanes))
