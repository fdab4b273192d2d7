"""One node as the fleet holds it: its link, what it said of itself, and whether it answers."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence

from gpualloc.adapters.answers import refused
from gpualloc.adapters.decode import OBSERVED, Hello, decode_hello, decode_node
from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.link import Failure, LinkDownError, Message, NodeLink, failure_of
from gpualloc.errors import StepError, UnreachableError
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.node.wire import MAX_PATHS, request


class NodeSession:
    """Asks one node. Usable from several threads.

    Args:
        spec: the node as configured.
        connect: makes the link; called once, at the first question.
        now_s: epoch seconds of the world the node lives in.
    """

    def __init__(self, spec: NodeSpec, connect: Callable[[], NodeLink], now_s: Callable[[], float]) -> None:
        self.spec = spec
        self.failing = False
        """Whether the last question went unanswered."""
        self.changed = False
        """Whether it told of a change that nobody took note of yet: it tells each only once."""
        self._connect = connect
        self._now_s = now_s
        self._link: NodeLink | None = None
        self._link_lock = threading.Lock()
        self._closed = False
        self._numbers = itertools.count(1)
        self._hello: tuple[int, Hello] | None = None

    @property
    def begun(self) -> bool:
        """Whether this node was ever asked anything."""
        return self._link is not None

    def observe(self, deadline_s: float, near: Sequence[str] = ()) -> Node:
        """Look at the node, and for these paths on it; a failure becomes its state."""
        asked_at_s = self._now_s()
        try:
            return self._look(deadline_s, near[:MAX_PATHS])
        except UnreachableError as error:
            failure = failure_of(error)
        except MalformedError as error:
            failure = Failure(NodeState.FAILED, f"its answer makes no sense: {error}")
        except StepError as error:
            failure = Failure(NodeState.FAILED, error.message)
        return Node(self.spec, failure.state, asked_at_s, reason=self._reason(failure))

    def call(self, verb: str, args: Message, deadline_s: float) -> object:
        """Ask one thing and return its result.

        Raises:
            StepError: the node refused.
            UnreachableError: see `NodeLink.exchange`.
        """
        return self._results([(verb, args)], deadline_s)[0]

    def close(self) -> None:
        """Let go of the node within a second."""
        with self._link_lock:
            self._closed = True
            link = self._link
        if link is not None:
            link.close()

    def _look(self, deadline_s: float, near: Sequence[str]) -> Node:
        started = time.monotonic()
        known = self._known_hello()
        verbs = OBSERVED if known else ("hello", *OBSERVED)
        args: dict[str, Message] = {"inventory": {"near": list(near)}} if near else {}
        asked = [(verb, args.get(verb, {})) for verb in verbs]
        results = dict(zip(verbs, self._results(asked, deadline_s), strict=True))
        if "hello" in results:
            self._remember(results["hello"])
        hello = self._known_hello()
        if hello is None:
            # A new node program took the place of the known one in the middle of this.
            left_s = max(0.1, deadline_s - (time.monotonic() - started))
            hello = self._remember(self.call("hello", {}, left_s))
        return decode_node(self.spec, self._now_s(), hello, results, near)

    def _known_hello(self) -> Hello | None:
        if self._hello is None or self._link is None or self._hello[0] != self._link.connection:
            return None
        return self._hello[1]

    def _remember(self, result: object) -> Hello:
        hello = decode_hello(result)
        self._hello = (self._the_link().connection, hello)
        return hello

    def _results(self, asked: Sequence[tuple[str, Message]], deadline_s: float) -> list[object]:
        requests = [request(next(self._numbers), verb, args) for verb, args in asked]
        try:
            answers = self._the_link().exchange(requests, deadline_s)
        except UnreachableError:
            self.failing = True
            raise
        self.failing = False
        for answer in answers:
            if "error" in answer:
                raise refused(answer["error"], self.spec.name)
        return [answer["ok"] for answer in answers]

    def _reason(self, failure: Failure) -> str:
        """Without what is shown beside it: the node's name and state."""
        reason = failure.reason.removeprefix(f"{self.spec.name}: ").removeprefix(f"{failure.state.value}: ")
        return reason if failure.hint is None else f"{reason}; {failure.hint}"

    def _the_link(self) -> NodeLink:
        with self._link_lock:
            if self._link is None:
                if self._closed:
                    raise LinkDownError(Failure(NodeState.UNREACHABLE, "the fleet is closed"), self.spec.name)
                self._link = self._connect()
            return self._link
