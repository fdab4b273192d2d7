"""`ports.Events` over history.db."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gpualloc.model.health import Condition, Event, Severity, Trouble
from gpualloc.model.sample import SeriesKind
from gpualloc.store.database import Database, Row
from gpualloc.store.history import SCHEMA
from gpualloc.store.history_series import newest
from gpualloc.store.paths import StatePaths

_BY_RANK = {severity.rank: severity for severity in Severity}
_COLUMNS = "key, at_s, trouble, severity, node, device, what, advice, code, over"
_NOTE = f"INSERT OR IGNORE INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)
_SELECT = (
    f"SELECT {_COLUMNS} FROM event WHERE at_s >= ? AND (? IS NULL OR at_s <= ?) AND severity >= ? "  # noqa: S608 (constants)
    "AND (? IS NULL OR node = ?) AND (? IS NULL OR device = ?) ORDER BY at_s, id"
)
_CONDITIONS = (
    "SELECT trouble, severity, node, device, what, advice, since_s FROM condition ORDER BY node, device, trouble"
)
_KEEP = (
    "INSERT OR REPLACE INTO condition (trouble, severity, node, device, what, advice, since_s) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)


class SqliteEvents:
    """`ports.Events` over history.db; its methods may be called from any thread.

    Args:
        paths: where the state lies.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged or may not be read.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._database = Database(paths.history_db, SCHEMA)

    def note(self, events: Sequence[Event]) -> tuple[Event, ...]:
        """Keep events in one transaction; returns those that were not known yet.

        Raises:
            StateError: the disk is full or the place cannot be written; nothing is kept then.
        """
        if not events:
            return ()
        with self._database.transaction() as connection:
            return tuple(event for event in events if connection.execute(_NOTE, _event_row(event)).rowcount)

    def events(
        self,
        since_s: float,
        until_s: float | None = None,
        *,
        node: str | None = None,
        device: str | None = None,
        least: Severity = Severity.INFO,
    ) -> tuple[Event, ...]:
        """As `ports.Events.events`."""
        rows = self._database.rows(_SELECT, (since_s, until_s, until_s, least.rank, node, node, device, device))
        return tuple(map(_event, rows))

    def conditions(self) -> tuple[Condition, ...]:
        """As `ports.Events.conditions`."""
        return tuple(
            Condition(Trouble(trouble), _BY_RANK[rank], node, device or None, what, advice, since_s)
            for trouble, rank, node, device, what, advice, since_s in self._database.rows(_CONDITIONS)
        )

    def keep_conditions(self, conditions: Sequence[Condition]) -> None:
        """As `ports.Events.keep_conditions`, in one transaction; nothing is written where nothing changed.

        Raises:
            StateError: the disk is full or the place cannot be written.
        """
        if set(self.conditions()) == set(conditions):
            return
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM condition")
            connection.executemany(_KEEP, map(_condition_row, conditions))

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:
        """As `ports.Events.devices_seen`."""
        found: dict[str, dict[str, float]] = {}
        with self._database.snapshot() as connection:
            for series, at_s in newest(connection, SeriesKind.DEVICE, node):
                found.setdefault(series.node, {})[series.key] = float(at_s)
        return found

    def forget_device(self, node: str, device: str) -> bool:
        """As `ports.Events.forget_device`: its samples are read no more, and go with those of its time.

        Raises:
            StateError: the place cannot be written.
        """
        with self._database.transaction() as connection:
            series = (SeriesKind.DEVICE.value, node, device)
            gone = connection.execute("DELETE FROM series WHERE kind = ? AND node = ? AND key = ?", series)
            return gone.rowcount > 0

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def prune_events(connection: sqlite3.Connection, before_s: float) -> None:
    """Delete events from before then, within the caller's transaction."""
    connection.execute("DELETE FROM event WHERE at_s < ?", (before_s,))


def _event_row(event: Event) -> Row:
    return (
        event.key,
        event.at_s,
        event.trouble.value,
        event.severity.rank,
        event.node,
        event.device,
        event.what,
        event.advice,
        event.code,
        int(event.over),
    )


def _event(row: Row) -> Event:
    key, at_s, trouble, rank, node, device, what, advice, code, over = row
    return Event(at_s, Trouble(trouble), _BY_RANK[rank], node, device, what, advice, key, code, bool(over))


def _condition_row(condition: Condition) -> Row:
    return (
        condition.trouble.value,
        condition.severity.rank,
        condition.node,
        condition.device or "",
        condition.what,
        condition.advice,
        condition.since_s,
    )
