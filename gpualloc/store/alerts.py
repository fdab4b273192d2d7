"""`ports.Alerts` over history.db."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gpualloc.model.alert import Alert, AlertKey, AlertState, Delivered, Notice, Silence, Transition
from gpualloc.model.health import Severity
from gpualloc.ports import AlertChanges, Standing
from gpualloc.store.database import Database, Row
from gpualloc.store.history import SCHEMA
from gpualloc.store.paths import StatePaths

_BY_RANK = {severity.rank: severity for severity in Severity}
_ALERT = "rule, node, device, state, since_s, what, value, fired_s, clear_since_s, unknown_since_s, heard_s, told_s"
_SELECT_ALERTS = f"SELECT {_ALERT} FROM alert"  # noqa: S608 (constants, as below)
_KEEP_ALERT = f"INSERT OR REPLACE INTO alert ({_ALERT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_TRANSITION = "at_s, rule, node, device, state, severity, what, value, since_s, silenced"
_ADD_TRANSITION = f"INSERT INTO alert_transition ({_TRANSITION}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608
_SELECT_TRANSITIONS = (
    f"SELECT {_TRANSITION} FROM alert_transition WHERE at_s >= ? AND (? IS NULL OR rule = ?) "  # noqa: S608
    "AND (? IS NULL OR node = ?) ORDER BY at_s, id"
)
_SILENCES = (
    "SELECT id, rule, node, until_s, reason, actor, at_s FROM alert_silence WHERE until_s > ? ORDER BY until_s, id"
)


class SqliteAlerts:
    """`ports.Alerts` over history.db.

    What a look left is remembered here, so that the next one reads nothing unless another process looked meanwhile,
    and so that alerts go on while the disk is full.

    Args:
        paths: where the state lies.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged or may not be read.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._database = Database(paths.history_db, SCHEMA)
        self._standing: Standing | None = None
        self._written_s: float | None = None
        """The last look that is in the file, as far as is known here."""
        self._owed: list[AlertChanges] = []
        """What could not be written."""

    def standing(self) -> Standing:
        """As `ports.Alerts.standing`."""
        with self._database.snapshot() as connection:
            looked_s = _looked_s(connection)
            if self._standing is None or looked_s != self._written_s:
                alerts = map(_alert, connection.execute(_SELECT_ALERTS))
                self._standing = Standing(looked_s, {alert.key: alert for alert in alerts})
                self._written_s = looked_s
                self._owed.clear()
        return self._standing

    def keep(self, before: Standing, now_s: float, changes: AlertChanges) -> bool:
        """As `ports.Alerts.keep`, in one transaction.

        Raises:
            StateError: the disk is full or the place cannot be written; it is remembered.
            LockedError: another process has been writing for too long; it is remembered.
        """
        owed = [*self._owed, changes]
        after = before.after(now_s, changes)
        try:
            with self._database.transaction() as connection:
                if _looked_s(connection) != self._written_s:
                    return False
                connection.execute("INSERT OR REPLACE INTO alert_look (id, looked_s) VALUES (1, ?)", (now_s,))
                for each in owed:
                    _write(connection, each)
        except BaseException:
            # Whoever looks next goes on from here; a second notice of the same is what this prevents.
            self._standing, self._owed = after, _summed(owed)
            raise
        self._standing, self._written_s, self._owed = after, now_s, []
        return True

    def transitions(
        self, since_s: float, *, rule: str | None = None, node: str | None = None
    ) -> tuple[Transition, ...]:
        """As `ports.Alerts.transitions`."""
        return tuple(map(_transition, self._database.rows(_SELECT_TRANSITIONS, (since_s, rule, rule, node, node))))

    def silences(self, now_s: float) -> tuple[Silence, ...]:
        """As `ports.Alerts.silences`."""
        return tuple(Silence(*row) for row in self._database.rows(_SILENCES, (now_s,)))

    def silence(self, silence: Silence) -> Silence:
        """As `ports.Alerts.silence`.

        Raises:
            StateError: the place cannot be written.
        """
        row = (silence.rule, silence.node, silence.until_s, silence.reason, silence.actor, silence.at_s)
        with self._database.transaction() as connection:
            sql = "INSERT INTO alert_silence (rule, node, until_s, reason, actor, at_s) VALUES (?, ?, ?, ?, ?, ?)"
            added = connection.execute(sql, row)
        return replace(silence, id=added.lastrowid or 0)

    def unsilence(self, ids: Sequence[int]) -> None:
        """As `ports.Alerts.unsilence`; raises as `silence`."""
        with self._database.transaction() as connection:
            connection.executemany("DELETE FROM alert_silence WHERE id = ?", [(each,) for each in ids])

    def waiting(self, since_s: float) -> tuple[Notice, ...]:
        """As `ports.Alerts.waiting`."""
        sql = "SELECT id, channel, at_s, document FROM alert_notice WHERE at_s >= ? ORDER BY at_s, id"
        return tuple(Notice(*row) for row in self._database.rows(sql, (since_s,)))

    def ended(self, delivered: Sequence[Delivered]) -> None:
        """As `ports.Alerts.ended`; raises as `silence`."""
        with self._database.transaction() as connection:
            ids = [(each.notice.id,) for each in delivered]
            connection.executemany("DELETE FROM alert_notice WHERE id = ?", ids)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _looked_s(connection: sqlite3.Connection) -> float | None:
    row = connection.execute("SELECT looked_s FROM alert_look").fetchone()
    return None if row is None else float(row[0])


def _write(connection: sqlite3.Connection, changes: AlertChanges) -> None:
    connection.executemany("DELETE FROM alert WHERE rule = ? AND node = ? AND device = ?", changes.gone)
    connection.executemany(_KEEP_ALERT, map(_alert_row, changes.alerts))
    kept = (each for each in changes.transitions if not each.reminder)
    connection.executemany(_ADD_TRANSITION, map(_transition_row, kept))
    connection.executemany(
        "INSERT OR REPLACE INTO alert_notice (id, channel, at_s, document) VALUES (?, ?, ?, ?)",
        [(each.id, each.channel, each.at_s, each.document) for each in changes.notices],
    )


def _summed(owed: Iterable[AlertChanges]) -> list[AlertChanges]:
    """The same in one, without notices: they are being delivered, and memory is bounded by what there are alerts of."""
    alerts: dict[AlertKey, Alert] = {}
    gone: set[AlertKey] = set()
    transitions: list[Transition] = []
    for changes in owed:
        for alert in changes.alerts:
            alerts[alert.key] = alert
            gone.discard(alert.key)
        for key in changes.gone:
            alerts.pop(key, None)
            gone.add(key)
        transitions += changes.transitions
    return [AlertChanges(list(alerts.values()), sorted(gone), transitions[-_MOST_OWED:])]


_MOST_OWED = 10_000
"""Most transitions that are remembered until they can be written."""


def _alert_row(alert: Alert) -> Row:
    return (
        *alert.key,
        alert.state.value,
        alert.since_s,
        alert.what,
        alert.value,
        alert.fired_s,
        alert.clear_since_s,
        alert.unknown_since_s,
        alert.heard_s,
        alert.told_s,
    )


def _alert(row: Row) -> Alert:
    rule, node, device, state, *rest = row
    return Alert(AlertKey(rule, node, device), AlertState(state), *rest)


def _transition_row(transition: Transition) -> Row:
    return (
        transition.at_s,
        transition.rule,
        transition.node,
        transition.device,
        transition.state.value,
        transition.severity.rank,
        transition.what,
        transition.value,
        transition.since_s,
        int(transition.silenced),
    )


def _transition(row: Row) -> Transition:
    at_s, rule, node, device, state, rank, what, value, since_s, silenced = row
    return Transition(
        at_s, rule, node, device, AlertState(state), _BY_RANK[rank], what, value, since_s, silenced=bool(silenced)
    )
