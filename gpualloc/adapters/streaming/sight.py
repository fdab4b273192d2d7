"""What is seen of one node of a watch now: written by the event loop, read by whoever hears."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from msgspec.structs import replace

from gpualloc.adapters.fields import Fields, MalformedError
from gpualloc.adapters.link import Failure, Message
from gpualloc.adapters.picture import Picture
from gpualloc.errors import StepError
from gpualloc.model.inventory import Node, NodeSpec, NodeState

MAX_LATE = 2_000
"""Most looks of one node that wait to be heard late."""
MAX_KEPT_S = 90_000.0
"""Nothing older is taken for something that a node kept."""


class Sight:
    """The newest of one node. Usable from several threads.

    Args:
        spec: the node as configured.
        now_s: epoch seconds.
        news: called after each change, in the thread that brought it.
    """

    def __init__(self, spec: NodeSpec, now_s: Callable[[], float], news: Callable[[Sight], None]) -> None:
        self.spec = spec
        self._now_s = now_s
        self._news = news
        self._lock = threading.Lock()
        self._picture = Picture(spec)
        self._heard_at_s = now_s()
        self._failure: Failure | None = None
        self._beginning = True
        """Whether nothing came over the connection in use yet."""
        self._kept: Picture | None = None
        self._late: deque[Node] = deque(maxlen=MAX_LATE)
        self._ready: Node | None = None
        """A node that another way of looking has made; it stands in place of the picture."""

    @property
    def well(self) -> bool:
        """Whether its picture is whole, and of the connection in use or the one just lost."""
        return not self._beginning and self._picture.begun and self._failure is None

    @property
    def state(self) -> NodeState:
        """How it stands, without decoding anything."""
        if self._failure is not None:
            return self._failure.state
        if self._ready is not None:
            return self._ready.state
        return NodeState.OK if self._picture.begun else NodeState.STALE

    def begin(self) -> None:
        """What comes next is of a new connection; until then what was seen over the one before stands."""
        with self._lock:
            self._beginning = True

    def take(self, record: Message) -> None:
        """Take a record of its stream in; raises MalformedError."""
        if "kept" in record:
            self._take_kept(record["kept"])
            return
        with self._lock:
            if self._beginning:
                self._picture.forget()
            self._picture.take(record)
            self._beginning = False
            self._heard_at_s = self._now_s()
            self._failure = None
        self._news(self)

    def put(self, node: Node) -> None:
        """Take over what another way of looking has seen."""
        with self._lock:
            self._ready = node
            self._failure = None
        self._news(self)

    def failed(self, failure: Failure) -> None:
        """It is not seen, and why."""
        with self._lock:
            self._picture.forget()
            self._failure = failure
        self._news(self)

    def silent(self) -> None:
        """Nothing came for longer than it should; what is known grows old."""
        silence_s = self._now_s() - self._heard_at_s
        self._stale(f"last heard {silence_s:.0f} s ago")

    def interrupted(self, failure: Failure) -> None:
        """The connection went, and is made anew at once."""
        self._stale(f"{failure.reason}; connecting anew")

    def late(self) -> list[Node]:
        """What it kept while it could not be reached, oldest first; each is told once."""
        with self._lock:
            told = list(self._late)
            self._late.clear()
        return told

    def node(self) -> Node:
        """The node as it is seen now. What makes no sense makes it a failed one."""
        with self._lock:
            if self._ready is not None and self._failure is None:
                return self._ready
            failure = self._failure
            if self._picture.begun:
                try:
                    node = self._picture.node(self._heard_at_s)
                except MalformedError as error:
                    failure = Failure(NodeState.FAILED, f"its answer makes no sense: {error}")
                except StepError as error:
                    failure = Failure(NodeState.FAILED, error.message)
                else:
                    return node if failure is None else replace(node, state=failure.state, reason=failure.reason)
            assert failure is not None
            return Node(self.spec, failure.state, self._heard_at_s, reason=_reason(failure))

    def _take_kept(self, record: object) -> None:
        if not isinstance(record, dict):
            raise MalformedError("something kept that is no record")
        with self._lock:
            if "full" in record or self._kept is None:
                self._kept = Picture(self.spec)
            try:
                self._kept.take(record)
                ahead_s = self._picture.node(self._heard_at_s).clock_offset_s or 0.0
                at_s = Fields(record, "kept").number("at_s") - ahead_s
                # What claims to be of another time than that between two connections would garble the past.
                if self._heard_at_s - MAX_KEPT_S < at_s < self._heard_at_s:
                    self._late.append(self._kept.node(at_s))
            except (StepError, MalformedError):
                return  # What was kept is worth less than the connection it comes over.

    def _stale(self, why: str) -> None:
        with self._lock:
            self._failure = Failure(NodeState.STALE, why)
        self._news(self)


def _reason(failure: Failure) -> str:
    reason = failure.reason.removeprefix(f"{failure.state.value}: ")
    return reason if failure.hint is None else f"{reason}; {failure.hint}"
