"""Files of the state folder: whole or not there, and after a power cut what was told to be there."""

import errno
import os

import pytest

from gpualloc.node.state import read_json, write_json


@pytest.fixture
def synced(monkeypatch):
    """What is waited for on the disk, by path, in order; each with the names in the folder then."""
    seen = []
    sync = os.fsync

    def fsync(fd):
        path = os.readlink(f"/proc/self/fd/{fd}")
        folder = path if os.path.isdir(path) else os.path.dirname(path)
        seen.append((path, sorted(os.listdir(folder))))
        sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen


def test_the_file_and_then_its_folder_are_on_the_disk(tmp_path, synced):
    path = tmp_path / "claim.json"
    write_json(str(path), {"a": 1})
    temporary = f"claim.json.{os.getpid()}.tmp"
    assert synced == [(str(tmp_path / temporary), [temporary]), (str(tmp_path), ["claim.json"])]
    assert read_json(str(path)) == {"a": 1}


def test_what_need_not_last_waits_for_nothing(tmp_path, synced):
    write_json(str(tmp_path / "seen.json"), {}, durable=False)
    assert synced == []
    assert read_json(str(tmp_path / "seen.json")) == {}


def test_a_file_without_a_folder_lies_here(tmp_path, synced, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json("here.json", {})
    assert synced[-1] == (str(tmp_path), ["here.json"])


@pytest.mark.parametrize(("code", "told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_only_a_disk_that_fails_is_an_error(tmp_path, monkeypatch, code, told):
    sync = os.fsync

    def fsync(fd):
        if os.path.isdir(f"/proc/self/fd/{fd}"):
            raise OSError(code, os.strerror(code))
        sync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    before = set(os.listdir("/proc/self/fd"))
    if told:
        with pytest.raises(OSError, match=os.strerror(code)):
            write_json(str(tmp_path / "a.json"), {"a": 1})
    else:
        write_json(str(tmp_path / "a.json"), {"a": 1})
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 1  # the listing itself
    assert read_json(str(tmp_path / "a.json")) == {"a": 1}
