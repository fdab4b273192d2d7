"""`ports.Events` over history.db."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from gpualloc.model.health import Condition, Event, Heard, Looked, SeenDevice, Severity, Trouble
from gpualloc.model.sample import SeriesKind
from gpualloc.store.database import Database, Row
from gpualloc.store.history import SCHEMA
from gpualloc.store.history_series import newest
from gpualloc.store.paths import StatePaths

_BY_RANK = {severity.rank: severity for severity in Severity}
_COLUMNS = "key, at_s, trouble, severity, node, device, what, advice, code, over, news"
_NOTE = f"INSERT OR IGNORE INTO event ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)
_SELECT = (
    f"SELECT {_COLUMNS} FROM event WHERE at_s >= ? AND (? IS NULL OR at_s <= ?) AND severity >= ? "  # noqa: S608 (constants)
    "AND (? IS NULL OR node = ?) AND (? IS NULL OR device = ?) ORDER BY at_s, id"
)
_KEPT_AFTER = f"SELECT id, {_COLUMNS} FROM event WHERE id > ? ORDER BY id"  # noqa: S608 (constants)
_MARK = "SELECT coalesce(max(id), 0) FROM event"
_CONDITION = "trouble, severity, node, device, what, advice, since_s, confirmed"
_CONDITIONS = f"SELECT {_CONDITION} FROM condition"  # noqa: S608 (constants)
_KEEP_CONDITION = f"INSERT INTO condition ({_CONDITION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)
_HEARD = "SELECT node, boot_id, driver_version, kernel_seq, devices, ports FROM heard"
_KEEP_HEARD = "INSERT OR REPLACE INTO heard VALUES (?, ?, ?, ?, ?, ?)"


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
            return _note(connection, events)

    def keep(self, looked: Looked) -> tuple[Event, ...]:
        """As `ports.Events.keep`, in one transaction.

        Raises:
            StateError: the disk is full or the place cannot be written; nothing is kept then.
        """
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM condition WHERE node = ?", ((node,) for node in looked.nodes))
            connection.executemany(_KEEP_HEARD, map(_heard_row, looked.heard))
            connection.executemany(_KEEP_CONDITION, map(_condition_row, looked.conditions))
            return _note(connection, looked.events)

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

    def mark(self) -> int:
        """As `ports.Events.mark`."""
        row = self._database.row(_MARK)
        return 0 if row is None else int(row[0])

    def kept_after(self, mark: int) -> tuple[tuple[Event, ...], int]:
        """As `ports.Events.kept_after`."""
        rows = self._database.rows(_KEPT_AFTER, (mark,))
        return tuple(_event(row[1:]) for row in rows), int(rows[-1][0]) if rows else mark

    def conditions(self, nodes: Collection[str] | None = None, *, suspected: bool = False) -> tuple[Condition, ...]:
        """As `ports.Events.conditions`."""
        found = (_condition(row) for row in self._of_nodes(_CONDITIONS, nodes))
        return tuple(
            sorted((each for each in found if each.confirmed or suspected), key=lambda condition: condition.key)
        )

    def heard(self, nodes: Collection[str] | None = None) -> dict[str, Heard]:
        """As `ports.Events.heard`."""
        return {row[0]: _heard(row) for row in self._of_nodes(_HEARD, nodes)}

    def devices_seen(self, node: str | None = None) -> dict[str, dict[str, float]]:
        """As `ports.Events.devices_seen`."""
        found: dict[str, dict[str, float]] = {}
        with self._database.snapshot() as connection:
            for series, at_s in newest(connection, SeriesKind.DEVICE, node):
                found.setdefault(series.node, {})[series.key] = float(at_s)
        return found

    def forget(self, node: str, part: str) -> bool:
        """As `ports.Events.forget`; its samples stay.

        Raises:
            StateError: the place cannot be written.
        """
        with self._database.transaction() as connection:
            row = connection.execute(f"{_HEARD} WHERE node = ?", (node,)).fetchone()
            if row is None:
                return False
            before = _heard(row)
            devices = tuple(device for device in before.devices if device.uuid != part)
            ports = tuple(port for port in before.ports if port != part)
            if (devices, ports) == (before.devices, before.ports):
                return False
            left = Heard(node, before.boot_id, before.driver_version, before.kernel_seq, devices, ports)
            connection.execute(_KEEP_HEARD, _heard_row(left))
            connection.execute("DELETE FROM condition WHERE node = ? AND device = ?", (node, part))
        return True

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _of_nodes(self, select: str, nodes: Collection[str] | None) -> list[Row]:
        """Rows of all nodes, or of these: one is looked up, several are picked out of all."""
        if nodes is None:
            return self._database.rows(select)
        if len(nodes) == 1:
            return self._database.rows(f"{select} WHERE node = ?", tuple(nodes))
        place, wanted = 0 if select == _HEARD else 2, frozenset(nodes)
        return [row for row in self._database.rows(select) if row[place] in wanted]


def _note(connection: sqlite3.Connection, events: Sequence[Event]) -> tuple[Event, ...]:
    return tuple(event for event in events if connection.execute(_NOTE, _event_row(event)).rowcount)


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
        int(event.news),
    )


def _event(row: Row) -> Event:
    key, at_s, trouble, rank, node, device, what, advice, code, over, news = row
    return Event(at_s, Trouble(trouble), _BY_RANK[rank], node, device, what, advice, key, code, bool(over), bool(news))


def _condition_row(condition: Condition) -> Row:
    return (
        condition.trouble.value,
        condition.severity.rank,
        condition.node,
        condition.device or "",
        condition.what,
        condition.advice,
        condition.since_s,
        int(condition.confirmed),
    )


def _condition(row: Row) -> Condition:
    trouble, rank, node, device, what, advice, since_s, confirmed = row
    return Condition(Trouble(trouble), _BY_RANK[rank], node, device or None, what, advice, since_s, bool(confirmed))


def _heard_row(heard: Heard) -> Row:
    devices = [[getattr(device, name) for name in SeenDevice.__struct_fields__] for device in heard.devices]
    return (
        heard.node,
        heard.boot_id,
        heard.driver_version,
        heard.kernel_seq,
        json.dumps(devices, separators=(",", ":")),
        json.dumps(heard.ports, separators=(",", ":")),
    )


def _heard(row: Row) -> Heard:
    node, boot_id, driver_version, kernel_seq, devices, ports = row
    seen = tuple(SeenDevice(*device) for device in json.loads(devices))
    return Heard(node, boot_id, driver_version, kernel_seq, seen, tuple(json.loads(ports)))
