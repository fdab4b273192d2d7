"""A full disk is said, leaves nothing half-written, and the state works on once there is room."""

import itertools
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from gpualloc.errors import StateError
from gpualloc.model.plan import StepState
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

FULL = "the disk is full"
DISK = METRICS["disk_used_mib"]


@pytest.fixture
def small(mounted):
    return StatePaths(mounted("size=1m") / "state")


def fill(paths):
    """Leave no byte free; returns the file to delete."""
    ballast = paths.root.parent / "ballast"
    with ballast.open("wb", buffering=0) as file:
        size = 65536
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size //= 2
    return ballast


def is_sound(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def until_full(write):
    """Call until the disk is full; returns how many calls worked."""
    calls = itertools.count(1)
    stored = 0

    def keep_writing():
        nonlocal stored
        for number in calls:
            write(number)
            stored = number

    with pytest.raises(StateError, match=FULL):
        keep_writing()
    return stored


def test_no_room_for_a_new_state(small):
    fill(small)
    with pytest.raises(StateError, match=FULL):
        SqliteJournal(small)
    with pytest.raises(StateError, match=FULL):
        SqliteHistory(small)


@pytest.mark.parametrize("kind", [SqliteJournal, SqliteHistory])
def test_a_state_that_could_not_be_made_is_made_later(small, kind):
    ballast = fill(small)
    with pytest.raises(StateError, match=FULL):
        kind(small)
    ballast.unlink()
    kind(small).close()


def test_submitting_until_the_disk_is_full(small, make_workload, make_entry):
    with closing(SqliteJournal(small)) as journal:
        stored = until_full(lambda number: journal.submit(make_workload(number, name="x" * 200), make_entry()))
        assert len(journal.workloads()) == len(journal.audit()) == stored > 0
        assert journal.verify_audit() is None
    assert is_sound(small.state_db)


def test_every_write_of_the_journal_says_so_and_works_later(small, make_workload, make_entry, make_plan):
    with closing(SqliteJournal(small)) as journal, journal.write("apply") as writer:
        journal.submit(make_workload(), make_entry())
        run = writer.open_run("r1", make_plan("p1"), "ann", 1.0)
        # The -wal grows in steps, so room is used up from inside.
        ballast = fill(small)
        stored = until_full(lambda number: writer.mark_rebalance(number, "x" * 4000))
        step = run.plan.steps[0]
        writes = (
            lambda: writer.save([make_workload(1, revision=2)], [make_entry()]),
            lambda: writer.record_step(run, step, StepState.INTENT, audit=[make_entry()]),
            lambda: writer.open_run("r2", make_plan("p2"), "ann", 2.0),
            lambda: journal.save_plan(make_plan("p3")),
            lambda: journal.submit(make_workload(2, name="x" * 200), make_entry()),
        )
        for write in writes:
            with pytest.raises(StateError, match=FULL):
                write()
        assert journal.workloads() == (make_workload(),)
        assert journal.steps("r1") == ()
        assert len(journal.audit()) == 1
        assert (journal.last_rebalance() or (0,))[0] == stored
        ballast.unlink()
        for write in writes:
            write()
        assert journal.verify_audit() is None
    assert is_sound(small.state_db)


def test_sampling_until_the_disk_is_full(small):
    keys = [SeriesKey(SeriesKind.NODE, f"n{number}", "") for number in range(50)]
    with closing(SqliteHistory(small)) as history:
        stored = until_full(lambda tick: history.append([Sample(key, tick, {"disk_used_mib": tick}) for key in keys]))
        series = list(history.read(DISK, 0, 1e9))
        assert [len(one.points) for one in series] == [stored] * 50
        assert stored > 0
    assert is_sound(small.history_db)


LIMITED = """
import resource, sys
from msgspec.structs import replace
from pathlib import Path
from gpualloc.errors import StateError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    journal = SqliteJournal(StatePaths(Path(sys.argv[1])))
    for number in range(10_000):
        request = Request(("true",), env=(("A", "x" * 1000),))
        workload = Workload(f"w{number:08d}", "n", "ann", request, WorkloadState.PENDING, 1.0)
        journal.submit(workload, AuditEntry(1.0, "submit", "ann", workload.id, None))
except StateError as error:
    print(len(journal.workloads()) if "journal" in globals() else 0, error)
"""


@pytest.mark.parametrize("limit", [0, 5000, 40_000, 300_000])
def test_a_limit_on_the_size_of_files_counts_as_full(paths, limit):
    command = [sys.executable, "-c", LIMITED, paths.root, str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    stored, _, message = done.stdout.partition(" ")
    assert FULL in message
    with closing(SqliteJournal(paths)) as journal:
        assert len(journal.workloads()) == len(journal.audit()) == int(stored)
        assert journal.verify_audit() is None
    assert is_sound(paths.state_db)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
