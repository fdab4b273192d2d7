"""How history.db came to look as it does. Imports sqlite-utils, so it is imported only when a file must be migrated.

Append-only: a released migration is never edited. Each metric of `model.sample.METRICS` is a column; to add a metric,
append a migration that runs `ALTER TABLE sample ADD COLUMN <name> INTEGER`, and raise `SCHEMA.version` in
`store.history`. SQLite adds a column without touching the rows; older rows read as unknown. A metric that is given up
keeps its column. A test compares the columns of a fresh database with METRICS.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("gpualloc-history")


@migrations()
def m001_series_and_samples(db: Database) -> None:
    """Make the tables of the first release, with a column for each of its metrics."""
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
            gpu_utilization_ratio INTEGER,
            memory_utilization_ratio INTEGER,
            gpu_memory_used_mib INTEGER,
            gpu_memory_total_mib INTEGER,
            power_w INTEGER,
            temperature_c INTEGER,
            sm_clock_mhz INTEGER,
            cpu_utilization_ratio INTEGER,
            memory_available_mib INTEGER,
            disk_used_mib INTEGER,
            network_rx_bytes_per_s INTEGER,
            network_tx_bytes_per_s INTEGER,
            PRIMARY KEY (series, at_s)
        ) WITHOUT ROWID
        """
    )


@migrations()
def m002_forecasts_and_means(db: Database) -> None:
    """Make the tables of forecasts that are kept to be scored, and of means that are kept to be read again."""
    db.conn.execute(
        """
        CREATE TABLE forecast_series (
            id INTEGER PRIMARY KEY,
            what TEXT NOT NULL,
            parts TEXT NOT NULL,
            pool TEXT NOT NULL,
            name TEXT NOT NULL,
            UNIQUE (what, parts, pool, name)
        )
        """
    )
    db.conn.execute(
        """
        CREATE TABLE forecast (
            series INTEGER NOT NULL,
            made_at_s INTEGER NOT NULL,
            horizon_s INTEGER NOT NULL,
            step_s INTEGER NOT NULL,
            model TEXT NOT NULL,
            low REAL NOT NULL,
            median REAL NOT NULL,
            high REAL NOT NULL,
            last REAL,
            PRIMARY KEY (series, made_at_s, horizon_s)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute(
        """
        CREATE TABLE mean (
            chunk INTEGER NOT NULL,
            metric TEXT NOT NULL,
            series INTEGER NOT NULL,
            means BLOB NOT NULL,
            PRIMARY KEY (chunk, metric, series)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute(
        """
        CREATE TABLE rolled (
            chunk INTEGER NOT NULL,
            metric TEXT NOT NULL,
            kind TEXT NOT NULL,
            PRIMARY KEY (chunk, metric, kind)
        ) WITHOUT ROWID
        """
    )


@migrations()
def m003_fleet_metrics_and_events(db: Database) -> None:
    """Add the readings of whole fleets, and the tables of what happened and of what is wrong."""
    for name in (
        "memory_temperature_c",
        "memory_clock_mhz",
        "energy_j",
        "throttled",
        "sm_active_ratio",
        "tensor_active_ratio",
        "dram_active_ratio",
        "pcie_rx_bytes_per_s",
        "pcie_tx_bytes_per_s",
        "nvlink_rx_bytes_per_s",
        "nvlink_tx_bytes_per_s",
        "ecc_uncorrected",
        "swap_in_bytes_per_s",
        "disk_reads_per_s",
        "disk_writes_per_s",
        "network_errors_per_s",
        "rdma_rx_bytes_per_s",
        "rdma_tx_bytes_per_s",
    ):
        db.conn.execute(f"ALTER TABLE sample ADD COLUMN {name} INTEGER")
    _m003_events(db)


def _m003_events(db: Database) -> None:
    db.conn.execute(
        """
        CREATE TABLE event (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            at_s REAL NOT NULL,
            trouble TEXT NOT NULL,
            severity INTEGER NOT NULL,
            node TEXT NOT NULL,
            device TEXT,
            what TEXT NOT NULL,
            advice TEXT,
            code INTEGER,
            over INTEGER NOT NULL,
            news INTEGER NOT NULL
        )
        """
    )
    db.conn.execute("CREATE INDEX event_by_time ON event (at_s)")
    db.conn.execute(
        """
        CREATE TABLE condition (
            node TEXT NOT NULL,
            device TEXT NOT NULL,
            trouble TEXT NOT NULL,
            severity INTEGER NOT NULL,
            what TEXT NOT NULL,
            advice TEXT,
            since_s REAL NOT NULL,
            confirmed INTEGER NOT NULL,
            PRIMARY KEY (node, device, trouble)
        ) WITHOUT ROWID
        """
    )
    db.conn.execute(
        """
        CREATE TABLE heard (
            node TEXT PRIMARY KEY,
            boot_id TEXT,
            driver_version TEXT,
            kernel_seq INTEGER,
            devices TEXT NOT NULL,
            ports TEXT NOT NULL
        ) WITHOUT ROWID
        """
    )


_ALERTS = (
    """
    CREATE TABLE alert (
        rule TEXT NOT NULL,
        node TEXT NOT NULL,
        device TEXT NOT NULL,
        state TEXT NOT NULL,
        since_s REAL NOT NULL,
        what TEXT NOT NULL,
        value REAL,
        fired_s REAL,
        clear_since_s REAL,
        unknown_since_s REAL,
        heard_s REAL,
        told_s REAL,
        PRIMARY KEY (rule, node, device)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE alert_look (id INTEGER PRIMARY KEY CHECK (id = 1), looked_s REAL NOT NULL)",
    """
    CREATE TABLE alert_transition (
        id INTEGER PRIMARY KEY,
        at_s REAL NOT NULL,
        rule TEXT NOT NULL,
        node TEXT NOT NULL,
        device TEXT,
        state TEXT NOT NULL,
        severity INTEGER NOT NULL,
        what TEXT NOT NULL,
        value REAL,
        since_s REAL NOT NULL,
        silenced INTEGER NOT NULL
    )
    """,
    "CREATE INDEX alert_transition_by_time ON alert_transition (at_s)",
    """
    CREATE TABLE alert_silence (
        id INTEGER PRIMARY KEY,
        rule TEXT,
        node TEXT,
        until_s REAL NOT NULL,
        reason TEXT NOT NULL,
        actor TEXT NOT NULL,
        at_s REAL NOT NULL
    )
    """,
    """
    CREATE TABLE alert_notice (
        id TEXT PRIMARY KEY,
        channel TEXT NOT NULL,
        at_s REAL NOT NULL,
        document TEXT NOT NULL
    ) WITHOUT ROWID
    """,
)
"""How alerts stand, what they did, what is silenced, and the outbox."""


@migrations()
def m004_alerts(db: Database) -> None:
    """Make the tables of alerts."""
    for statement in _ALERTS:
        db.conn.execute(statement)
