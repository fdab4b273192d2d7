"""A recording as a fleet that can only be looked at, with a clock of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from msgspec.structs import replace

from gpualloc.adapters.recorded_nodes import Recording
from gpualloc.errors import NotFoundError, StepError, UnreachableError
from gpualloc.model.burnin import BurninPart, BurninSlice
from gpualloc.model.inventory import Node, NodeSpec, NodeState, RunningProcess
from gpualloc.model.readings import ReadingCost
from gpualloc.ports import LogChunk, StepCall, StepResult, WatchFigures

_POLL_S = 0.05


class RecordedClock:
    """Time in a recording; a `ports.Clock`.

    Args:
        begins_s: epoch seconds in the recording, when the clock begins.
        speed: recorded seconds per second.
        ticks_s: seconds that only go forward.
    """

    def __init__(self, begins_s: float, speed: float = 1.0, ticks_s: Callable[[], float] = time.monotonic) -> None:
        self._begins_s = begins_s
        self._speed = speed
        self._ticks_s = ticks_s
        self._began = ticks_s()

    def now_s(self) -> float:
        """Recorded time, epoch seconds."""
        return self._begins_s + (self._ticks_s() - self._began) * self._speed

    def sleep(self, seconds: float) -> None:
        """Let that many recorded seconds pass."""
        time.sleep(max(0.0, seconds) / self._speed)


class RecordedFleet:
    """`ports.Fleet` over a recording: what is told follows the clock, and nothing can be changed.

    Args:
        recording: the recording, not played yet.
        at_s: seconds after its first tick at which it is taken up; beyond its end, it is taken up there.
        speed: recorded seconds per second.
        ticks_s: seconds that only go forward.

    Raises:
        BrokenInputError: the recording is damaged before that place.
    """

    def __init__(
        self,
        recording: Recording,
        *,
        at_s: float = 0.0,
        speed: float = 1.0,
        ticks_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recording = recording
        self._lock = threading.Lock()
        self._closed = threading.Event()
        wanted_s = recording.began_s + at_s
        self._play_until(wanted_s)
        ended = recording.next_s is None
        self.clock = RecordedClock(min(wanted_s, recording.at_s) if ended else wanted_s, speed, ticks_s)

    def specs(self) -> tuple[NodeSpec, ...]:
        """Every node of the recording, sorted by name."""
        return self._recording.header.specs

    def observe(self, names: Sequence[str] | None = None, near: Sequence[str] = ()) -> Iterator[Node]:
        """The nodes as they were; see `ports.Fleet.observe`. What was not recorded of paths is not known.

        Raises:
            NotFoundError: a name is not that of a recorded node.
            BrokenInputError: the recording is damaged.
        """
        for node in self.picture(names):
            yield replace(node, near=dict.fromkeys(near)) if near else node

    def picture(self, names: Sequence[str] | None = None) -> tuple[Node, ...]:
        """As `observe`; a node that told nothing since the last call is the same object."""
        wanted = self._wanted(names)
        with self._lock:
            now_s = self.clock.now_s()
            self._play_until(now_s)
            over_s = self._recording.at_s + self._recording.header.every_s
            over = self._recording.next_s is None and now_s > over_s
            return tuple(self._node(spec, over=over) for spec in wanted)

    def watch(self, every_s: float, names: Sequence[str] | None = None, keep: str | None = None) -> RecordedWatch:  # noqa: ARG002  as recorded
        """The nodes as they told of themselves, at the period of the recording; nothing is kept."""
        self._wanted(names)
        return RecordedWatch(lambda: self.picture(names))

    def cost(self, node: str) -> tuple[ReadingCost, ...]:
        """Not recorded: raises UnreachableError."""
        self._wanted([node])
        raise UnreachableError(f"{node}: what reading it costs is not recorded", node=node)

    def process(self, node: str, pid: int) -> RunningProcess:
        """Not recorded: raises UnreachableError."""
        self._wanted([node])
        raise UnreachableError(f"{node}: of process {pid} is only recorded what `processes` shows", node=node)

    def burnin(
        self,
        node: str,
        part: BurninPart,  # noqa: ARG002  the port's signature, as below
        device: str | None,  # noqa: ARG002
        *,
        mib: int,  # noqa: ARG002
        seconds: float,  # noqa: ARG002
        round_: int,  # noqa: ARG002
    ) -> BurninSlice:
        """Raises UnreachableError: there is no memory to test."""
        self._wanted([node])
        raise UnreachableError(f"{node}: a recording has no memory to test", node=node)

    def preflight(self, call: StepCall) -> None:
        """Raises StepError: a recording cannot be changed."""
        _refuse(call)

    def do(self, call: StepCall) -> StepResult:
        """Raises StepError: a recording cannot be changed."""
        _refuse(call)

    def verify(self, call: StepCall) -> StepResult:
        """Raises StepError: a recording cannot be changed."""
        _refuse(call)

    def undo(self, call: StepCall) -> StepResult:
        """Raises StepError: a recording cannot be changed."""
        _refuse(call)

    def logs(self, node: str, workload: str, offset: int, limit: int = 65536) -> LogChunk:  # noqa: ARG002  the port's
        """Not recorded: raises UnreachableError."""
        self._wanted([node])
        raise UnreachableError(f"{node}: the output of workloads is not recorded", node=node)

    def wait_for_event(self, timeout_s: float) -> bool:
        """Wait for the time to pass, or the fleet to be closed; False."""
        self._closed.wait(timeout_s)
        return False

    def close(self) -> None:
        """Let go of the file."""
        self._closed.set()
        with self._lock:
            self._recording.close()

    def _wanted(self, names: Sequence[str] | None) -> tuple[NodeSpec, ...]:
        if names is None:
            return self.specs()
        specs = {spec.name: spec for spec in self.specs()}
        for name in names:
            if name not in specs:
                raise NotFoundError(f"there is no node {name!r} in the recording")
        return tuple(specs[name] for name in dict.fromkeys(names))

    def _play_until(self, at_s: float) -> None:
        # Whoever looks while it is being closed sees what was played so far.
        while not self._closed.is_set() and self._recording.next_s is not None and self._recording.next_s <= at_s:
            self._recording.play()

    def _node(self, spec: NodeSpec, *, over: bool) -> Node:
        node = self._recording.told(spec)
        if over and node.state is NodeState.OK:
            end = datetime.fromtimestamp(self._recording.at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
            return replace(node, state=NodeState.STALE, reason=f"end of the recording at {end}")
        return node


class RecordedWatch:
    """`ports.Watch` over a recording.

    Args:
        picture: all nodes as they are told of now; the same object for a node that told nothing since.
    """

    def __init__(self, picture: Callable[[], Sequence[Node]]) -> None:
        self._picture = picture
        self._told: dict[str, Node] = {}
        self._messages = 0
        self._closed = threading.Event()

    def hear(self, timeout_s: float) -> Sequence[Node]:
        """The nodes that told something since the last call; raises BrokenInputError when the file is damaged."""
        until_s = time.monotonic() + timeout_s
        while True:
            told = [node for node in self._picture() if self._told.get(node.name) != node]
            self._told |= {node.name: node for node in told}
            self._messages += len(told)
            left_s = until_s - time.monotonic()
            if told or left_s <= 0 or self._closed.wait(min(_POLL_S, left_s)):
                return told

    def late(self) -> Sequence[Node]:
        """Nothing."""
        return ()

    def figures(self) -> WatchFigures:
        """How many nodes answered then; nothing is received now."""
        well = sum(node.state is NodeState.OK for node in self._told.values())
        return WatchFigures(well, 0, len(self._told) - well, 0, 0, self._messages, 0)

    def close(self) -> None:
        """Let a `hear` under way return."""
        self._closed.set()


def _refuse(call: StepCall) -> NoReturn:
    raise StepError(
        "a recording can only be looked at", reason="not-supported", node=call.step.node, hint="see docs/record.md"
    )
