"""The tables of forecasts that are kept to be scored."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from gpualloc.model.forecast import Band
from gpualloc.model.foresight import By, KeptForecast, Subject
from gpualloc.store.database import Database

_COLUMNS = "made_at_s, step_s, horizon_s, model, low, median, high, last"
_SELECT = (
    f"SELECT what, parts, pool, name, {_COLUMNS} FROM forecast_series "  # noqa: S608 (constants)
    "JOIN forecast ON forecast.series = forecast_series.id WHERE ? IS NULL OR what = ? "
    "ORDER BY what, parts, pool, name, made_at_s, horizon_s"
)
_SUBJECT = "what = ? AND parts = ? AND pool = ?"
_LAST_MADE = (
    "SELECT name, horizon_s, max(made_at_s) FROM forecast_series "  # noqa: S608 (constants)
    f"CROSS JOIN forecast ON forecast.series = forecast_series.id WHERE {_SUBJECT} AND made_at_s >= ? GROUP BY 1, 2"
)
_INSERT = f"INSERT OR REPLACE INTO forecast (series, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 (constants)
_Key = tuple[str, str, str, str]


def put(connection: sqlite3.Connection, forecasts: Sequence[KeptForecast]) -> None:
    """Store forecasts within the caller's transaction; one of the same series, moment and horizon is replaced."""
    ids: dict[_Key, int] = {}
    rows = []
    for one in forecasts:
        key = (one.subject.what, one.subject.by.value, one.subject.pool, one.series)
        if key not in ids:
            ids[key] = _series_id(connection, key)
        told = (one.made_at_s, one.step_s, one.horizon_s, one.model, *_edges(one.band), one.last)
        rows.append((ids[key], *told))
    connection.executemany(_INSERT, rows)


def select(database: Database, what: str | None) -> tuple[KeptForecast, ...]:
    """Forecasts of one metric or of all, by subject, series, moment and horizon."""
    rows = database.rows(_SELECT, (what, what))
    return tuple(
        KeptForecast(
            Subject(what, By(parts), pool), name, made_at_s, step_s, horizon_s, model, Band(low, median, high), last
        )
        for what, parts, pool, name, made_at_s, step_s, horizon_s, model, low, median, high, last in rows
    )


def last_made(database: Database, subject: Subject, since_s: float) -> Mapping[tuple[str, int], int]:
    """When a forecast was last stored, if since then, by series of the subject and horizon."""
    rows = database.rows(_LAST_MADE, (subject.what, subject.by.value, subject.pool, since_s))
    return {(name, horizon_s): made_at_s for name, horizon_s, made_at_s in rows}


def prune(connection: sqlite3.Connection, before_s: float) -> None:
    """Delete forecasts made before then, and series that have none left, within the caller's transaction."""
    ids = connection.execute("SELECT id FROM forecast_series").fetchall()
    connection.executemany(
        "DELETE FROM forecast WHERE series = ? AND made_at_s < ?", [(series_id, before_s) for (series_id,) in ids]
    )
    connection.execute(
        "DELETE FROM forecast_series WHERE NOT EXISTS (SELECT 1 FROM forecast WHERE series = forecast_series.id)"
    )


def _series_id(connection: sqlite3.Connection, key: _Key) -> int:
    row = connection.execute(f"SELECT id FROM forecast_series WHERE {_SUBJECT} AND name = ?", key).fetchone()  # noqa: S608 (constants)
    if row is not None:
        return int(row[0])
    added = connection.execute("INSERT INTO forecast_series (what, parts, pool, name) VALUES (?, ?, ?, ?)", key)
    return added.lastrowid or 0


def _edges(band: Band) -> tuple[float, float, float]:
    return band.low, band.median, band.high
