"""The thread that looks at the fleet, without a screen."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from msgspec.structs import replace
from textual.message import Message
from tui.fleet_fixture import NOW_S, fleet

from gpualloc.engine.judging import Judged
from gpualloc.model.inventory import Node
from gpualloc.tui.messages import Sampled
from gpualloc.tui.source import Source
from gpualloc.tui.watcher import Watcher

WORLD = fleet()
LIMIT_S = 60.0


class Ticks:
    """Seconds that pass while something is done, and in each period."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Steps:
    """A look that goes from node to node when it is told to."""

    def __init__(self) -> None:
        self.news: list[Message] = []
        self._on = threading.Semaphore(0)
        self._reached = threading.Semaphore(0)

    def look(self) -> Iterator[Node]:
        for node in WORLD.nodes:
            self._reached.release()
            assert self._on.acquire(timeout=LIMIT_S)
            yield replace(node, at_s=NOW_S)

    def begin(self) -> None:
        """Wait until the look asks for its first node."""
        assert self._reached.acquire(timeout=LIMIT_S)

    def go_on(self) -> None:
        """Let a node answer, and wait until it was taken in."""
        self._on.release()
        assert self._reached.acquire(timeout=LIMIT_S)

    def end(self) -> None:
        """Let everything go on."""
        self._on.release(100)


def test_news_is_told_once_until_it_is_asked_for() -> None:
    steps = Steps()
    source = Source(
        look=steps.look,
        workloads=lambda _: (),
        judge=lambda _: Judged(),
        now_s=lambda: NOW_S,
        specs=tuple(node.spec for node in WORLD.nodes),
    )
    watcher = Watcher(source, 60.0, steps.news.append)
    watcher.start()
    try:
        steps.begin()
        steps.go_on()
        steps.go_on()
        assert [type(each) for each in steps.news] == [Sampled]
        assert len(watcher.seen().waiting_for) == len(WORLD.nodes) - 2
        steps.go_on()
        steps.go_on()
        assert [type(each) for each in steps.news] == [Sampled, Sampled]
        assert len(watcher.seen().waiting_for) == len(WORLD.nodes) - 4
    finally:
        watcher.stop()
        steps.end()


def test_who_did_not_ask_is_told_again_in_the_next_look() -> None:
    steps = Steps()
    source = Source(look=steps.look, workloads=lambda _: (), judge=lambda _: Judged(), now_s=lambda: NOW_S)
    watcher = Watcher(source, 0.0, steps.news.append)
    watcher.start()
    try:
        steps.begin()
        assert len(steps.news) == 1
        for _ in WORLD.nodes:
            steps.go_on()
        assert len(steps.news) == 2
    finally:
        watcher.stop()
        steps.end()


def test_judging_takes_a_hundredth_of_the_time_at_most() -> None:
    ticks = Ticks()
    looked: list[int] = []
    judged: list[int] = []
    enough = threading.Event()

    def look() -> Iterator[Node]:
        ticks.now_s += 10.0
        looked.append(len(looked))
        if len(looked) > 9:
            enough.set()
        yield from (replace(node, at_s=NOW_S) for node in WORLD.nodes)

    def judge(_: object) -> Judged:
        judged.append(looked[-1])
        ticks.now_s += 0.35
        return Judged()

    source = Source(look=look, workloads=lambda _: (), judge=judge, now_s=lambda: NOW_S, ticks_s=ticks)
    watcher = Watcher(source, 0.0, lambda _: None)
    watcher.start()
    try:
        assert enough.wait(LIMIT_S)
    finally:
        watcher.stop()
    assert judged[:3] == [0, 4, 8]
