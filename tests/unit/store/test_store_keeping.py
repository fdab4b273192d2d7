"""The size of what is kept, and that it becomes small again."""

import random
import sqlite3
from contextlib import closing

import pytest

from gpualloc.model.sample import METRICS, Level, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.keeping import StateFiles

KEYS = [SeriesKey(SeriesKind.DEVICE, "n1", f"GPU-{number}") for number in range(40)]
DAY_S = 86_400


def silent(*_):
    """Nobody watches."""


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


@pytest.fixture
def files(paths):
    return StateFiles(paths, simulated=False)


def append_day(history, until_s=DAY_S):
    chance = random.Random(1)
    for at_s in range(0, until_s, 600):
        values = [{"energy_j": chance.randrange(1 << 40)} for _ in KEYS]
        history.append([Sample(key, at_s, its) for key, its in zip(KEYS, values, strict=True)])


def test_an_empty_state_has_figures(files):
    figures = files.figures()
    assert (figures.ticks, figures.due, figures.oldest_tick_s) == (0, 0, None)
    assert [(one.level, one.chunks, one.oldest_s) for one in figures.levels] == [(level, 0, None) for level in Level]


def test_the_figures_are_those_of_the_file(files, history, paths):
    append_day(history)
    figures = files.figures()
    assert figures.series[SeriesKind.DEVICE] == 40
    assert (figures.history_bytes, figures.journal_bytes) == (
        paths.history_db.stat().st_size,
        paths.history_db.with_name("history.db-wal").stat().st_size,
    )
    raw, minute, hour = figures.levels
    assert (raw.oldest_s, minute.oldest_s, hour.oldest_s) == (0, 0, 0)
    assert raw.newest_s <= DAY_S
    assert figures.ticks > 0
    assert figures.oldest_tick_s >= raw.newest_s - 900
    assert raw.bytes == history._database.rows("SELECT sum(length(data)) FROM raw")[0][0]
    # Five random bytes a sample, 144 samples a day.
    assert 5 * 144 <= raw.bytes_per_device_day <= 5 * 144 * 2
    assert hour.bytes_per_device_day > 0


def test_compacting_packs_all_that_is_over_and_gives_room_back(files, history, paths):
    append_day(history)
    history.prune(DAY_S // 2, minutes_before_s=DAY_S // 2, hours_before_s=DAY_S // 2)
    told = []
    done = files.compact(DAY_S, lambda *what: told.append(what))
    assert done.whole
    assert done.bytes_after < done.bytes_before
    assert done.bytes_after == paths.history_db.stat().st_size
    figures = files.figures()
    assert (figures.ticks, figures.due, figures.free_bytes, figures.journal_bytes) == (0, 0, 0, 0)
    assert {what for what, *_ in told} == {"chunks", "free pages"}
    assert files.compact(DAY_S, silent).steps == 0


def test_a_reader_holds_the_log_and_nothing_else(files, history, paths):
    append_day(history, 7200)
    with closing(sqlite3.connect(paths.history_db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        (count,) = reader.execute("SELECT count(*) FROM tick").fetchone()
        done = files.compact(7200, silent)
        assert not done.whole
        assert reader.execute("SELECT count(*) FROM tick").fetchone() == (count,)
    assert files.compact(7200, silent).whole


def test_a_file_of_an_earlier_release_can_shrink(paths, earlier_history):
    with earlier_history(3) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
        for number in range(3):
            connection.execute("INSERT INTO series VALUES (?, 'device', 'n1', ?)", (number + 1, f"GPU-{number}"))
            connection.executemany(
                "INSERT INTO sample (series, at_s, power_w, energy_j) VALUES (?, ?, ?, ?)",
                [(number + 1, at_s, at_s * 7919 % 700_000 or None, at_s) for at_s in range(0, DAY_S, 10)],
            )
        connection.commit()
        before = connection.execute("PRAGMA page_count").fetchone()[0]
    with closing(SqliteHistory(paths)) as history:
        assert history._database.rows("PRAGMA auto_vacuum") == [(2,)]
        assert history._database.rows("PRAGMA page_count")[0][0] < before / 2
        for series in history.read(METRICS["power_w"], 0, 1e9):
            expected = ((at_s * 7919 % 700_000) / 1000 or None for at_s in range(0, DAY_S, 10))
            assert [value for _, value in series.points] == list(expected)
        assert [sum(one.known) for one in history.rollups(METRICS["energy_j"], Level.HOUR, 0, DAY_S)] == [8640] * 3
