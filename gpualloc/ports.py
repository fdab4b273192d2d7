"""What the core needs from the outside, as protocols. Blocking; results come as they arrive.

Adapters and the store implement them, `wiring` puts them together, and the engine knows nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from gpualloc.model.allocation import Allocation
    from gpualloc.model.audit import AuditEntry
    from gpualloc.model.decision import Problem, Ranked, Rejection
    from gpualloc.model.desired import Cordon, DesiredDevice
    from gpualloc.model.enforcement import Sighting
    from gpualloc.model.forecast import Forecasts, Grid
    from gpualloc.model.foresight import KeptForecast, Steps, Subject
    from gpualloc.model.inventory import Node, NodeSpec, RunningProcess
    from gpualloc.model.plan import Plan, Run, RunState, Step, StepRecord, StepState
    from gpualloc.model.sample import Digest, Metric, Sample, Series, SeriesKind
    from gpualloc.model.scaling import ScaleAnswer, ScaleOrder
    from gpualloc.model.workload import Workload, WorkloadState


class Clock(Protocol):
    """Wall time of the world that is looked at; simulated worlds have their own."""

    def now_s(self) -> float:
        """Epoch seconds."""
        ...

    def sleep(self, seconds: float) -> None:
        """Let that many seconds of this clock pass."""
        ...


@dataclass(frozen=True, slots=True)
class StepCall:
    """A step on its way to a node."""

    run: str
    seq: int
    fence: int
    controller: str
    step: Step
    workload: Workload | None
    """The workload with its secrets, for steps that start something; None when the state lost it."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a node answered to do, verify or undo."""

    holds: bool
    """For do and undo always True (failure raises); for verify, whether the effect is in force."""
    facts: Mapping[str, object]
    """Read back from the node: pid, started_at_s, held_by, boot_id, ... (`node.wire`)."""


@dataclass(frozen=True, slots=True)
class LogChunk:
    """A piece of a workload's output."""

    data: bytes
    next_offset: int
    """Where to read on; larger than asked when the beginning was dropped by the log cap."""
    ended: bool
    """The workload ended and nothing is left beyond `next_offset`."""


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


class Crew(Protocol):
    """Does pieces of work beside each other; what they tell is heard by one caller, in the order told.

    A context: its end waits for the work under way.
    """

    def __enter__(self) -> Crew:
        """Itself."""
        ...

    def __exit__(self, *_error: object) -> None:
        """Wait for the work under way."""
        ...

    def begin(self, work: Callable[[Callable[[object], None]], None]) -> None:
        """Begin a piece of work; it is given a function that tells the one who hears."""
        ...

    def hear(self) -> object:
        """Wait for what is told next; raises what a piece of work raised."""
        ...


@dataclass(frozen=True, slots=True)
class HookEvent:
    """What a hook is told."""

    run: str | None = None
    """Id of the run; None when the hook is about none."""
    plan: str | None = None
    step: Step | None = None
    node: str | None = None
    """The node concerned; None when no single node is."""
    state: str | None = None
    """How the step or run stands: a `StepState` or `RunState`, or `stopped`."""
    error: str | None = None
    users: tuple[str, ...] = ()
    """Accounts that will notice."""
    workloads: tuple[str, ...] = ()
    """Ids of workloads that will notice."""


@dataclass(frozen=True, slots=True)
class HookOutcome:
    """How a hook's program ended."""

    problem: str | None
    """None when it went well, else why not: `exit code 3`, `no answer in 30 s`."""
    output: str
    """The beginning of what it printed, stdout and stderr together."""
    seconds: float


class Hooks(Protocol):
    """Programs of the operator that are run around changes."""

    def run(self, name: str, event: HookEvent) -> HookOutcome | None:
        """Run the program configured under that name; None when none is. Never raises for what the program does."""
        ...


class ScaleHook(Protocol):
    """Programs of the operator that add nodes to a pool and take them away."""

    def run(self, command: Sequence[str], timeout_s: float, order: ScaleOrder) -> ScaleAnswer:
        """Run the program; never raises for what it does."""
        ...


class Executor(Protocol):
    """Carries out one step. The real one, dry run, journaled and guarded are layers of this."""

    def execute(self, step: Step) -> StepResult:
        """Carry the step out; raises what `Fleet.do` raises."""
        ...


class JournalWriter(Protocol):
    """Writes to the state under the apply lock. Each call is one durable transaction."""

    def open_run(self, run_id: str, plan: Plan, actor: str, at_s: float) -> Run:
        """Record that a plan is being applied, with the next fence."""
        ...

    def refence(self, run: Run) -> Run:
        """Give an interrupted run the next fence, for its recovery."""
        ...

    def record_step(
        self,
        run: Run,
        step: Step,
        state: StepState,
        *,
        result: Mapping[str, object] | None = None,
        error: str | None = None,
        workload: Workload | None = None,
        desired: DesiredDevice | None = None,
        audit: Sequence[AuditEntry] = (),
    ) -> None:
        """Record a step's state together with what it made of the workload or device and its audit entries."""
        ...

    def close_run(self, run: Run, state: RunState, at_s: float) -> None:
        """Record how the run ended."""
        ...

    def save(self, workloads: Sequence[Workload], audit: Sequence[AuditEntry] = ()) -> None:
        """Store changed workloads and audit entries in one transaction.

        Raises:
            StalePlanError: a stored workload has another revision than the one this change is based on
                (`revision - 1`).
        """
        ...

    def save_desired(self, desired: Sequence[DesiredDevice], audit: Sequence[AuditEntry] = ()) -> None:
        """Store what devices are meant to be, each in place of what was stored for it."""
        ...

    def forget_desired(self, node: str, device: str, audit: Sequence[AuditEntry] = ()) -> None:
        """Remember nothing more of a device; one that is not known is fine."""
        ...

    def cordon(self, cordons: Sequence[Cordon], audit: Sequence[AuditEntry] = ()) -> None:
        """Store cordons, each in place of one on the same node and device."""
        ...

    def uncordon(self, node: str, device: str | None, audit: Sequence[AuditEntry] = ()) -> bool:
        """Remove the cordon of a node (device None) or device; False when there was none."""
        ...

    def save_sightings(self, seen: Sequence[Sighting], audit: Sequence[AuditEntry] = ()) -> None:
        """Store these sightings in place of all that were stored."""
        ...

    def mark_rebalance(self, at_s: float, summary: str) -> None:
        """Remember when rebalance last ran and what it did."""
        ...


class Journal(Protocol):
    """Workloads, plans, runs and the audit trail."""

    @property
    def controller(self) -> str:
        """Id of this state; claims on nodes carry it."""
        ...

    def workloads(
        self, states: Iterable[WorkloadState] | None = None, *, ended_since_s: float | None = None
    ) -> tuple[Workload, ...]:
        """Workloads in those states (all when None), oldest first; of the ended ones only those ended since then."""
        ...

    def find(self, reference: str) -> Workload:
        """The workload with that id, unique id prefix, or unique name among work not ended, else among all.

        Raises:
            NotFoundError: none or several match.
        """
        ...

    def submit(self, workload: Workload, audit: AuditEntry) -> None:
        """Store a new pending workload; takes no apply lock."""
        ...

    def withdraw(self, workload: Workload, audit: AuditEntry) -> None:
        """Store a pending workload as released; takes no apply lock.

        Raises:
            StalePlanError: it is not pending any more.
        """
        ...

    def save_plan(self, plan: Plan) -> None:
        """Remember a plan that was shown; takes no apply lock."""
        ...

    def applied(self, plan_id: str) -> Run | None:
        """The run that applied the plan, or None."""
        ...

    def open_runs(self) -> tuple[Run, ...]:
        """Runs that never ended, oldest first: interrupted, or under way in another process."""
        ...

    def abandoned_runs(self) -> tuple[Run, ...]:
        """Runs that were given up with steps in doubt, oldest first."""
        ...

    def cordons(self) -> tuple[Cordon, ...]:
        """Nodes and devices that take no new work, by node and device."""
        ...

    def sightings(self) -> tuple[Sighting, ...]:
        """Processes seen on devices they were not given, by node, device and pid."""
        ...

    def desired(self) -> tuple[DesiredDevice, ...]:
        """What devices are meant to be, by node and device."""
        ...

    def steps(self, run_id: str) -> tuple[StepRecord, ...]:
        """The journaled steps of a run, by seq."""
        ...

    def audit(
        self, *, since_s: float | None = None, workload: str | None = None, limit: int | None = None
    ) -> tuple[AuditEntry, ...]:
        """Audit entries, oldest first; with a limit, the newest that many."""
        ...

    def begun_at_s(self) -> float | None:
        """Epoch seconds of the first entry of the audit trail; None when nothing was ever done."""
        ...

    def verify_audit(self) -> int | None:
        """Check the hash chain: None when whole, else the seq of the first entry that does not fit."""
        ...

    def last_rebalance(self) -> tuple[float, str] | None:
        """When rebalance last ran and what it did; None when never."""
        ...

    def write(self, purpose: str, wait_s: float = 0.0) -> AbstractContextManager[JournalWriter]:
        """Take the apply lock for the length of the context.

        Raises:
            LockedError: held by another process for longer than `wait_s`; names it.
        """
        ...

    def lock_holder(self) -> str | None:
        """Who holds the apply lock, since when and for what, in words; None when it is free."""
        ...

    def watching(self) -> AbstractContextManager[None]:
        """Be the one watcher of this state for the length of the context.

        Raises:
            LockedError: another `rebalance --watch` runs on this state.
        """
        ...

    def watched(self) -> bool:
        """Whether a `rebalance --watch` runs on this state."""
        ...

    def data_version(self) -> int:
        """A number that changes whenever another process wrote to the state."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class History(Protocol):
    """Samples over time."""

    def append(self, samples: Sequence[Sample]) -> int:
        """Store one tick; a second write of the same tick replaces it. Returns rows written."""
        ...

    def read(
        self,
        metric: Metric,
        since_s: float,
        until_s: float,
        *,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Series]:
        """Series of one metric in the window, those with no row in it left out."""
        ...

    def digests(
        self, kind: SeriesKind, metrics: Sequence[Metric], start_s: int, step_s: int, ticks: int
    ) -> Iterator[Digest]:
        """Series of one kind on a grid of ticks, by node and key, those with no row in it left out."""

    def grid(
        self, metric: Metric, kind: SeriesKind, steps: Steps, nodes: Sequence[str] | None = None, key: str | None = None
    ) -> Grid:
        """Means over steps, of these nodes, and of this device, instance or workload; a tick is the end of a step."""
        ...

    def span(self) -> tuple[int, int] | None:
        """Epoch seconds of the oldest and the newest sample of anything; None when there is none."""
        ...

    def workloads_seen(self) -> Mapping[str, float]:
        """Epoch seconds of the newest sample of each workload, by id."""
        ...

    def keep(self, forecasts: Sequence[KeptForecast]) -> int:
        """Store forecasts to be scored later; one of the same series, moment and horizon is replaced. Returns rows."""
        ...

    def kept(self, what: str | None = None) -> tuple[KeptForecast, ...]:
        """Forecasts that are kept, of one metric or of all, by subject, series, moment and horizon."""
        ...

    def last_kept(self, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
        """When a forecast was last kept, if since then, by series of the subject and horizon in seconds."""
        ...

    def prune(self, before_s: float) -> int:
        """Delete samples older than that, and forecasts made before; returns samples deleted."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...


class Session(Protocol):
    """One problem being decided; keeps what was placed so far."""

    def place(self, workload: Workload) -> Allocation | Rejection:
        """Give the workload a place in the remaining room, or say why not."""
        ...

    def free(self, allocation: Allocation) -> None:
        """Give an allocation's room back."""
        ...


@runtime_checkable
class Ranking(Protocol):
    """What a session may do beside: tell how it likes the places that a workload could have."""

    def ranking(self, workload: Workload, count: int) -> tuple[Ranked, ...]:
        """The nodes it likes best for the workload now, at most that many, the best first; places nothing."""
        ...


class Policy(Protocol):
    """Decides places. Pure and deterministic: equal problem, equal answer."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever it may decide differently."""
        ...

    def begin(self, problem: Problem) -> Session:
        """Start deciding the problem."""
        ...


class Forecaster(Protocol):
    """Says what series will be. Pure and deterministic: equal grid, equal answer."""

    @property
    def name(self) -> str:
        """What the configuration calls it."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever it may answer differently."""
        ...

    def forecast(self, grid: Grid, horizons: Sequence[int]) -> Forecasts:
        """What each series will be after that many ticks; a series with too little known of it gets no answer."""
        ...
