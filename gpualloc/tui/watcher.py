"""The thread that looks at the fleet, so that a node which hangs never holds up the screen."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

from textual.message import Message

from gpualloc.engine.judging import NOTHING_JUDGED
from gpualloc.errors import GpuallocError
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.workload import Workload
from gpualloc.tui.messages import Crashed, Sampled
from gpualloc.tui.seen import Seen, SeenNode
from gpualloc.tui.source import Source

JUDGED_SHARE = 0.01
"""Part of the time that goes into judging what was seen: wide fleets are judged less often than they are looked at."""


class Watcher:
    """Looks once per period, one look at a time, and says that there is news: once a look until `seen` is asked for.

    The thread is a daemon and is never joined: a look that blocks for ever does not hold up the exit.

    Args:
        source: what to look at.
        every_s: period in seconds, from the beginning of a look to the beginning of the next.
        post: takes a message from any thread.
    """

    def __init__(self, source: Source, every_s: float, post: Callable[[Message], object]) -> None:
        self._source = source
        self._every_s = every_s
        self._post = post
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._answers: dict[str, Node] = {}
        self._nodes = {spec.name: SeenNode(spec) for spec in source.specs}
        self._workloads: tuple[Workload, ...] | None = None
        self._judged = NOTHING_JUDGED
        self._judge_at_s = -math.inf
        self._looks = 0
        self._error: GpuallocError | None = None
        self._stopped = threading.Event()
        self._told = False
        """Whether there is news that was told and not asked for yet: of a thousand nodes one word is enough."""
        self._going = threading.Event()
        self._going.set()

    def start(self) -> None:
        """Begin to look."""
        threading.Thread(target=self._watch, name="watcher", daemon=True).start()

    def stop(self) -> None:
        """Begin no further look; does not wait for the one under way."""
        self._stopped.set()
        self._going.set()

    @property
    def paused(self) -> bool:
        """Whether looking is paused."""
        return not self._going.is_set()

    def pause(self, paused: bool) -> None:
        """Begin no further look until told to go on."""
        if paused:
            self._going.clear()
        else:
            self._going.set()

    def seen(self) -> Seen:
        """Everything known now; asked for when it is to be drawn, which is less often than nodes answer."""
        with self._lock:
            self._told = False
            waiting = () if self._since_s is None else tuple(sorted(self._nodes.keys() - self._answers.keys()))
            return Seen(
                nodes=tuple(self._nodes[name] for name in sorted(self._nodes)),
                workloads=self._workloads,
                looks=self._looks,
                look_since_s=self._since_s,
                waiting_for=waiting,
                judged=self._judged,
                error=self._error,
            )

    def _watch(self) -> None:
        try:
            while not self._stopped.is_set():
                began_s = self._source.ticks_s()
                self._look(began_s)
                self._stopped.wait(max(0.0, self._every_s - (self._source.ticks_s() - began_s)))
                self._going.wait()
        except Exception as error:  # noqa: BLE001 (outer guard of the thread: handed over, raised again by run_top)
            self._post_going_on(Crashed(error))

    def _look(self, began_s: float) -> None:
        with self._lock:
            self._since_s = began_s
            self._answers = {}
            # Whoever did not ask is told again in each look: it may want to know by now.
            self._told = False
        self._tell()
        error = None
        try:
            for node in self._source.look():
                if self._stopped.is_set():
                    return
                self._take(node)
                self._tell()
            self._finish()
        except GpuallocError as caught:
            error = caught
        with self._lock:
            self._since_s = None
            self._error = error
        self._tell()

    def _take(self, node: Node) -> None:
        # A simulated world's clock may run fast: its seconds say nothing about the age of an answer.
        lag_s = 0.0 if self._source.simulated else max(0.0, self._source.now_s() - node.at_s)
        before = self._nodes.get(node.name, SeenNode(node.spec))
        after = before.after(node, self._source.ticks_s(), lag_s)
        with self._lock:
            self._answers[node.name] = node
            self._nodes[node.name] = after

    def _finish(self) -> None:
        nodes = tuple(self._answers[name] for name in sorted(self._answers))
        with self._lock:
            self._looks += 1
        workloads = self._source.workloads(Snapshot(self._source.now_s(), nodes))
        with self._lock:
            self._workloads = workloads
        self._judge(nodes)

    def _judge(self, nodes: tuple[Node, ...]) -> None:
        began_s = self._source.ticks_s()
        if began_s < self._judge_at_s:
            return
        judged = self._source.judge(nodes)
        ended_s = self._source.ticks_s()
        self._judge_at_s = ended_s + (ended_s - began_s) / JUDGED_SHARE
        with self._lock:
            self._judged = judged

    def _tell(self) -> None:
        with self._lock:
            told, self._told = self._told, True
        if not told:
            self._post_going_on(Sampled())

    def _post_going_on(self, message: Message) -> None:
        if not self._stopped.is_set():
            self._post(message)
