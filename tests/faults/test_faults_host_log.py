"""A kernel log that floods, is overwritten, or may not be read."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpualloc.node import kernel_log
from gpualloc.node.kernel_log import KernelLog

XID = "6,1,%d,-;NVRM: Xid (PCI:0000:3b:00): %d, pid=1, GPU has fallen off the bus.\n"
OTHER = "6,1,%d,-;usb 1-1: new high-speed USB device number 12 using xhci_hcd, one of a million\n"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """Each look reads to the end, however busy the machine is."""
    monkeypatch.setattr(kernel_log, "BUDGET_S", 600.0)


def look_to_the_end(log):
    """Every look until the end is reached: how many there were, and the messages of the last."""
    for looks in range(1, 10_000):
        told = log.look()
        assert len(told["messages"]) <= 256
        if told["reason"] is None:
            return looks, told["messages"]
        assert "not read to its end" in told["reason"]
    raise AssertionError("the log has no end")


def test_a_million_lines_of_others_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_log, "BUDGET_S", 0.1)
    file = tmp_path / "kmsg"
    with file.open("w") as opened:
        opened.write(XID % (0, 48))
        opened.writelines(OTHER % seq for seq in range(1, 1_000_000))
        opened.write(XID % (1_000_000, 79))
    log = KernelLog(frozenset, str(file))
    _, messages = look_to_the_end(log)
    assert [(message["seq"], message["code"]) for message in messages] == [(0, 48), (1_000_000, 79)]


def test_a_flood_of_messages_is_read_in_pieces_and_bounded(tmp_path, monkeypatch):
    # Nothing reads a hundred thousand lines in this time, so that one look cannot be all.
    monkeypatch.setattr(kernel_log, "BUDGET_S", 0.002)
    file = tmp_path / "kmsg"
    with file.open("w") as opened:
        opened.writelines(XID % (seq, 13) for seq in range(100_000))
    log = KernelLog(frozenset, str(file))
    looks, messages = look_to_the_end(log)
    assert looks > 1
    assert [message["seq"] for message in messages] == list(range(100_000 - kernel_log.CODED, 100_000))


def test_a_log_without_end_holds_up_no_look(monkeypatch):
    """An endless file that is no log at all: /dev/zero has no line in it."""
    monkeypatch.setattr(kernel_log, "BUDGET_S", 0.1)
    log = KernelLog(frozenset, "/dev/zero")
    told = log.look()
    assert told["messages"] == []
    assert "not read to its end" in told["reason"]


def test_what_was_overwritten_before_it_was_read_is_passed_over(tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    file.write_text(XID % (1, 79))
    log = KernelLog(frozenset, str(file))
    real, told = os.read, []

    def read(fd, size):
        if not told:
            told.append("overwritten")
            raise OSError(errno.EPIPE, "Broken pipe")
        return real(fd, size)

    monkeypatch.setattr(os, "read", read)
    look = log.look()
    assert look["reason"] is None
    assert [message["seq"] for message in look["messages"]] == [1]


def test_a_log_that_fails_is_opened_again_and_what_was_seen_is_kept(tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    file.write_text(XID % (1, 79))
    log = KernelLog(frozenset, str(file))
    log.look()
    real = os.read
    with monkeypatch.context() as broken:
        broken.setattr(os, "read", lambda fd, size: real(-1, size))
        told = log.look()
        assert "cannot be read: Bad file descriptor" in told["reason"]
        assert len(told["messages"]) == 1
    told = log.look()
    assert told["reason"] is None
    assert [message["seq"] for message in told["messages"]] == [1]


def test_a_log_that_is_a_folder_or_nothing(tmp_path):
    assert "Is a directory" in KernelLog(frozenset, str(tmp_path)).look()["reason"]
    assert "No such file" in KernelLog(frozenset, str(tmp_path / "kmsg")).look()["reason"]


UNPRIVILEGED = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
from gpualloc.node.kernel_log import of_this_host
told = of_this_host(frozenset).look()
assert told["messages"] == [], told
print(told["reason"])
"""


def _is_restricted():
    setting = Path("/proc/sys/kernel/dmesg_restrict")
    return setting.exists() and setting.read_text().strip() == "1" and Path("/dev/kmsg").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not _is_restricted(), reason="needs root, and a log that is for root only")
def test_an_account_that_may_not_read_the_log_is_told_what_to_do():
    # Everything is imported before the rights are given up: the code may lie where only root looks.
    script = "import gpualloc.node.kernel_log, gpualloc.node.kernel_journal\n" + UNPRIVILEGED
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "may not be read by this account" in told.stdout
    assert "kernel.dmesg_restrict=0" in told.stdout
