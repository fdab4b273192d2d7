"""Processes that are killed in the middle of a write, and many that want the same state at once."""

import random
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from gpualloc.errors import LockedError
from gpualloc.model.sample import METRICS
from gpualloc.model.workload import WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

ROUNDS = 8
BATCH = 5
"""Workloads saved together; only whole batches may ever be seen."""
SERIES = 20
"""Series sampled together; only whole ticks may ever be seen."""

WRITER = """
import sys
from msgspec.structs import replace
from pathlib import Path
from gpualloc.model.audit import AuditEntry
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

paths = StatePaths(Path(sys.argv[1]))
first, batch = int(sys.argv[2]), int(sys.argv[3])
journal, history = SqliteJournal(paths), SqliteHistory(paths)
keys = [SeriesKey(SeriesKind.NODE, f"n{number}", "") for number in range(int(sys.argv[4]))]
request = Request(("true",), env=(("PADDING", "x" * 500),))
with journal.write("apply") as writer:
    for start in range(first, first + 1_000_000, batch):
        new = [
            Workload(f"w{number:08d}", f"name {number}", "ann", request, WorkloadState.PENDING, float(number))
            for number in range(start, start + batch)
        ]
        writer.save(new, [AuditEntry(1.0, "submit", "ann", workload.id, None) for workload in new])
        started = [replace(workload, state=WorkloadState.RUNNING, revision=2) for workload in new]
        writer.save(started, [AuditEntry(1.0, "start", "ann", workload.id, None) for workload in new])
        history.append([Sample(key, start, {"disk_used_mib": start}) for key in keys])
        print(start, flush=True)
"""

MAKER = """
import sys
from pathlib import Path
import sqlite_utils.migrations
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
print("now", flush=True)
paths = StatePaths(Path(sys.argv[1]))
SqliteJournal(paths), SqliteHistory(paths)
sys.stdin.read()
"""

CONTENDER = """
import os, sys
from pathlib import Path
from gpualloc.errors import LockedError
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal
journal = SqliteJournal(StatePaths(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
try:
    with journal.write("apply") as writer:
        writer.mark_rebalance(1.0, str(os.getpid()))
        print("working", flush=True)
        sys.stdin.read()
except LockedError as error:
    print(f"exit {error.exit_code}: {error}", flush=True)
"""


@pytest.fixture
def paths(tmp_path):
    return StatePaths(tmp_path / "state")


def line_of(process):
    """The next line a process prints; a silent one fails the test instead of hanging it."""
    readable, _, _ = select.select([process.stdout], [], [], 60)
    assert readable, "the process says nothing"
    return process.stdout.readline().strip()


def kill_while_writing(paths, first, delay_s):
    """Let a process write, and end it by SIGKILL at some moment after its first round of transactions."""
    command = [sys.executable, "-c", WRITER, paths.root, str(first), str(BATCH), str(SERIES)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert line_of(process) == str(first)
        select.select([], [], [], delay_s)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def check_sound(paths):
    """Both files pass SQLite's own checks."""
    for path in (paths.state_db, paths.history_db):
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def check_whole_transactions(paths, kills):
    """What a later command finds; returns how many workloads run."""
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        pending = len(journal.workloads([WorkloadState.PENDING]))
        running = len(journal.workloads([WorkloadState.RUNNING]))
        assert pending % BATCH == running % BATCH == 0
        assert pending <= BATCH * kills
        assert len(journal.audit()) == pending + 2 * running
        assert journal.verify_audit() is None
        ticks = [len(series.points) for series in history.read(METRICS["disk_used_mib"], 0, 1e9)]
        assert ticks == [ticks[0]] * SERIES
    return running


def test_a_killed_writer_leaves_whole_transactions(paths):
    chance = random.Random(20261121)
    running = 0
    for kills in range(1, ROUNDS + 1):
        # The lock of the process before is free, though it had no time to give it back.
        kill_while_writing(paths, kills * 1_000_000, chance.uniform(0.0, 0.05))
        before, running = running, check_whole_transactions(paths, kills)
        assert running > before
    check_sound(paths)


def test_a_process_killed_while_it_makes_the_state_leaves_one_that_works(tmp_path):
    chance = random.Random(20261121)
    command = [sys.executable, "-c", MAKER]
    for number in range(ROUNDS):
        paths = StatePaths(tmp_path / str(number))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen([*command, paths.root], text=True, **pipes) as process:
            assert line_of(process) == "now"
            select.select([], [], [], chance.uniform(0.0, 0.06))
            process.kill()
        with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)):
            assert len(journal.controller) == 32
            assert journal.verify_audit() is None
        check_sound(paths)


@pytest.fixture
def contenders(paths):
    """Ten processes that have everything loaded and wait for the word."""
    SqliteJournal(paths).close()
    command = [sys.executable, "-c", CONTENDER, paths.root]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        for _ in range(10)
    ]
    for process in processes:
        assert line_of(process) == "ready"
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def test_of_ten_applies_at_once_one_works_and_nine_are_told(paths, contenders):
    for process in contenders:
        process.stdin.write("go\n")
    # All answers arrive while the winner still holds the lock, so nobody waited for it.
    answers = {process.pid: line_of(process) for process in contenders}
    (winner,) = [process for process in contenders if answers[process.pid] == "working"]
    locked = [answer for answer in answers.values() if answer != "working"]
    assert len(locked) == 9
    assert all(answer.startswith("exit 7: the state is being changed by ") for answer in locked)
    with closing(SqliteJournal(paths)) as journal:
        assert journal.last_rebalance() == (1.0, str(winner.pid))
        with pytest.raises(LockedError, match=f"process {winner.pid} of .* \\(apply\\)"), journal.write("release"):
            pass
        winner.send_signal(signal.SIGKILL)
        winner.wait()
        with journal.write("release"):
            assert journal.last_rebalance() == (1.0, str(winner.pid))
