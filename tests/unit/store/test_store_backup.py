"""A backup is one moment of both databases, and nothing but a backup is put in their place."""

import io
import json
import os
import sqlite3
import tarfile
import threading
from contextlib import closing

import pytest

from gpualloc.errors import BrokenInputError, GpuallocError, LockedError, NewerStateError, UsageError
from gpualloc.model.sample import METRICS, Sample, SeriesKey, SeriesKind
from gpualloc.store.backup import FENCE_LEAP, MANIFEST
from gpualloc.store.history import SqliteHistory
from gpualloc.store.keeping import StateFiles
from gpualloc.store.lock import exclusive_lock
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

GPU = SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1")
POWER = METRICS["power_w"]


def silent(*_):
    """Nobody watches."""


@pytest.fixture
def filled(paths, make_workload, make_entry):
    """A state with a workload and a sample."""
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        journal.submit(make_workload(), make_entry())
        history.append([Sample(GPU, 10, {"power_w": 1.0})])
    return StateFiles(paths, simulated=False)


@pytest.fixture
def other(tmp_path):
    return StatePaths(tmp_path / "other")


def content(paths):
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        names = [workload.name for workload in journal.workloads()]
        return names, [series.points for series in history.read(POWER, 0, 1e9)]


def put_back(paths, file, *, replace=False, simulated=False):
    return StateFiles(paths, simulated=simulated).restore(file, replace=replace, wait_s=0.0, tell=silent)


def test_a_backup_is_put_in_another_place(filled, other, tmp_path):
    file, told = tmp_path / "b.tar", []
    made = filled.back_up(file, lambda *what: told.append(what))
    assert set(made.files) == {"state.db", "history.db"}
    assert {name for name, *_ in told} == set(made.files)
    assert file.stat().st_mode & 0o777 == 0o600
    assert put_back(other, file) == made
    assert content(other) == (["name 1"], [((10.0, 1.0),)])
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []
    assert [path.name for path in other.root.iterdir() if path.name.startswith(".")] == []


def test_runs_after_it_are_not_taken_for_older_ones(filled, other, tmp_path, make_plan):
    filled.back_up(tmp_path / "b.tar", silent)
    put_back(other, tmp_path / "b.tar")
    with closing(SqliteJournal(other)) as journal, journal.write("apply") as writer:
        assert writer.open_run("r1", make_plan(), "ann", 1.0).fence == FENCE_LEAP + 1
        assert journal.verify_audit() is None


def test_a_state_that_is_there_is_replaced_only_by_word(filled, paths, tmp_path):
    file = tmp_path / "b.tar"
    filled.back_up(file, silent)
    with closing(SqliteHistory(paths)) as history:
        history.append([Sample(GPU, 20, {"power_w": 2.0})])
    with pytest.raises(UsageError, match="would replace"):
        put_back(paths, file)
    assert content(paths)[1] == [((10.0, 1.0), (20.0, 2.0))]
    put_back(paths, file, replace=True)
    assert content(paths)[1] == [((10.0, 1.0),)]


def test_what_is_written_meanwhile_goes_on(filled, paths, other, tmp_path):
    begun, stop, failures = threading.Event(), threading.Event(), []

    def sample():
        try:
            with closing(SqliteHistory(paths)) as history:
                at_s = 10
                while not stop.is_set() or at_s < 200:
                    at_s += 10
                    history.append([Sample(GPU, at_s, {"power_w": at_s / 10})])
                    begun.set()
        except BaseException as error:
            failures.append(error)
            raise

    sampler = threading.Thread(target=sample)
    sampler.start()
    assert begun.wait(60)
    for number in range(5):
        filled.back_up(tmp_path / f"b{number}.tar", silent)
    stop.set()
    sampler.join()
    assert failures == []
    put_back(other, tmp_path / "b4.tar")
    ((points,),) = [content(other)[1]]
    assert points == tuple((10.0 * (number + 1), float(number + 1)) for number in range(len(points)))
    assert len(points) > 1


@pytest.mark.parametrize("lock", ["lock", "watch_lock", "sample_lock"])
def test_nothing_else_may_run_on_the_state(filled, paths, tmp_path, lock):
    filled.back_up(tmp_path / "b.tar", silent)
    with exclusive_lock(getattr(paths, lock), "test", 0.0), pytest.raises(LockedError):
        put_back(paths, tmp_path / "b.tar", replace=True)


def test_a_database_that_is_open_elsewhere_is_not_replaced(filled, paths, tmp_path):
    filled.back_up(tmp_path / "b.tar", silent)
    with closing(SqliteHistory(paths)) as history:
        history.append([Sample(GPU, 20, {"power_w": 2.0})])
        with pytest.raises(LockedError, match="in use"):
            put_back(paths, tmp_path / "b.tar", replace=True)
        history.append([Sample(GPU, 30, {"power_w": 3.0})])
    assert content(paths)[1] == [((10.0, 1.0), (20.0, 2.0), (30.0, 3.0))]


def test_a_damaged_state_is_what_a_backup_is_for(filled, paths, tmp_path):
    filled.back_up(tmp_path / "b.tar", silent)
    paths.history_db.write_bytes(b"\xff" * 4096)
    put_back(paths, tmp_path / "b.tar", replace=True)
    assert content(paths) == (["name 1"], [((10.0, 1.0),)])


def test_what_is_simulated_never_becomes_real(filled, paths, other, tmp_path):
    StateFiles(paths, simulated=True).back_up(tmp_path / "s.tar", silent)
    filled.back_up(tmp_path / "r.tar", silent)
    with pytest.raises(UsageError, match="simulated"):
        put_back(other, tmp_path / "s.tar")
    with pytest.raises(UsageError, match="real"):
        put_back(other, tmp_path / "r.tar", simulated=True)
    assert not other.state_db.exists()


def test_there_must_be_something_to_back_up(other, tmp_path):
    with pytest.raises(UsageError, match="nothing to back up"):
        StateFiles(other, simulated=False).back_up(tmp_path / "b.tar", silent)


def test_a_backup_that_cannot_be_written_leaves_nothing(filled, tmp_path):
    with pytest.raises(GpuallocError, match="cannot be written"):
        filled.back_up(tmp_path / "missing" / "b.tar", silent)


def tar_of(path, **files):
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def manifest(**changes):
    told = {"format": 1, "made_at_s": 1.0, "gpualloc": "1", "simulated": False, "files": {"history.db": 4}} | changes
    return {MANIFEST.replace(".", "__"): json.dumps(told).encode()}


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b"hello"),
        lambda path: path.write_bytes(b""),
        lambda path: tar_of(path, history__db=b"1234"),
        lambda path: tar_of(path, **manifest()),
        lambda path: tar_of(path, **manifest(), history__db=b"12345"),
        lambda path: tar_of(path, **manifest(), history__db=b"1234"),
        lambda path: tar_of(path, **manifest(files={"../../etc/passwd": 4})),
        lambda path: tar_of(path, **manifest(files={"history.db": "x"})),
        lambda path: tar_of(path, **manifest(files=[])),
        lambda path: tar_of(path, **manifest(format=2)),
    ],
)
def test_what_is_no_backup_changes_nothing(filled, paths, tmp_path, make):
    file = tmp_path / "b.tar"
    make(file)
    before = content(paths)
    with pytest.raises(BrokenInputError):
        put_back(paths, file, replace=True)
    assert content(paths) == before
    assert [path.name for path in paths.root.iterdir() if path.name.startswith(".")] == []


def test_a_link_is_not_followed(filled, paths, tmp_path):
    file = tmp_path / "b.tar"
    with tarfile.open(file, "w") as archive:
        ((name, data),) = manifest(files={"history.db": 0}).items()
        member = tarfile.TarInfo(name.replace("__", "."))
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("history.db")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(BrokenInputError, match="not what was put in"):
        put_back(paths, file, replace=True)


def test_a_cut_backup_changes_nothing(filled, paths, tmp_path):
    file = tmp_path / "b.tar"
    filled.back_up(file, silent)
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(BrokenInputError):
        put_back(paths, file, replace=True)
    assert content(paths) == (["name 1"], [((10.0, 1.0),)])


def test_the_backup_of_a_newer_gpualloc_is_refused(filled, paths, other, tmp_path):
    with closing(sqlite3.connect(paths.history_db)) as connection:
        connection.execute("PRAGMA user_version = 99")
    filled.back_up(tmp_path / "b.tar", silent)
    with pytest.raises(NewerStateError, match="99"):
        put_back(other, tmp_path / "b.tar")


def test_a_missing_file_is_said_to_be_missing(other, tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        put_back(other, tmp_path / "b.tar")
