"""The meta table: single facts about a state."""

from __future__ import annotations

import sqlite3

from gpualloc.errors import StateError

CONTROLLER = "controller"
"""Id of the state, 32 hex digits."""
FENCE = "fence"
"""The last fence given to a run."""
AUDIT_SEQ = "audit_seq"
"""Seq of the newest audit entry, kept apart from the trail so that a cut end shows."""
AUDIT_HASH = "audit_hash"
"""Hash of the newest audit entry."""


def read(connection: sqlite3.Connection, key: str) -> str:
    """The value of a fact.

    Raises:
        StateError: it is not there, so the file was changed by hand.
    """
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    if row is None:
        raise StateError(f"the state has lost its {key!r}", hint="restore state.db from a copy")
    return str(row[0])


def read_count(connection: sqlite3.Connection, key: str) -> int:
    """The value of a fact that is a count; raises as `read`."""
    value = read(connection, key)
    if not value.isdecimal():
        raise StateError(f"the state's {key!r} is not a number: {value!r}", hint="restore state.db from a copy")
    return int(value)


def write(connection: sqlite3.Connection, key: str, value: str | int) -> None:
    """Set the value of a fact, within the caller's transaction."""
    connection.execute("UPDATE meta SET value = ? WHERE key = ?", (str(value), key))
