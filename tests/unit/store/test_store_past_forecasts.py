"""Forecasts that are kept: they come back, are replaced, and go with their time."""

import sqlite3
from contextlib import closing

import pytest
from msgspec.structs import replace

from gpualloc.errors import NewerStateError, StateError
from gpualloc.model.forecast import Band
from gpualloc.model.foresight import By, KeptForecast, Subject
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory

DEMAND = Subject("demand", By.POOL)
POWER = Subject("power_w", By.SERIES, "a100")
ONE = KeptForecast(DEMAND, "a100", 1000, 300, 600, "last", Band(1.0, 2.5, 4.0), 2.0)


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def test_a_forecast_comes_back(history, paths):
    kept = [
        ONE,
        replace(ONE, horizon_s=1200, model="ewma", last=None),
        replace(ONE, series="*"),
        replace(ONE, subject=POWER),
    ]
    assert history.keep(kept) == 4
    history.close()
    with closing(SqliteHistory(paths)) as again:
        assert again.kept() == (kept[2], kept[0], kept[1], kept[3])
        assert again.kept("power_w") == (kept[3],)
        assert again.kept("arrivals") == ()


def test_the_same_moment_again_replaces_it(history):
    history.keep([ONE])
    history.keep([replace(ONE, model="median", band=Band(0.0, 1.0, 2.0))])
    assert [one.model for one in history.kept()] == ["median"]


def test_when_a_series_was_last_kept_is_told_by_horizon(history):
    assert dict(history.last_kept(DEMAND, 0)) == {}
    later, other = replace(ONE, made_at_s=2000), replace(ONE, horizon_s=60, series="b")
    history.keep([ONE, later, other, replace(ONE, subject=POWER)])
    assert dict(history.last_kept(DEMAND, 1000)) == {("a100", 600): 2000, ("b", 60): 1000}
    assert dict(history.last_kept(DEMAND, 1001)) == {("a100", 600): 2000}


def test_pruning_takes_them_too(history):
    history.keep([ONE, replace(ONE, made_at_s=2000), replace(ONE, series="gone")])
    assert history.prune(1500) == 0
    assert [(one.series, one.made_at_s) for one in history.kept()] == [("a100", 2000)]
    assert history._database.rows("SELECT name FROM forecast_series") == [("a100",)]


def test_what_failed_leaves_nothing_behind(history):
    with pytest.raises(sqlite3.IntegrityError):
        history.keep([ONE, replace(ONE, series="b", band=Band(1.0, None, 2.0))])
    assert history.kept() == ()
    assert history._database.rows("SELECT * FROM forecast_series") == []


def test_names_are_data(history):
    odd = replace(ONE, series="x'; DROP TABLE forecast; --", model="\x1b[31m")
    history.keep([odd])
    assert history.kept() == (odd,)


def test_the_first_release_is_upgraded_with_its_samples(paths, earlier_history):
    with earlier_history(1) as connection, connection:
        connection.execute("INSERT INTO series VALUES (1, 'device', 'n1', 'GPU-1')")
        connection.execute("INSERT INTO sample (series, at_s, power_w) VALUES (1, 1000, 301250)")
    with closing(SqliteHistory(paths)) as history:
        history.keep([ONE])
        assert history.kept() == (ONE,)
        (series,) = history.read(METRICS["power_w"], 0, 2000)
        assert series.points == ((1000.0, 301.25),)


def test_a_newer_file_is_refused(paths):
    SqliteHistory(paths).close()
    with closing(sqlite3.connect(paths.history_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(NewerStateError, match="up to"):
        SqliteHistory(paths)


def test_a_damaged_file_says_what_is_lost(paths):
    with closing(SqliteHistory(paths)) as history:
        history.append([Sample(SeriesKey(SeriesKind.NODE, "n1", ""), 10, {})])
    paths.history_db.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    with pytest.raises(StateError, match="damaged") as caught:
        SqliteHistory(paths)
    assert "only samples and past forecasts" in caught.value.hint
