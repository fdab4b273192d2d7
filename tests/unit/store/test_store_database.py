"""Opening: what cannot be used is refused with a reason, and what can be read is read."""

import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from gpualloc.errors import LockedError, NewerStateError, StateError
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store import database
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SCHEMA, SqliteJournal

KINDS = pytest.mark.parametrize(("kind", "name"), [(SqliteJournal, "state.db"), (SqliteHistory, "history.db")])


def change(path, sql):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(sql).fetchone()


def test_files_and_folder_are_private(paths, journal, make_workload, make_entry):
    with journal.write("apply") as writer:
        writer.save([make_workload()], [make_entry()])
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths.root.iterdir()}
    assert modes == dict.fromkeys(["lock", "state.db", "state.db-shm", "state.db-wal"], 0o600)
    assert stat.S_IMODE(paths.root.stat().st_mode) == 0o700


def test_commits_are_durable_in_the_state_and_fast_in_the_history(paths, journal):
    with closing(SqliteHistory(paths)) as history:
        assert journal._database.rows("PRAGMA synchronous") == [(2,)]
        assert history._database.rows("PRAGMA synchronous") == [(1,)]
        for opened in (journal, history):
            assert opened._database.rows("PRAGMA journal_mode") == [("wal",)]
            assert opened._database.rows("PRAGMA foreign_keys") == [(1,)]


@KINDS
def test_a_newer_file_is_refused_and_left_alone(paths, kind, name):
    kind(paths).close()
    change(paths.root / name, "PRAGMA user_version = 99")
    before = (paths.root / name).read_bytes()
    with pytest.raises(NewerStateError, match=rf"{name} has schema version 99.* up to \d+") as caught:
        kind(paths)
    assert caught.value.exit_code == 2
    assert (paths.root / name).read_bytes() == before


def use(kind, paths):
    with closing(kind(paths)) as opened:
        opened.workloads() if kind is SqliteJournal else opened.prune(1.0)


@KINDS
@pytest.mark.parametrize("damage", ["garbage", "header", "middle"])
def test_a_damaged_file_is_named_with_a_way_out(paths, kind, name, damage):
    kind(paths).close()
    path = paths.root / name
    content = bytearray(path.read_bytes())
    if damage == "garbage":
        content = bytearray(b"this is not a database, but it is long enough to look like one" * 100)
    elif damage == "header":
        content[:16] = bytes(16)
    else:
        # Everything after the first page, in which the version number is.
        content[4096:] = b"\xaa" * (len(content) - 4096)
        content[100:4096] = b"\xaa" * 3996
    path.write_bytes(content)
    with pytest.raises(StateError, match=rf"{name} is damaged or not a gpualloc database") as caught:
        use(kind, paths)
    assert caught.value.hint


def test_a_folder_in_place_of_the_file_is_said(paths):
    paths.state_db.mkdir(parents=True)
    with pytest.raises(StateError, match=r"state.db cannot be used: unable to open"):
        SqliteJournal(paths)


@pytest.fixture
def filled_mount(mounted, make_workload, make_entry):
    """A state with one workload and one sample on a file system of its own, closed properly."""
    folder = mounted("size=8m")
    paths = StatePaths(folder / "state")
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        journal.submit(make_workload(), make_entry())
        history.append([Sample(SeriesKey(SeriesKind.NODE, "n1", ""), 1, {"disk_used_mib": 3})])
    return paths


def remount_read_only(paths):
    subprocess.run(["mount", "-o", "remount,ro", paths.root.parent], check=True)


def test_a_read_only_state_can_be_read(filled_mount, make_workload):
    remount_read_only(filled_mount)
    with closing(SqliteJournal(filled_mount)) as journal, closing(SqliteHistory(filled_mount)) as history:
        assert journal.workloads() == (make_workload(),)
        assert journal.verify_audit() is None
        assert len(list(history.read(METRICS["disk_used_mib"], 0, 2))) == 1


def test_a_read_only_state_cannot_be_written(filled_mount, make_workload, make_entry):
    remount_read_only(filled_mount)
    with closing(SqliteJournal(filled_mount)) as journal, closing(SqliteHistory(filled_mount)) as history:
        for write in (
            lambda: journal.submit(make_workload(2), make_entry()),
            lambda: journal.write("apply").__enter__(),
            lambda: history.append([]),
            lambda: history.prune(5.0),
        ):
            with pytest.raises(StateError, match=r"cannot be written: the file system is read-only") as caught:
                write()
            assert "GPUALLOC_STATE_DIR" in caught.value.hint


def test_a_read_only_state_that_was_not_closed_is_read_with_its_journal(filled_mount, make_workload, make_entry):
    # The copy is what a SIGKILL leaves: the last commits are in the -wal beside the file.
    left = StatePaths(filled_mount.root.parent / "left")
    with closing(SqliteJournal(filled_mount)) as journal:
        journal.submit(make_workload(2), make_entry())
        shutil.copytree(filled_mount.root, left.root)
    remount_read_only(filled_mount)
    with closing(SqliteJournal(left)) as journal:
        assert journal.workloads() == (make_workload(1), make_workload(2))


def test_what_does_not_exist_in_a_read_only_place_reads_as_empty(mounted, make_workload, make_entry):
    paths = StatePaths(mounted("ro") / "state")
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        assert journal.workloads() == ()
        assert journal.audit() == ()
        assert journal.verify_audit() is None
        assert list(history.read(METRICS["disk_used_mib"], 0, 2)) == []
        with pytest.raises(StateError, match="read-only"):
            journal.submit(make_workload(), make_entry())


def test_an_old_file_in_a_read_only_place_is_said(filled_mount, monkeypatch):
    newer = database.Schema(SCHEMA.version + 1, SCHEMA.migrations, SCHEMA.synchronous, SCHEMA.remedy)
    remount_read_only(filled_mount)
    with pytest.raises(StateError, match=rf"schema version {SCHEMA.version} and must be upgraded to {newer.version}"):
        database.Database(filled_mount.state_db, newer)


AS_NOBODY = """
import os, sys
from pathlib import Path
from gpualloc.errors import StateError
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
os.setuid(65534)
try:
    print(SqliteJournal(StatePaths(Path(sys.argv[1]))).workloads())
except StateError as error:
    print(type(error).__name__, error, "|", error.hint)
"""


@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_the_state_of_another_account_does_not_read_as_empty(common_folder, mode):
    root = common_folder / "state"
    SqliteJournal(StatePaths(root)).close()
    root.chmod(mode)
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, root], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StateError")
    assert "may not be read by nobody | run gpualloc as the account the state belongs to" in done.stdout


def test_a_stuck_writer_is_reported_as_locked(paths, journal, monkeypatch, make_workload, make_entry):
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.01)
    with (
        closing(SqliteJournal(paths)) as waiting,
        journal._database.transaction(),
        pytest.raises(LockedError, match=r"state.db has been written by another process for more than 0.01 s"),
    ):
        waiting.submit(make_workload(), make_entry())


def mark_and_fail(journal):
    with journal._database.transaction() as connection:
        connection.execute("INSERT INTO rebalance VALUES (1, 1.0, 'x')")
        raise RuntimeError


def test_a_failed_transaction_leaves_the_database_usable(journal, make_workload, make_entry):
    with pytest.raises(RuntimeError):
        mark_and_fail(journal)
    assert journal.last_rebalance() is None
    journal.submit(make_workload(), make_entry())
    assert len(journal.workloads()) == 1


def test_threads_may_share_a_journal(journal, make_workload, make_entry):
    def submit(first):
        for number in range(first, first + 20):
            journal.submit(make_workload(number), make_entry())
            journal.workloads()

    threads = [threading.Thread(target=submit, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.workloads()) == 60
    assert journal.verify_audit() is None


READING = """
import sys
from pathlib import Path
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
paths = StatePaths(Path(sys.argv[1]))
SqliteJournal(paths).workloads()
SqliteHistory(paths).close()
print([name for name in ("sqlite_utils", "pydantic", "numpy", "secrets", "platformdirs") if name in sys.modules])
"""


def test_reading_imports_nothing_heavy(paths):
    SqliteJournal(paths).close()
    SqliteHistory(paths).close()
    done = subprocess.run([sys.executable, "-c", READING, paths.root], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def held_locks(path):
    """The kernel's record locks on the file."""
    with open("/proc/locks") as table:
        return [line.split(": ", 1)[1] for line in table if line.split()[5].endswith(f":{path.stat().st_ino}")]


def test_a_second_connection_does_not_drop_the_locks_of_the_first(paths, journal):
    assert journal.workloads() == ()
    before = held_locks(paths.state_db)
    assert before
    with closing(SqliteJournal(paths)):
        assert held_locks(paths.state_db) == before
