"""A database of any earlier release becomes one of this release, or stays as it was."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlite_utils.migrations import Migrations

from gpualloc.errors import StateError
from gpualloc.model.plan import StepKind, StepState
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store import history, state
from gpualloc.store.database import Database, Schema
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_migrations import migrations as history_migrations
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
from gpualloc.store.state_migrations import migrations as state_migrations

OLDEST = Path(__file__).parent / "schemas"
"""What the first release wrote, as SQL; never edited."""
CONTROLLER = "80e7fb2574d1be8f6a46ee6d65a51328"
KINDS = pytest.mark.parametrize(
    ("kind", "schema", "migrations", "name"),
    [
        (SqliteJournal, state.SCHEMA, state_migrations, "state"),
        (SqliteHistory, history.SCHEMA, history_migrations, "history"),
    ],
)


def restore(paths, name):
    """Make the database that the first release left behind."""
    paths.root.mkdir()
    with closing(sqlite3.connect(paths.root / f"{name}.db")) as connection:
        connection.executescript((OLDEST / f"{name}_v1.sql").read_text())


def shape(path):
    """Every table, index and trigger with its definition, and the version."""
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        parts = connection.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'"
        ).fetchall()
    return version, {(kind, name): " ".join((sql or "").split()) for kind, name, sql in parts}


@KINDS
def test_the_version_is_the_number_of_migrations(kind, schema, migrations, name):
    assert schema.version == len(migrations._migrations)
    assert schema.migrations() is migrations


@KINDS
def test_an_upgraded_database_looks_like_a_fresh_one(tmp_path, kind, schema, migrations, name):
    old, fresh = StatePaths(tmp_path / "old"), StatePaths(tmp_path / "fresh")
    restore(old, name)
    for paths in (old, fresh):
        kind(paths).close()
    assert shape(old.root / f"{name}.db") == shape(fresh.root / f"{name}.db")


def test_the_state_of_the_first_release_is_read(paths, make_workload, make_entry):
    restore(paths, "state")
    with closing(SqliteJournal(paths)) as journal:
        assert journal.controller == CONTROLLER
        workload = journal.find("träin")
        assert (workload.pid, workload.revision, workload.allocation.memory_mib) == (7, 2, 1024)
        assert journal.verify_audit() is None
        (run,) = journal.open_runs()
        assert run.fence == 1
        assert [(step.state, step.result) for step in journal.steps(run.id)] == [(StepState.DONE, {"pid": 7})]
        assert journal.last_rebalance() == (1003.0, "started 1")
        journal.submit(make_workload(2), make_entry())
        assert journal.verify_audit() is None


def test_steps_that_were_called_tune_are_called_set(paths, make_plan):
    made = make_plan()
    step = replace(made.steps[0], kind=StepKind.SET, workload=None, device="GPU-1", detail='the "kind":"tune" it was')
    plan = replace(made, steps=(step,))
    with closing(SqliteJournal(paths)) as journal, journal.write("apply") as writer:
        run = writer.open_run("r1", plan, "ann", 1000.0)
        writer.record_step(run, step, StepState.INTENT)
    with closing(sqlite3.connect(paths.state_db)) as connection, connection:
        words = '"kind":"set"', '"kind":"tune"'
        assert connection.execute("UPDATE plan SET document = replace(document, ?, ?)", words).rowcount == 1
        assert connection.execute("UPDATE step SET document = replace(document, ?, ?)", words).rowcount == 1
        connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'm004_set'")
        connection.execute("PRAGMA user_version = 3")
    with closing(SqliteJournal(paths)) as journal:
        (found,) = journal.open_runs()
        assert found.plan == plan
        assert [record.step for record in journal.steps("r1")] == [step]
        journal.save_plan(plan)


def test_the_history_of_the_first_release_is_read(paths):
    restore(paths, "history")
    with closing(SqliteHistory(paths)) as opened:
        ((key, points),) = [(series.key, series.points) for series in opened.read(METRICS["power_w"], 0, 2000)]
        assert (key, points) == (SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1"), ((1000.0, 301.25),))
        opened.append([Sample(key, 1010, {"power_w": None})])


def steps_of(*functions):
    """A schema with these migrations."""
    migrations = Migrations("test")
    for function in functions:
        migrations()(function)
    return Schema(len(functions), lambda: migrations, "FULL", "-")


def m001_table(db):
    db.conn.execute("CREATE TABLE kept (a INTEGER)")


def m002_column(db):
    db.conn.execute("ALTER TABLE kept ADD COLUMN b INTEGER")


def m003_fails(db):
    db.conn.execute("ALTER TABLE kept ADD COLUMN c INTEGER")
    db.conn.execute("no such statement")


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "some.db"
    with closing(Database(path, steps_of(m001_table))) as database, database.transaction() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
    return path


def test_what_was_stored_stays(old_file):
    with closing(Database(old_file, steps_of(m001_table, m002_column))) as database:
        assert database.rows("SELECT a, b FROM kept") == [(1, None)]
        assert database.rows("PRAGMA user_version") == [(2,)]


def test_a_failed_upgrade_leaves_the_file_as_it_was(old_file):
    with pytest.raises(StateError, match=r"some.db cannot be used: near \"no\""):
        Database(old_file, steps_of(m001_table, m002_column, m003_fails))
    with closing(Database(old_file, steps_of(m001_table))) as database:
        assert [row[1] for row in database.rows("PRAGMA table_info(kept)")] == ["a"]
        assert database.rows("SELECT a FROM kept") == [(1,)]


OPENER = """
import sys
from pathlib import Path
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
print(SqliteJournal(StatePaths(Path(sys.argv[1]))).controller)
"""


def test_first_commands_at_once_make_one_state(paths):
    command = [sys.executable, "-c", OPENER, paths.root / "deep" / "below"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(answers) == 1
