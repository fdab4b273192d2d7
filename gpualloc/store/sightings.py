"""The sighting table: processes seen on devices they were not given, between one look and the next."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gpualloc.model.enforcement import Sighting
from gpualloc.store.database import Database
from gpualloc.store.document import dump, load


def replace(connection: sqlite3.Connection, sightings: Sequence[Sighting]) -> None:
    """Store these in place of all that were stored, within the caller's transaction."""
    connection.execute("DELETE FROM sighting")
    connection.executemany(
        "INSERT INTO sighting (node, device, pid, document) VALUES (?, ?, ?, ?)",
        [(one.node, one.device, one.pid, dump(one)) for one in sightings],
    )


def select(database: Database) -> tuple[Sighting, ...]:
    """All of them, by node, device and pid."""
    rows = database.rows("SELECT node, pid, document FROM sighting ORDER BY node, device, pid")
    return tuple(load(Sighting, document, f"sighting of process {pid} on {node}") for node, pid, document in rows)
