"""The nodes, and steps on their way to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from gpualloc.model.burnin import BurninPart, BurninSlice
    from gpualloc.model.inventory import Node, NodeSpec, RunningProcess
    from gpualloc.model.plan import Step
    from gpualloc.model.readings import ReadingCost
    from gpualloc.model.workload import Workload


class StepCall(Struct, frozen=True):
    """A step on its way to a node."""

    run: str
    seq: int
    fence: int
    controller: str
    step: Step
    workload: Workload | None
    """The workload with its secrets, for steps that start something; None when the state lost it."""


class StepResult(Struct, frozen=True):
    """What a node answered to do, verify or undo."""

    holds: bool
    """For do and undo always True (failure raises); for verify, whether the effect is in force."""
    facts: Mapping[str, object]
    """Read back from the node: pid, started_at_s, held_by, boot_id, ... (`node.wire`)."""


class LogChunk(Struct, frozen=True):
    """A piece of a workload's output."""

    data: bytes
    next_offset: int
    """Where to read on; larger than asked when the beginning was dropped by the log cap."""
    ended: bool
    """The workload ended and nothing is left beyond `next_offset`."""


class WatchFigures(Struct, frozen=True):
    """What watching costs, and how it goes."""

    streaming: int
    """Nodes that tell of themselves now."""
    connecting: int
    failing: int
    """Nodes that are left alone for a while after a failure."""
    received_bytes: int
    """Over all nodes, since the watch began; of the wire's own messages, without what a transport adds."""
    sent_bytes: int
    messages: int
    resumed: int
    """Connections made anew after a cut."""


class Watch(Protocol):
    """The nodes as they tell of themselves, again and again. Bounded in memory whatever its reader does."""

    def hear(self, timeout_s: float) -> Sequence[Node]:
        """The newest of each node that told something, or whose state changed, since the last call.

        Waits at most so long for the first. A node that misses its time is told as stale, with what it told last.
        """
        ...

    def late(self) -> Sequence[Node]:
        """What nodes kept while they could not be reached, oldest first; each is told once."""
        ...

    def figures(self) -> WatchFigures:
        """What it costs and how it goes."""
        ...

    def close(self) -> None:
        """End it within a second, hung nodes included."""
        ...


class Fleet(Protocol):
    """The nodes, whatever the transport."""

    def specs(self) -> tuple[NodeSpec, ...]:
        """Every configured node, sorted by name."""
        ...

    def observe(self, names: Sequence[str] | None = None, near: Sequence[str] = ()) -> Iterator[Node]:
        """Look at the nodes (all, or those named), and for these paths on them, at once; yield each as it answers
        or fails.

        Never raises for a failing node: its state says what is wrong.
        """
        ...

    def watch(self, every_s: float, names: Sequence[str] | None = None, keep: str | None = None) -> Watch:
        """Let the nodes (all, or those named) tell of themselves at this period, over a session of their own each.

        Args:
            every_s: seconds from one telling to the next.
            names: node names; None is every node.
            keep: controller for which nodes keep what they cannot tell (`NodeSpec.keep_s`); None keeps nothing.

        Raises:
            NotFoundError: a name is not that of a configured node.
        """
        ...

    def cost(self, node: str) -> tuple[ReadingCost, ...]:
        """What reading this node costs, by group of readings; raises NotFoundError, UnreachableError."""
        ...

    def burnin(
        self, node: str, part: BurninPart, device: str | None, *, mib: int, seconds: float, round_: int
    ) -> BurninSlice:
        """Let a node test memory of its host, or of a device, for a slice.

        Args:
            node: its name.
            part: what is tested.
            device: UUID; None for the host.
            mib: how much memory at most; the node takes less where it has less to spare.
            seconds: how long, 0 to 20; a pass under way is finished.
            round_: number of the slice, so that each writes something else.

        Raises:
            NotFoundError: no such node.
            StepError: it cannot, or the device does not answer; the reason says which.
            UnreachableError: the node does not answer.
        """
        ...

    def process(self, node: str, pid: int) -> RunningProcess:
        """Look at one process of a node.

        Raises:
            NotFoundError: no such node, or no such process there.
            UnreachableError: the node does not answer.
        """
        ...

    def preflight(self, call: StepCall) -> None:
        """Ask the node whether the step could be done now.

        Raises:
            StepError: it could not; the reason says why.
            UnreachableError: the node does not answer.
        """
        ...

    def do(self, call: StepCall) -> StepResult:
        """Do the step; when it is done already, say so without doing it again.

        Raises:
            StepError: the node refused or failed; nothing of the step is left.
            FencedError: the node has obeyed a newer run.
            UnknownOutcomeError: the connection went away; it may have happened.
            UnreachableError: the node could not be asked at all.
        """
        ...

    def verify(self, call: StepCall) -> StepResult:
        """Say whether the effect of the step is in force; raises as `do`."""
        ...

    def undo(self, call: StepCall) -> StepResult:
        """Take the step's effect back if it is there; raises as `do`."""
        ...

    def logs(self, node: str, workload: str, offset: int, limit: int = 65536) -> LogChunk:
        """Read the workload's output from a byte offset; raises NotFoundError, UnreachableError."""
        ...

    def wait_for_event(self, timeout_s: float) -> bool:
        """Block until a node that was asked before reports a change (work ended, node back), or the time is over."""
        ...

    def close(self) -> None:
        """Let go of every node within a second, hung ones included."""
        ...


class Executor(Protocol):
    """Carries out one step. The real one, dry run, journaled and guarded are layers of this."""

    def execute(self, step: Step) -> StepResult:
        """Carry the step out; raises what `Fleet.do` raises."""
        ...
