"""What gpualloc remembers of work, plans and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpualloc.model.audit import AuditEntry
    from gpualloc.model.desired import Cordon, DesiredDevice
    from gpualloc.model.enforcement import Sighting
    from gpualloc.model.plan import Plan, Run, RunState, Step, StepRecord, StepState
    from gpualloc.model.workload import Workload, WorkloadState


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

    def sampling(self) -> AbstractContextManager[None]:
        """Be the one who samples into this state, again and again, for the length of the context.

        Raises:
            LockedError: another `sample --every` runs on this state.
        """
        ...

    def data_version(self) -> int:
        """A number that changes whenever another process wrote to the state."""
        ...

    def close(self) -> None:
        """Close the database."""
        ...
