"""How history.db came to look as it does. Imports sqlite-utils, so it is imported only when a file must be migrated.

Append-only: a released migration is never edited. Each metric of `model.sample.METRICS` is a column; to add a metric,
append a migration that calls `_add_columns` with its name and raise `SCHEMA.version` in `store.history`. SQLite adds a
column without touching the rows, and the older rows read as unknown. A metric that is given up keeps its column. A test
compares the columns of a fresh database with METRICS.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("gpualloc-history")


@migrations()
def m001_series_and_samples(db: Database) -> None:
    """Make the tables of the first release and the columns of its metrics."""
    db.conn.execute(
        """
        CREATE TABLE series (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            node TEXT NOT NULL,
            key TEXT NOT NULL,
            UNIQUE (kind, node, key)
        )
        """
    )
    db.conn.execute(
        """
        CREATE TABLE sample (
            series INTEGER NOT NULL,
            at_s INTEGER NOT NULL,
            PRIMARY KEY (series, at_s)
        ) WITHOUT ROWID
        """
    )
    _add_columns(
        db,
        "gpu_utilization_ratio",
        "memory_utilization_ratio",
        "gpu_memory_used_mib",
        "gpu_memory_total_mib",
        "power_w",
        "temperature_c",
        "sm_clock_mhz",
        "cpu_utilization_ratio",
        "memory_available_mib",
        "disk_used_mib",
        "network_rx_bytes_per_s",
        "network_tx_bytes_per_s",
    )


def _add_columns(db: Database, *metrics: str) -> None:
    for metric in metrics:
        db.conn.execute(f"ALTER TABLE sample ADD COLUMN {metric} INTEGER")
