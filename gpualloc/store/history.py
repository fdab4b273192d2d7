"""history.db behind the port: one wide row of whole numbers per series and tick."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gpualloc.errors import NotFoundError
from gpualloc.model.forecast import Grid
from gpualloc.model.foresight import KeptForecast, Steps, Subject
from gpualloc.model.sample import METRICS, Digest, Metric, Sample, Series, SeriesKey, SeriesKind
from gpualloc.store import history_digest, history_means, past_alerts, past_forecasts
from gpualloc.store.database import Database, Schema
from gpualloc.store.history_grid import Wanted, read_grid
from gpualloc.store.paths import StatePaths

if TYPE_CHECKING:
    from sqlite_utils.migrations import Migrations


def _migrations() -> Migrations:
    from gpualloc.store.history_migrations import migrations

    return migrations


SCHEMA = Schema(
    version=4,
    migrations=_migrations,
    synchronous="NORMAL",
    remedy="it holds only samples and past forecasts: delete it (and its -wal and -shm) to begin anew",
)

_PLACES = {metric.name: (place, metric.scale) for place, metric in enumerate(METRICS.values(), start=2)}
"""Metric name to its place in a row, and its scale."""
_WIDTH = 2 + len(_PLACES)
_NAMES = ", ".join(_PLACES)
_INSERT = f"INSERT OR REPLACE INTO sample (series, at_s, {_NAMES}) VALUES (?{', ?' * (_WIDTH - 1)})"  # noqa: S608 (names of METRICS)
_SELECT_SERIES = "SELECT id, kind, node, key FROM series"
_SELECT_POINTS = "SELECT at_s, {column} FROM sample WHERE series = ? AND at_s BETWEEN ? AND ? ORDER BY at_s"
_SPAN = (
    "SELECT min((SELECT min(at_s) FROM sample WHERE series = series.id)), "
    "max((SELECT max(at_s) FROM sample WHERE series = series.id)) FROM series"
)
_SEEN = (
    "SELECT key, max((SELECT max(at_s) FROM sample WHERE series = series.id)) FROM series WHERE kind = ? GROUP BY key"
)
_LARGEST = (1 << 63) - 1


class SqliteHistory:
    """`ports.History` over history.db; its methods may be called from any thread.

    Args:
        paths: where the state lies. Where it cannot be written, what exists is read, and nothing reads as empty.

    Raises:
        NewerStateError: a newer gpualloc wrote the file.
        StateError: the file is damaged or may not be read.
    """

    def __init__(self, paths: StatePaths) -> None:
        self._database = Database(paths.history_db, SCHEMA)
        self._appending = threading.Lock()
        self._series: dict[SeriesKey, int] = {}
        self._series_version: int | None = None

    def append(self, samples: Sequence[Sample]) -> int:
        """Store one tick in one transaction; a second write of the same series and tick replaces the row.

        A value that is absent, None, not finite or beyond 64 bits is stored as unknown.

        Returns:
            Rows written.

        Raises:
            KeyError: a sample has a value for something that is not in `model.sample.METRICS`.
            StateError: the disk is full or the place cannot be written; nothing of the tick is stored then.
        """
        with self._appending:
            with self._database.transaction() as connection:
                # Changed only by other processes, which cannot commit now.
                (version,) = connection.execute("PRAGMA data_version").fetchone()
                known = dict(self._series) if version == self._series_version else _all_series(connection)
                rows = [_row(_series_id(connection, known, sample), sample) for sample in samples]
                connection.executemany(_INSERT, rows)
                history_means.unmark(connection, samples)
            # Only now: had the transaction failed, the new ids would not exist.
            self._series, self._series_version = known, version
        return len(samples)

    def read(
        self,
        metric: Metric,
        since_s: float,
        until_s: float,
        *,
        node: str | None = None,
        key: str | None = None,
    ) -> Iterator[Series]:
        """Series of one metric in the window, both ends included, sorted by node, kind and key.

        Series without any row in the window, and kinds that never have this metric, are left out.

        Raises:
            NotFoundError: the metric is not one that is kept.
        """
        _check_kept(metric)
        query = _SELECT_POINTS.format(column=metric.name)
        for series_id, series in self._matching(sorted(metric.kinds), node, key):
            rows = self._database.rows(query, (series_id, since_s, until_s))
            if rows:
                yield Series(series, metric, tuple((float(at_s), _value(stored, metric)) for at_s, stored in rows))

    def digests(
        self, kind: SeriesKind, metrics: Sequence[Metric], start_s: int, step_s: int, ticks: int
    ) -> Iterator[Digest]:
        """Series of one kind, gathered by ticks of an even grid, sorted by node and key.

        Series without any row on the grid are left out; each is read when it is asked for.

        Args:
            kind: which series.
            metrics: what is wanted of them.
            start_s: epoch seconds at which the first tick begins.
            step_s: seconds of a tick, 1 or more.
            ticks: how many.
        """
        rows = self._database.rows(f"{_SELECT_SERIES} WHERE kind = ? ORDER BY node, key", (kind,))
        for series_id, _, node, key in rows:
            found = history_digest.read(self._database, series_id, metrics, start_s=start_s, step_s=step_s, ticks=ticks)
            if found is not None:
                yield Digest(SeriesKey(kind, node, key), start_s, step_s, *found)

    def grid(
        self, metric: Metric, kind: SeriesKind, steps: Steps, nodes: Sequence[str] | None = None, key: str | None = None
    ) -> Grid:
        """As `ports.History.grid`; series are sorted by node and key, and called `node/key`.

        Raises:
            NotFoundError: the metric is not one that is kept.
        """
        _check_kept(metric)
        found = [(one, its) for one, its in self._matching([kind], None, key) if nodes is None or its.node in nodes]
        wanted = Wanted(metric, kind, found, all=nodes is None and key is None)
        span = self.span()
        return read_grid(self._database, wanted, steps, span[1] if span else 0)

    def span(self) -> tuple[int, int] | None:
        """Epoch seconds of the oldest and the newest sample of anything; None when there is none."""
        row = self._database.row(_SPAN)
        return None if row is None or row[0] is None else (row[0], row[1])

    def workloads_seen(self) -> Mapping[str, float]:
        """Epoch seconds of the newest sample of each workload, by id; of a gang that of its member seen last."""
        return dict(self._database.rows(_SEEN, (SeriesKind.WORKLOAD.value,)))

    def keep(self, forecasts: Sequence[KeptForecast]) -> int:
        """As `ports.History.keep`, in one transaction.

        Raises:
            StateError: the disk is full or the place cannot be written.
        """
        with self._database.transaction() as connection:
            past_forecasts.put(connection, forecasts)
        return len(forecasts)

    def kept(self, what: str | None = None) -> tuple[KeptForecast, ...]:
        """As `ports.History.kept`."""
        return past_forecasts.select(self._database, what)

    def last_kept(self, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
        """As `ports.History.last_kept`."""
        return past_forecasts.last_made(self._database, subject, since_s)

    def prune(self, before_s: float) -> int:
        """Delete samples older than that, and series that have none left; forecasts too. Returns samples deleted."""
        with self._appending, self._database.transaction() as connection:
            self._series_version = None
            ids = connection.execute("SELECT id FROM series").fetchall()
            # By series, because a row is found by its series first.
            deleted = connection.executemany(
                "DELETE FROM sample WHERE series = ? AND at_s < ?", [(series_id, before_s) for (series_id,) in ids]
            ).rowcount
            connection.execute("DELETE FROM series WHERE NOT EXISTS (SELECT 1 FROM sample WHERE series = series.id)")
            history_means.prune(connection, before_s)
            past_forecasts.prune(connection, before_s)
            past_alerts.prune(connection, before_s)
        return max(deleted, 0)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _matching(self, kinds: Sequence[SeriesKind], node: str | None, key: str | None) -> list[tuple[int, SeriesKey]]:
        conditions: dict[str, Sequence[str]] = {f"kind IN ({', '.join('?' * len(kinds))})": kinds}
        if node is not None:
            conditions["node = ?"] = [node]
        if key is not None:
            conditions["key = ?"] = [key]
        rows = self._database.rows(
            f"{_SELECT_SERIES} WHERE {' AND '.join(conditions)} ORDER BY node, kind, key",
            [value for values in conditions.values() for value in values],
        )
        return [
            (series_id, SeriesKey(SeriesKind(kind), its_node, its_key)) for series_id, kind, its_node, its_key in rows
        ]


def _check_kept(metric: Metric) -> None:
    if METRICS.get(metric.name) != metric:
        raise NotFoundError(f"there is no metric {metric.name!r}", hint=f"there are: {', '.join(METRICS)}")


def _all_series(connection: sqlite3.Connection) -> dict[SeriesKey, int]:
    rows = connection.execute(_SELECT_SERIES)
    return {SeriesKey(SeriesKind(kind), node, key): series_id for series_id, kind, node, key in rows}


def _series_id(connection: sqlite3.Connection, known: dict[SeriesKey, int], sample: Sample) -> int:
    """The id of the sample's series; one that is not known yet is added to the table and to `known`."""
    key = sample.series
    series_id = known.get(key)
    if series_id is None:
        added = connection.execute(
            "INSERT INTO series (kind, node, key) VALUES (?, ?, ?)", (key.kind, key.node, key.key)
        )
        series_id = known[key] = added.lastrowid or 0
    return series_id


def _row(series_id: int, sample: Sample) -> list[int | None]:
    row: list[int | None] = [None] * _WIDTH
    row[0], row[1] = series_id, sample.at_s
    for name, value in sample.values.items():
        place, scale = _PLACES[name]
        if value is not None:
            row[place] = _stored(value, scale)
    return row


def _stored(value: float, scale: int) -> int | None:
    try:
        number = round(value * scale)
    except (ValueError, OverflowError):
        return None
    return number if -_LARGEST <= number <= _LARGEST else None


def _value(stored: int | None, metric: Metric) -> float | None:
    return None if stored is None else stored / metric.scale
