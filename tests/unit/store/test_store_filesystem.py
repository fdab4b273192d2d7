"""What a folder allows is found out before anything is written."""

import errno
import stat
import subprocess
import sys

import pytest

from gpualloc.errors import StateError
from gpualloc.store import filesystem
from gpualloc.store.filesystem import explain_os_error, make_private_folder, network_filesystem, write_obstacle


def test_local_folders_are_not_on_a_network(tmp_path):
    assert network_filesystem(tmp_path) is None
    assert network_filesystem(tmp_path / "not" / "yet") is None


def test_a_network_file_system_is_named(mounted, monkeypatch):
    folder = mounted("size=1m")
    monkeypatch.setattr(filesystem, "NETWORK_TYPES", frozenset({"tmpfs"}))
    assert network_filesystem(folder / "below") == "tmpfs"
    assert "network file system (tmpfs)" in write_obstacle(folder)


def test_a_folder_that_can_be_made_is_no_obstacle(tmp_path):
    assert write_obstacle(tmp_path / "a" / "b") is None
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_mount_is_an_obstacle(mounted):
    assert write_obstacle(mounted("ro") / "a") == "the file system is read-only"


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="file is not a folder"):
        write_obstacle(tmp_path / "file" / "state")


AS_NOBODY = """
import os, sys
from pathlib import Path
from gpualloc.errors import StateError
from gpualloc.store.filesystem import write_obstacle
os.setuid(65534)
try:
    print(write_obstacle(Path(sys.argv[1])))
except StateError as error:
    print("StateError:", error)
"""


@pytest.mark.parametrize(
    ("mode", "answer"),
    [(0o755, "inner may not be written by nobody"), (0o700, "StateError: "), (0o777, "None")],
)
def test_the_permissions_of_the_account_count(common_folder, mode, answer):
    inner = common_folder / "inner"
    inner.mkdir()
    inner.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, inner / "state"], capture_output=True, text=True, check=True
    )
    assert answer in done.stdout


def test_folders_are_made_private_and_kept_as_they_are(tmp_path):
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path / "a" / "b")
    make_private_folder(tmp_path / "a" / "b")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path, tmp_path / "a", tmp_path / "a" / "b")]
    assert modes == [0o755, 0o700, 0o700]


def test_a_folder_that_cannot_be_made_is_said(mounted):
    with pytest.raises(StateError, match="Read-only file system"):
        make_private_folder(mounted("ro") / "a")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_a_full_disk(tmp_path, number):
    assert "the disk is full" in explain_os_error(OSError(number, "x"), tmp_path).message
