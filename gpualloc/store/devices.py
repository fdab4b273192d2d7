"""The cordon and desired tables: which nodes and devices take no new work, and what devices are meant to be."""

from __future__ import annotations

import sqlite3

from gpualloc.model.desired import Cordon, DesiredDevice
from gpualloc.store.database import Database
from gpualloc.store.document import dump, load

_WHOLE_NODE = ""
"""Stands for a cordon without a device: a primary key holds no NULL."""


def put_cordon(connection: sqlite3.Connection, cordon: Cordon) -> None:
    """Store a cordon in place of one on the same node and device, within the caller's transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO cordon (node, device, document) VALUES (?, ?, ?)",
        (cordon.node, cordon.device or _WHOLE_NODE, dump(cordon)),
    )


def remove_cordon(connection: sqlite3.Connection, node: str, device: str | None) -> bool:
    """Remove a cordon within the caller's transaction; False when there was none."""
    found = connection.execute("DELETE FROM cordon WHERE node = ? AND device = ?", (node, device or _WHOLE_NODE))
    return found.rowcount > 0


def cordons(database: Database) -> tuple[Cordon, ...]:
    """Every cordon, by node and device."""
    rows = database.rows("SELECT node, document FROM cordon ORDER BY node, device")
    return tuple(load(Cordon, document, f"cordon of {node}") for node, document in rows)


def put_desired(connection: sqlite3.Connection, desired: DesiredDevice) -> None:
    """Store what a device is meant to be, within the caller's transaction."""
    connection.execute(
        "INSERT OR REPLACE INTO desired (node, device, document) VALUES (?, ?, ?)",
        (desired.node, desired.device, dump(desired)),
    )


def remove_desired(connection: sqlite3.Connection, node: str, device: str) -> None:
    """Forget what a device is meant to be, within the caller's transaction."""
    connection.execute("DELETE FROM desired WHERE node = ? AND device = ?", (node, device))


def desired(database: Database) -> tuple[DesiredDevice, ...]:
    """What devices are meant to be, by node and device."""
    rows = database.rows("SELECT node, device, document FROM desired ORDER BY node, device")
    return tuple(
        load(DesiredDevice, document, f"desired state of {device} on {node}") for node, device, document in rows
    )
