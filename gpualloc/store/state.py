"""state.db behind the ports: workloads, plans, runs and the audit trail. Every write is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpualloc.model.audit import AuditEntry
from gpualloc.model.desired import Cordon, DesiredDevice
from gpualloc.model.enforcement import Sighting
from gpualloc.model.plan import Plan, Run, RunState, Step, StepRecord, StepState
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.store import devices, meta, runs, sightings, trail
from gpualloc.store import workloads as workload_table
from gpualloc.store.database import Database, Schema
from gpualloc.store.lock import exclusive_lock, holder_of
from gpualloc.store.paths import StatePaths

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations


def _migrations() -> Migrations:
    from gpualloc.store.state_migrations import migrations

    return migrations


SCHEMA = Schema(
    version=5,
    migrations=_migrations,
    synchronous="FULL",
    remedy="restore it from a copy, or move it away to begin with an empty state (running work then counts as foreign)",
)


class SqliteJournal:
    """`ports.Journal` over state.db; its methods may be called from any thread.

    Args:
        paths: where the state lies. Where it cannot be written, what exists is read, and nothing reads as empty.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged or may not be read.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._paths = paths
        self._database = Database(paths.state_db, SCHEMA)
        with self._database.snapshot() as connection:
            self._controller = meta.read(connection, meta.CONTROLLER)

    @property
    def controller(self) -> str:
        """Id of this state, 32 hex digits."""
        return self._controller

    def workloads(
        self, states: Iterable[WorkloadState] | None = None, *, ended_since_s: float | None = None
    ) -> tuple[Workload, ...]:
        """Workloads in those states (all when None), oldest first; of the ended ones only those ended since then.

        Where nobody knows when a workload ended, the last moment it was known not to have ended counts.
        """
        return workload_table.select(self._database, states, ended_since_s)

    def find(self, reference: str) -> Workload:
        """The workload with that id, unique id prefix (3 characters or more), or unique name.

        Raises:
            NotFoundError: none or several match; lists them.
        """
        return workload_table.find(self._database, reference)

    def submit(self, workload: Workload, audit: AuditEntry) -> None:
        """Store a new workload (revision 1); takes no apply lock.

        Raises:
            StalePlanError: a workload of that id exists.
        """
        with self._database.transaction() as connection:
            workload_table.put(connection, workload)
            trail.append(connection, (audit,))

    def withdraw(self, workload: Workload, audit: AuditEntry) -> None:
        """Store a pending workload as released; takes no apply lock.

        Raises:
            StalePlanError: it was changed meanwhile, so it may not be pending any more.
        """
        with self._database.transaction() as connection:
            workload_table.put(connection, workload)
            trail.append(connection, (audit,))

    def save_plan(self, plan: Plan) -> None:
        """Remember a plan that was shown; takes no apply lock.

        Raises:
            BrokenInputError: another plan of that id is remembered.
        """
        with self._database.transaction() as connection:
            runs.put_plan(connection, plan)

    def applied(self, plan_id: str) -> Run | None:
        """The run that applied the plan, or None."""
        return runs.applied(self._database, plan_id)

    def open_runs(self) -> tuple[Run, ...]:
        """Runs that never ended, oldest first: interrupted, or under way in another process."""
        return runs.in_states(self._database, (RunState.OPEN, RunState.ROLLBACK))

    def abandoned_runs(self) -> tuple[Run, ...]:
        """Runs that were given up with steps in doubt, oldest first."""
        return runs.in_states(self._database, (RunState.ABANDONED,))

    def steps(self, run_id: str) -> tuple[StepRecord, ...]:
        """The journaled steps of a run, by seq."""
        return runs.steps(self._database, run_id)

    def cordons(self) -> tuple[Cordon, ...]:
        """Nodes and devices that take no new work, by node and device."""
        return devices.cordons(self._database)

    def sightings(self) -> tuple[Sighting, ...]:
        """Processes seen on devices they were not given, by node, device and pid."""
        return sightings.select(self._database)

    def desired(self) -> tuple[DesiredDevice, ...]:
        """What devices are meant to be, by node and device."""
        return devices.desired(self._database)

    def audit(
        self, *, since_s: float | None = None, workload: str | None = None, limit: int | None = None
    ) -> tuple[AuditEntry, ...]:
        """Audit entries, oldest first; with a limit, the newest that many."""
        return trail.select(self._database, since_s=since_s, workload=workload, limit=limit)

    def begun_at_s(self) -> float | None:
        """Epoch seconds of the first entry of the audit trail; None when nothing was ever done."""
        return trail.begun_at_s(self._database)

    def verify_audit(self) -> int | None:
        """Check the hash chain from the first entry to the remembered last one.

        Returns:
            None when whole, else the seq of the first entry that is missing, changed or added by something else.
        """
        return trail.first_broken(self._database)

    def last_rebalance(self) -> tuple[float, str] | None:
        """When rebalance last ran (epoch seconds) and what it did; None when never."""
        row = self._database.row("SELECT at_s, summary FROM rebalance")
        return None if row is None else (row[0], row[1])

    @contextmanager
    def write(self, purpose: str, wait_s: float = 0.0) -> Iterator[SqliteJournalWriter]:
        """Take the apply lock for the length of the context.

        Args:
            purpose: what for, in a word shown to others: `apply`, `rebalance`, `release`.
            wait_s: how long to wait for another holder, in seconds.

        Raises:
            LockedError: held by another for longer than `wait_s`; says who, since when and for what.
            StateError: the state cannot be written.
        """
        self._database.require_writable()
        with exclusive_lock(self._paths.lock, purpose, wait_s):
            yield SqliteJournalWriter(self._database)

    def lock_holder(self) -> str | None:
        """Who holds the apply lock, since when and for what, in words; None when it is free."""
        return holder_of(self._paths.lock)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Be the one watcher of this state for the length of the context.

        Raises:
            LockedError: another `rebalance --watch` runs on this state.
            StateError: the state cannot be written.
        """
        self._database.require_writable()
        with exclusive_lock(self._paths.watch_lock, "rebalance --watch", 0.0):
            yield

    def watched(self) -> bool:
        """Whether a `rebalance --watch` runs on this state."""
        return holder_of(self._paths.watch_lock) is not None

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Be the one who samples into this state, again and again, for the length of the context.

        Raises:
            LockedError: another `sample --every` runs on this state.
            StateError: the state cannot be written.
        """
        self._database.require_writable()
        held, hint = "the fleet is sampled into this state already by", "end that one first"
        with exclusive_lock(self._paths.sample_lock, "sample --every", 0.0, held=held, hint=hint):
            yield

    def data_version(self) -> int:
        """A number that changes whenever this or another process wrote to the state."""
        return self._database.data_version()

    def close(self) -> None:
        """Close the database."""
        self._database.close()


class SqliteJournalWriter:
    """`ports.JournalWriter`: writes to the state while its maker holds the apply lock.

    Every method raises StateError when the disk is full or the state cannot be written; nothing of the call is
    stored then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_run(self, run_id: str, plan: Plan, actor: str, at_s: float) -> Run:
        """Record that a plan is being applied, with the next fence.

        Raises:
            StalePlanError: the plan was applied before.
            BrokenInputError: another plan of that id is remembered.
        """
        with self._database.transaction() as connection:
            return runs.open_run(connection, run_id, plan, actor, at_s)

    def refence(self, run: Run) -> Run:
        """Give an interrupted run the next fence, for its recovery; raises NotFoundError."""
        with self._database.transaction() as connection:
            return runs.refence(connection, run)

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
        """Record a step's state together with what it made of the workload or device and its audit entries.

        Args:
            run: the run it belongs to.
            step: the step.
            state: how it stands now.
            result: facts read back from the node; None leaves those recorded earlier.
            error: why it failed; None when it did not.
            workload: the changed workload; None when it did not change.
            desired: what its device is meant to be now; None when that did not change.
            audit: entries to append.

        Raises:
            StalePlanError: the stored workload has another revision than the one the change is based on.
        """
        with self._database.transaction() as connection:
            runs.put_step(connection, StepRecord(run.id, step, state, result or {}, error), keep_result=result is None)
            if workload is not None:
                workload_table.put(connection, workload)
            if desired is not None:
                devices.put_desired(connection, desired)
            trail.append(connection, audit)

    def close_run(self, run: Run, state: RunState, at_s: float) -> None:
        """Record how the run ended; raises NotFoundError."""
        with self._database.transaction() as connection:
            runs.close_run(connection, run, state, at_s)

    def save(self, workloads: Sequence[Workload], audit: Sequence[AuditEntry] = ()) -> None:
        """Store changed workloads and audit entries in one transaction.

        Raises:
            StalePlanError: a stored workload has another revision than the one this change is based on.
        """
        with self._database.transaction() as connection:
            for workload in workloads:
                workload_table.put(connection, workload)
            trail.append(connection, audit)

    def save_desired(self, desired: Sequence[DesiredDevice], audit: Sequence[AuditEntry] = ()) -> None:
        """Store what devices are meant to be, each in place of what was stored for it."""
        with self._database.transaction() as connection:
            for device in desired:
                devices.put_desired(connection, device)
            trail.append(connection, audit)

    def forget_desired(self, node: str, device: str, audit: Sequence[AuditEntry] = ()) -> None:
        """Remember nothing more of a device; one that is not known is fine."""
        with self._database.transaction() as connection:
            devices.remove_desired(connection, node, device)
            trail.append(connection, audit)

    def save_sightings(self, seen: Sequence[Sighting], audit: Sequence[AuditEntry] = ()) -> None:
        """Store these sightings in place of all that were stored."""
        with self._database.transaction() as connection:
            sightings.replace(connection, seen)
            trail.append(connection, audit)

    def cordon(self, cordons: Sequence[Cordon], audit: Sequence[AuditEntry] = ()) -> None:
        """Store cordons, each in place of one on the same node and device."""
        with self._database.transaction() as connection:
            for cordon in cordons:
                devices.put_cordon(connection, cordon)
            trail.append(connection, audit)

    def uncordon(self, node: str, device: str | None, audit: Sequence[AuditEntry] = ()) -> bool:
        """Remove the cordon of a node (device None) or device; False, and nothing is stored, when there was none."""
        with self._database.transaction() as connection:
            found = devices.remove_cordon(connection, node, device)
            if found:
                trail.append(connection, audit)
            return found

    def mark_rebalance(self, at_s: float, summary: str) -> None:
        """Remember when rebalance last ran and what it did."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO rebalance (id, at_s, summary) VALUES (1, ?, ?)",
                (at_s, summary),
            )
