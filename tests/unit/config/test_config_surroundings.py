"""The look round this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpualloc.config.surroundings import (
    controllers_here,
    file_system_of,
    folder_problem,
    pynvml_distributions,
    ssh_hosts,
)


def test_hosts_of_an_ssh_configuration(tmp_path):
    file = tmp_path / "config"
    file.write_bytes(
        b'# Host commented\nHost gpu01 gpu02\n  HostName 10.0.0.1\nhost=login\nHost *.org !no *\nHost "quoted"\n'
        b"Host gpu01\nHost -oProxy\xff\nHostKeyAlias x\n"
    )
    assert ssh_hosts(file) == ("gpu01", "gpu02", "login", "quoted")
    assert ssh_hosts(tmp_path / "none") == ()


def test_controllers_by_the_files_they_leave(tmp_path):
    assert controllers_here(tmp_path) == ()
    (tmp_path / "var/lib/kubelet").mkdir(parents=True)
    assert controllers_here(tmp_path) == ("Kubernetes",)


MOUNTS = """\
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:50 / /home rw,nosuid shared:1 master:2 - nfs4 server:/home rw
31 30 8:2 / /home/ann/my\\040disk rw - xfs /dev/sdb1 rw
32 22 0:9 / /home rw - autofs old rw
33 32 0:50 / /home rw - nfs4 server:/home rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/var/x", "ext4"), ("/home/ann/state", "nfs4"), ("/home/ann/my disk/state", "xfs"), ("/homes", "ext4")],
)
def test_the_file_system_is_that_of_the_last_mount_above(tmp_path, path, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system_of(Path(path), mounts) == kind


def test_an_unknown_file_system(tmp_path):
    assert file_system_of(tmp_path, tmp_path / "none") is None
    assert file_system_of(tmp_path) is not None


def test_a_folder_that_can_be_written(tmp_path):
    assert folder_problem(tmp_path) is None
    assert folder_problem(tmp_path / "not" / "yet") is None
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot(tmp_path):
    (tmp_path / "file").write_text("")
    assert "is not a folder" in (folder_problem(tmp_path / "file" / "state") or "")
    assert "cannot be written" in (folder_problem(Path("/proc/state")) or "")


def test_the_right_pynvml_is_installed():
    assert "nvidia-ml-py" in pynvml_distributions()
