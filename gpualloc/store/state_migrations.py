"""How state.db came to look as it does. Imports sqlite-utils, so it is imported only when a file must be migrated.

Append-only: a released migration is never edited. To change the tables, or to add a field to a struct that is
stored as a document (it must have a default), append a migration (it may do nothing) and raise `SCHEMA.version` in
`store.state`: an older gpualloc then refuses the file instead of misreading it.
"""

from __future__ import annotations

import os

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from gpualloc.model.audit import GENESIS

migrations = Migrations("gpualloc-state")


@migrations()
def m001_first_tables(db: Database) -> None:
    """Make the tables of the first release and give this state its id."""
    for statement in _FIRST_TABLES:
        db.conn.execute(statement)
    db.conn.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)",
        [("controller", os.urandom(16).hex()), ("fence", "0"), ("audit_seq", "0"), ("audit_hash", GENESIS)],
    )


@migrations()
def m002_cordons_and_desired_devices(db: Database) -> None:
    """Make the tables of cordons and desired devices; workloads, plans and steps gained fields with defaults."""
    for table in ("cordon", "desired"):
        db.conn.execute(
            f"CREATE TABLE {table} (node TEXT NOT NULL, device TEXT NOT NULL, document TEXT NOT NULL, "
            "PRIMARY KEY (node, device)) WITHOUT ROWID"
        )
    db.conn.execute("DROP INDEX run_open")
    db.conn.execute("CREATE INDEX run_state ON run (state)")


@migrations()
def m003_sightings(db: Database) -> None:
    """Make the table of processes seen on devices they were not given; workloads gained `adopted`."""
    db.conn.execute(
        "CREATE TABLE sighting (node TEXT NOT NULL, device TEXT NOT NULL, pid INTEGER NOT NULL, "
        "document TEXT NOT NULL, PRIMARY KEY (node, device, pid)) WITHOUT ROWID"
    )


@migrations()
def m004_set(db: Database) -> None:
    """The kind of step `tune` is called `set`; requests gained `labels`, `near` and `numa`."""
    # Nothing told in words inside a document looks so: its quotes are escaped.
    before, after = '"kind":"tune"', '"kind":"set"'
    db.conn.execute("UPDATE plan SET document = replace(document, ?, ?)", (before, after))
    db.conn.execute("UPDATE step SET document = replace(document, ?, ?)", (before, after))


@migrations()
def m005_ranges(_db: Database) -> None:
    """Nothing to do to the tables: requests gained `gpus_max` and `resize_command`."""


_FIRST_TABLES = (
    """
    CREATE TABLE meta (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE workload (
        id TEXT PRIMARY KEY,
        revision INTEGER NOT NULL,
        name TEXT NOT NULL,
        state TEXT NOT NULL,
        owner TEXT NOT NULL,
        node TEXT,
        submitted_at_s REAL NOT NULL,
        started_at_s REAL,
        ended_at_s REAL,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX workload_state ON workload (state, ended_at_s)",
    "CREATE INDEX workload_name ON workload (name)",
    """
    CREATE TABLE plan (
        id TEXT PRIMARY KEY,
        created_at_s REAL NOT NULL,
        document TEXT NOT NULL
    )
    """,
    "CREATE INDEX plan_created ON plan (created_at_s)",
    """
    CREATE TABLE run (
        id TEXT PRIMARY KEY,
        plan TEXT NOT NULL UNIQUE REFERENCES plan (id),
        fence INTEGER NOT NULL,
        state TEXT NOT NULL,
        actor TEXT NOT NULL,
        started_at_s REAL NOT NULL,
        ended_at_s REAL
    )
    """,
    "CREATE INDEX run_open ON run (started_at_s) WHERE state = 'open'",
    """
    CREATE TABLE step (
        run TEXT NOT NULL REFERENCES run (id),
        seq INTEGER NOT NULL,
        state TEXT NOT NULL,
        result TEXT NOT NULL,
        error TEXT,
        document TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY,
        at_s REAL NOT NULL,
        kind TEXT NOT NULL,
        actor TEXT NOT NULL,
        workload TEXT,
        node TEXT,
        detail TEXT NOT NULL,
        previous_hash TEXT NOT NULL,
        hash TEXT NOT NULL
    )
    """,
    "CREATE INDEX audit_workload ON audit (workload, seq)",
    "CREATE INDEX audit_time ON audit (at_s)",
    """
    CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit
    WHEN NEW.seq <= (SELECT max(seq) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END
    """,
    """
    CREATE TABLE rebalance (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at_s REAL NOT NULL,
        summary TEXT NOT NULL
    )
    """,
)
