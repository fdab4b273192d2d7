"""How history.db came to look as it does. Imports sqlite-utils, so it is imported only when a file must be migrated.

Append-only: a released migration is never edited. Metrics are rows of the table `metric`, added when a sample has them
first: a new one of `model.sample.METRICS` needs no migration. What was packed of one that is given up stays readable
until it is too old.
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


@migrations()
def m005_ticks_chunks_and_rollups(db: Database) -> None:
    """Make the tables of packed samples and of rollups, and pack what the earlier tables hold."""
    from gpualloc.store.history_repacking import repack

    for statement in _M005_TABLES.split(";"):
        db.conn.execute(statement)
    repack(db.conn)
    for table in ("wide_series", "sample", "mean", "rolled"):
        db.conn.execute(f"DROP TABLE {table}")


_M005_TABLES = """
ALTER TABLE series RENAME TO wide_series;
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    node TEXT NOT NULL,
    key TEXT NOT NULL,
    block INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    oldest_s INTEGER,
    newest_s INTEGER,
    UNIQUE (kind, node, key),
    UNIQUE (block, slot)
);
CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    used INTEGER NOT NULL
);
CREATE TABLE metric (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE tick (
    id INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    at_s INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE INDEX tick_by_block ON tick (block, at_s);
CREATE TABLE raw (
    id INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (block, metric, chunk)
);
CREATE TABLE minute (
    id INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    known BLOB NOT NULL,
    total BLOB,
    high BLOB,
    low BLOB,
    p95 BLOB,
    UNIQUE (block, metric, chunk)
);
CREATE TABLE hour (
    id INTEGER PRIMARY KEY,
    block INTEGER NOT NULL,
    metric INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    known BLOB NOT NULL,
    total BLOB,
    high BLOB,
    low BLOB,
    p95 BLOB,
    UNIQUE (block, metric, chunk)
);
CREATE TABLE due (
    block INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    PRIMARY KEY (block, chunk)
) WITHOUT ROWID;
CREATE TABLE horizon (
    level TEXT PRIMARY KEY,
    before_s INTEGER NOT NULL
) WITHOUT ROWID
"""
