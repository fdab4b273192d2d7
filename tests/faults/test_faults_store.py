"""The history while it is packed: killed at any moment, read and written by others, without room, with damage."""

import collections
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from gpualloc.errors import StateError
from gpualloc.model.foresight import Steps
from gpualloc.model.sample import METRICS, Level, Sample, SeriesKey, SeriesKind
from gpualloc.store.database import DamagedError
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_upkeep import finish
from gpualloc.store.paths import StatePaths

ROUNDS = 8
SERIES = 300
"""Three blocks."""
HOURS = 2
USED = METRICS["gpu_memory_used_mib"]
FULL = "the disk is full"

PACKER = """
import sys
from pathlib import Path
from gpualloc.store.history import SqliteHistory
from gpualloc.store.history_upkeep import do, waiting_work
from gpualloc.store.paths import StatePaths
history = SqliteHistory(StatePaths(Path(sys.argv[1])))
print("begun", flush=True)
while work := waiting_work(history._database, 1e12):
    for step in work:
        do(history._database, step)
print("done", flush=True)
"""

SAMPLER = """
import sys
from pathlib import Path
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
history = SqliteHistory(StatePaths(Path(sys.argv[1])))
keys = [SeriesKey(SeriesKind.DEVICE, "n1", f"GPU-{number}") for number in range(5)]
for at_s in range(0, 4 * 3600, 30):
    history.append([Sample(key, at_s, {"gpu_memory_used_mib": at_s // 30}) for key in keys])
"""


@pytest.fixture
def paths(tmp_path):
    return StatePaths(tmp_path / "state")


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def key(number):
    return SeriesKey(SeriesKind.DEVICE, "n1", f"GPU-{number:03d}")


def value(number, at_s):
    """What series `number` holds then; now and then it is unknown."""
    return None if (number + at_s // 10) % 11 == 0 else (number * 31 + at_s) % 997


def append_hours(history):
    """Ticks of two hours, none of them packed."""
    for at_s in range(0, HOURS * 3600, 120):
        history.append([Sample(key(number), at_s, {USED.name: value(number, at_s)}) for number in range(SERIES)])


def check_everything(history):
    """Each sample is there once, and the rollups are those of the samples."""
    times = range(0, HOURS * 3600, 120)
    found = list(history.read(USED, 0, 1e9))
    assert len(found) == SERIES
    for number, series in enumerate(found):
        assert series.points == tuple((float(at_s), value(number, at_s)) for at_s in times)
    for number, one in enumerate(history.rollups(USED, Level.HOUR, 0, HOURS * 3600)):
        for hour in range(HOURS):
            inside = [value(number, at_s) for at_s in times if at_s // 3600 == hour]
            known = [one for one in inside if one is not None]
            assert (one.known[hour], one.unknown[hour]) == (len(known), len(inside) - len(known))
            assert (one.low[hour], one.high[hour]) == (min(known), max(known))
            assert one.mean[hour] == pytest.approx(sum(known) / len(known))


def test_a_killed_packer_loses_and_doubles_nothing(paths, monkeypatch):
    with closing(SqliteHistory(paths)) as history:
        monkeypatch.setattr("gpualloc.store.history_upkeep.keep_up", lambda *_: None)
        append_hours(history)
    chance = random.Random(20261121)
    for _ in range(ROUNDS):
        with subprocess.Popen([sys.executable, "-c", PACKER, paths.root], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "begun\n"
            select.select([], [], [], chance.uniform(0.0, 0.25))
            process.kill()
        assert process.returncode in (-signal.SIGKILL, 0)
        with closing(sqlite3.connect(paths.history_db)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        with closing(SqliteHistory(paths)) as history:
            check_everything(history)
    subprocess.run([sys.executable, "-c", PACKER, paths.root], check=True, stdout=subprocess.DEVNULL)
    with closing(SqliteHistory(paths)) as history:
        assert history._database.rows("SELECT count(*) FROM tick") == [(0,)]
        check_everything(history)


def test_readers_see_everything_while_it_is_packed(paths, monkeypatch):
    with closing(SqliteHistory(paths)) as history:
        monkeypatch.setattr("gpualloc.store.history_upkeep.keep_up", lambda *_: None)
        append_hours(history)
    with closing(SqliteHistory(paths)) as reader:
        with subprocess.Popen([sys.executable, "-c", PACKER, paths.root], stdout=subprocess.PIPE, text=True) as process:
            while not select.select([process.stdout], [], [], 0)[0] or process.stdout.readline() != "done\n":
                check_everything(reader)
        assert process.wait(60) == 0
        check_everything(reader)


def test_threads_read_and_write_while_it_is_packed(history):
    failures = []

    def read():
        try:
            for _ in range(20):
                for series in history.read(USED, 0, 1e9):
                    assert [known for _, known in series.points] == list(range(len(series.points)))
                history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 24))
        except BaseException as error:
            failures.append(error)
            raise

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for tick in range(240):
        history.append([Sample(key(number), tick * 60, {USED.name: tick}) for number in range(4)])
    for thread in readers:
        thread.join()
    assert failures == []


def test_two_samplers_of_the_same_ticks_do_no_harm(paths):
    processes = [subprocess.Popen([sys.executable, "-c", SAMPLER, paths.root]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    with closing(SqliteHistory(paths)) as history:
        finish(history._database, 1e12)
        for series in history.read(USED, 0, 1e9):
            assert series.points == tuple((float(at_s), at_s // 30) for at_s in range(0, 4 * 3600, 30))
        for one in history.rollups(USED, Level.HOUR, 0, 4 * 3600):
            assert list(one.known) == [120] * 4


@pytest.fixture
def small(tmp_path):
    """A state on a file system of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "gpualloc-test", folder], check=True)
    yield StatePaths(folder)
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_loses_no_tick_that_was_stored(small):
    stored, chance = [], random.Random(1)

    def sample(at_s):
        known = [chance.randrange(1 << 40) for _ in range(40)]
        history.append([Sample(key(number), at_s, {"energy_j": one}) for number, one in enumerate(known)])
        stored.append((at_s, known))

    with closing(SqliteHistory(small)) as history:
        with pytest.raises(StateError, match=FULL):
            collections.deque(map(sample, range(0, 100 * 3600, 60)), maxlen=0)
        assert len(stored) > 100

        def check():
            for number, series in enumerate(history.read(METRICS["energy_j"], 0, 1e9)):
                assert series.points == tuple((float(at_s), float(known[number])) for at_s, known in stored)

        check()
        cut_s = stored[len(stored) // 2][0]
        subprocess.run(["mount", "-o", "remount,size=6m", small.root], check=True)
        history.prune(cut_s)
        history.append([Sample(key(0), 400 * 3600, {"energy_j": 1})])
        finish(history._database, 1e12)
        assert {series.points[0][0] for series in history.read(METRICS["energy_j"], 0, 1e9)} == {float(cut_s)}
    with closing(sqlite3.connect(small.history_db)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_damage_is_told_and_stops_nothing_else(history):
    for at_s in range(0, 3600, 60):
        history.append([Sample(key(0), at_s, {USED.name: at_s, "power_w": 1})])
    finish(history._database, 3600)
    with history._database.transaction() as connection:
        number = "(SELECT id FROM metric WHERE name = 'gpu_memory_used_mib')"
        connection.execute(f"UPDATE raw SET data = x'00ff' WHERE chunk = 1 AND metric = {number}")
    with pytest.raises(DamagedError, match=r"history.db is damaged") as caught:
        list(history.read(USED, 0, 1e9))
    assert "delete it" in caught.value.hint
    assert len(next(iter(history.read(METRICS["power_w"], 0, 1e9))).points) == 60
    for at_s in range(910, 40_000, 60):
        history.append([Sample(key(0), at_s, {"power_w": 2})])
    ((waiting,),) = history._database.rows("SELECT count(*) FROM tick")
    assert waiting < 60
    history.prune(20_000)
    assert len(next(iter(history.read(USED, 0, 1e9))).points) == len(range(20_000 // 60 * 60 + 70, 40_000, 60))
