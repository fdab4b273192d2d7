"""`ports.Fleet` over links: local, ssh and simulated nodes alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gpualloc.adapters.clock import WallClock
from gpualloc.adapters.decode import decode_changed, decode_logs, decode_process, decode_step
from gpualloc.adapters.decode_readings import decode_cost
from gpualloc.adapters.encode import encode_call
from gpualloc.adapters.fields import MalformedError
from gpualloc.adapters.link import NodeLink
from gpualloc.adapters.parallel import run_each
from gpualloc.adapters.session import NodeSession
from gpualloc.errors import GpuallocError, NotFoundError, StepError, UnknownOutcomeError, UnreachableError
from gpualloc.model.inventory import Node, NodeSpec, RunningProcess
from gpualloc.model.plan import StepKind
from gpualloc.model.readings import ReadingCost
from gpualloc.ports import Clock, LogChunk, StepCall, StepResult, Watch

if TYPE_CHECKING:
    from gpualloc.adapters.streaming.channel import Dial

CLOSE_S = 0.95
"""All nodes together are let go of in this time, in seconds."""
_EVENT_SLICE_S = 1.0
"""Longest time for which a wait keeps a node from being asked something else."""
_MEMORY_MOVES_S = 600.0
"""How long the GPU memory of a workload may take to its host, or back, beside the time of any step."""
_R = TypeVar("_R")


class LinkedFleet:
    """Every node behind a link that lives as long as the fleet.

    Args:
        nodes: each node with what makes its link.
        dials: by name what makes channels to the nodes that can tell of themselves; without any, nodes are asked.
        clock: the clock of the world the nodes live in; None is the wall clock.
        width: most nodes asked at once.
        observe_s: longest time one node may take to be looked at, connecting included, seconds.
        step_s: longest time one node may take for a step, grace not counted, seconds.
        grace_s: time between TERM and KILL when a step stops something, seconds.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[NodeSpec, Callable[[], NodeLink]]],
        *,
        dials: Mapping[str, Callable[[], Dial]] | None = None,
        clock: Clock | None = None,
        width: int = 32,
        observe_s: float = 10.0,
        step_s: float = 60.0,
        grace_s: float = 10.0,
    ) -> None:
        self._clock = clock or WallClock()
        self._dials = dials or {}
        ordered = sorted(nodes, key=lambda node: node[0].name)
        self._sessions = {spec.name: NodeSession(spec, connect, self._clock.now_s) for spec, connect in ordered}
        self._width = width
        self._observe_s = observe_s
        self._step_s = step_s
        self._grace_s = grace_s
        self._closed = threading.Event()

    def specs(self) -> tuple[NodeSpec, ...]:
        """Every configured node, sorted by name."""
        return tuple(session.spec for session in self._sessions.values())

    def observe(self, names: Sequence[str] | None = None, near: Sequence[str] = ()) -> Iterator[Node]:
        """Look at the nodes, and for paths on them, at once; yield each as it answers or fails.

        Raises:
            NotFoundError: a name is not that of a configured node.
        """
        wanted = (
            list(self._sessions.values()) if names is None else [self._session(name) for name in dict.fromkeys(names)]
        )
        return run_each(lambda session: session.observe(self._observe_s, near), wanted, self._width)

    def watch(self, every_s: float, names: Sequence[str] | None = None, keep: str | None = None) -> Watch:
        """Let the nodes tell of themselves; see `ports.Fleet.watch`."""
        # They bring asyncio, which commands that look once do without.
        from gpualloc.adapters.polled_watch import PolledWatch
        from gpualloc.adapters.streaming.watch import StreamWatch, Watched

        wanted = self._sessions if names is None else dict.fromkeys(self._session(name).spec.name for name in names)
        if not self._dials:
            return PolledWatch(lambda: self.observe(list(wanted)), every_s, self._clock)
        nodes = [Watched(self._sessions[name].spec, self._dials.get(name), self._look_at(name)) for name in wanted]
        return StreamWatch(nodes, every_s, self._clock.now_s, self._width, keep)

    def cost(self, node: str) -> tuple[ReadingCost, ...]:
        """What reading this node costs; see `ports.Fleet.cost`."""
        result = self._session(node).call("cost", {}, self._observe_s)
        return _decoded(lambda: decode_cost(result), node)

    def process(self, node: str, pid: int) -> RunningProcess:
        """Look at one process; see `ports.Fleet.process`."""
        result = self._ask_named("process", {"pid": pid}, node)
        return _decoded(lambda: decode_process(result), node)

    def preflight(self, call: StepCall) -> None:
        """Ask the node whether the step could be done now; see `ports.Fleet.preflight`."""
        self._ask_step("preflight", call)

    def do(self, call: StepCall) -> StepResult:
        """Do the step; see `ports.Fleet.do`."""
        return self._step("do", call)

    def verify(self, call: StepCall) -> StepResult:
        """Say whether the step's effect is in force; see `ports.Fleet.verify`."""
        return self._step("verify", call)

    def undo(self, call: StepCall) -> StepResult:
        """Take the step's effect back; see `ports.Fleet.undo`."""
        return self._step("undo", call)

    def logs(self, node: str, workload: str, offset: int, limit: int = 65536) -> LogChunk:
        """Read the workload's output from a byte offset.

        Raises:
            NotFoundError: no such node, or the node does not know the workload.
            UnreachableError: the node does not answer.
        """
        args = {"workload": workload, "offset": offset, "limit": limit}
        result = self._ask_named("logs", args, node)
        return _decoded(lambda: decode_logs(result, limit), node)

    def wait_for_event(self, timeout_s: float) -> bool:
        """Block until a node reports a change or answers again, the fleet is closed, or the time is over.

        Only nodes that were asked something before are listened to: who waits for one node does not wake the others.
        """
        begun = [session for session in self._sessions.values() if session.begun]
        return _EventWait(begun, timeout_s, self._observe_s, self._closed).run()

    def close(self) -> None:
        """Let go of every node within a second, hung ones included."""
        self._closed.set()
        deadline = time.monotonic() + CLOSE_S
        threads = [threading.Thread(target=session.close, daemon=True) for session in self._sessions.values()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _look_at(self, name: str) -> Callable[[], Node]:
        return lambda: self._sessions[name].observe(self._observe_s)

    def _ask_named(self, verb: str, args: dict[str, Any], node: str) -> object:
        """Ask about something that the arguments name; raises NotFoundError when it is not there."""
        try:
            return self._session(node).call(verb, args, self._observe_s)
        except StepError as error:
            if error.reason == "gone":
                raise NotFoundError(error.message, node=node) from error
            raise

    def _session(self, name: str) -> NodeSession:
        session = self._sessions.get(name)
        if session is None:
            raise NotFoundError(f"there is no node {name!r}", hint="see the configured ones: gpualloc nodes", node=name)
        return session

    def _step(self, verb: str, call: StepCall) -> StepResult:
        result = self._ask_step(verb, call)
        try:
            return decode_step(result)
        except MalformedError as error:
            node = call.step.node
            raise UnknownOutcomeError(f"{node}: its answer to {verb} makes no sense: {error}", node=node) from error

    def _ask_step(self, verb: str, call: StepCall) -> object:
        args: dict[str, Any] = {"call": encode_call(call, self._grace_s)}
        return self._session(call.step.node).call(verb, args, self._step_s + self._graces_s(call))

    def _graces_s(self, call: StepCall) -> float:
        """How long the processes that a step concerns may take by their own right."""
        step, graces_s = call.step, 0.0
        if step.kind in (StepKind.STOP, StepKind.START, StepKind.ADOPT):
            graces_s += self._grace_s
        if step.kind is StepKind.STOP and step.checkpoint and call.workload is not None:
            graces_s += call.workload.request.checkpoint_grace_s
        if step.kind is StepKind.RESIZE and call.workload is not None:
            graces_s += call.workload.request.checkpoint_grace_s
        if step.kind is StepKind.EVICT and step.process is not None:
            graces_s += step.process.grace_s
        if step.kind in (StepKind.SUSPEND, StepKind.RESUME):
            graces_s += _MEMORY_MOVES_S
        return graces_s


class _EventWait:
    """One wait over all nodes: a thread per node, the first change ends it."""

    def __init__(
        self, sessions: Sequence[NodeSession], timeout_s: float, answer_s: float, closed: threading.Event
    ) -> None:
        self._sessions = sessions
        self._answer_s = answer_s
        self._deadline = time.monotonic() + timeout_s
        self._closed = closed
        self._error: GpuallocError | None = None
        self._over = threading.Event()

    def run(self) -> bool:
        if self._told():
            return True
        for session in self._sessions:
            threading.Thread(target=self._watch, args=(session,), name="events", daemon=True).start()
        try:
            while not self._done():
                self._over.wait(min(0.2, self._left_s()))
        finally:
            self._over.set()
        if self._error is not None:
            raise self._error
        return self._told()

    def _done(self) -> bool:
        # A thread of the wait before may be the one that is told of a change.
        told = any(session.changed for session in self._sessions)
        return told or self._over.is_set() or self._closed.is_set() or self._left_s() <= 0

    def _told(self) -> bool:
        """Whether a node told of a change, to this wait or a moment too late for the one before; told once."""
        changed = [session for session in self._sessions if session.changed]
        for session in changed:
            session.changed = False
        return bool(changed)

    def _left_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    def _watch(self, session: NodeSession) -> None:
        while not self._over.is_set() and self._left_s() > 0:
            was_failing = session.failing
            slice_s = min(_EVENT_SLICE_S, self._left_s())
            until = time.monotonic() + slice_s
            if self._ask(session, 0.0 if was_failing else slice_s) or (was_failing and not session.failing):
                session.changed = True
                self._over.set()
            # A node that fails or answers at once is not asked again before the slice is over.
            self._over.wait(max(0.0, until - time.monotonic()))

    def _ask(self, session: NodeSession, timeout_s: float) -> bool:
        try:
            return decode_changed(session.call("events", {"timeout_s": timeout_s}, timeout_s + self._answer_s))
        except (UnreachableError, StepError, MalformedError):
            return False
        except GpuallocError as error:
            self._error = error
            self._over.set()
            return False


def _decoded(read: Callable[[], _R], node: str) -> _R:
    try:
        return read()
    except MalformedError as error:
        raise UnreachableError(f"{node}: its answer makes no sense: {error}", node=node) from error
