"""The kernel log as it is read: on and on from where the look before ended, from the file or from the journal."""

import json
import os
import sys
import time

import pytest

from gpualloc.node import kernel_journal, kernel_log
from gpualloc.node.kernel_journal import EVERY_S, Journal
from gpualloc.node.kernel_log import CODED, UNCODED, KernelLog, Kmsg

XID = "NVRM: Xid (PCI:0000:3b:00): %d, pid=1, GPU has fallen off the bus."


def record(usec, text):
    return f"6,7,{usec},-;{text}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:3b:00.0\n"


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """Each look reads to the end, however busy the machine is."""
    monkeypatch.setattr(kernel_log, "BUDGET_S", 600.0)
    monkeypatch.setattr(kernel_journal, "_WITHIN_S", 600.0)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "kmsg"


@pytest.fixture
def log(file):
    return KernelLog(frozenset, str(file))


def codes(log):
    told = log.look()
    assert told["reason"] is None
    return [(message["seq"], message["code"]) for message in told["messages"]]


def add(file, *records):
    with file.open("a") as opened:
        opened.write("".join(records))


def test_each_look_reads_on_and_tells_all_that_was_seen(file, log):
    add(file, record(3, "eth0: link up"), record(4, XID % 79))
    assert codes(log) == [(4, 79)]
    add(file, record(5, XID % 79), record(6, "nothing"), record(7, "NVRM: No NVIDIA GPU found."))
    assert codes(log) == [(4, 79), (5, 79), (7, None)]
    assert codes(log) == [(4, 79), (5, 79), (7, None)]


def test_a_line_that_is_half_written_is_read_when_it_is_whole(file, log):
    whole = record(9, XID % 48)
    add(file, whole[:40])
    assert codes(log) == []
    add(file, whole[40:])
    assert codes(log) == [(9, 48)]


def test_many_lines_without_a_code_leave_the_coded_ones(file, log):
    add(file, record(0, XID % 79))
    add(file, *(record(seq, "NVRM: GPU is lost") for seq in range(1, 1000)))
    told = codes(log)
    assert told[0] == (0, 79)
    assert told[1:] == [(seq, None) for seq in range(1000 - UNCODED, 1000)]
    add(file, *(record(seq, XID % 13) for seq in range(1000, 3000)))
    assert len(codes(log)) == CODED + UNCODED == 256


def test_lines_of_one_microsecond_are_told_apart(file, log):
    add(file, record(5, XID % 79), record(5, "eth0: link up"), record(5, XID % 79), record(4, XID % 79))
    assert codes(log) == [(5, 79), (6, 79), (7, 79)]
    assert codes(KernelLog(frozenset, str(file))) == codes(log)


def test_a_message_keeps_its_time_and_follows_a_clock_that_steps(file, log, monkeypatch):
    uptime_s = time.monotonic()
    add(file, record(int((uptime_s - 30) * 1e6), XID % 79))
    before = log.look()["messages"][0]["at_s"]
    assert before == pytest.approx(time.time() - 30, abs=5)
    assert log.look()["messages"][0]["at_s"] == before
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert log.look()["messages"][0]["at_s"] == pytest.approx(before - 3600, abs=1)


def test_the_clock_of_the_log_may_drift_but_what_is_new_is_young(file, log):
    add(file, record(1, "first"))
    log.look()
    after_s = time.time()
    add(file, record(1_000_000, XID % 79), record(10**15, XID % 79))
    old, early = (message["at_s"] for message in log.look()["messages"])
    assert after_s - 1 < old <= early <= time.time() + 0.1


def test_what_a_pipe_brings_is_read_without_waiting(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    log = KernelLog(frozenset, str(pipe))
    assert codes(log) == []
    writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        assert codes(log) == []
        os.write(writer, record(1, XID % 31).encode())
        assert codes(log) == [(1, 31)]
    finally:
        os.close(writer)


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK | os.W_OK), reason="needs the right to write to the kernel log")
def test_the_real_log_gives_what_was_written_to_it():
    mark = b"gpualloc test nvidia %d \\ \xc3\xa9" % time.monotonic_ns()
    kmsg, lines = Kmsg("/dev/kmsg"), []
    assert kmsg.open()
    kmsg.read(time.monotonic() + 60, lambda line: None)
    with open("/dev/kmsg", "wb", buffering=0) as file:
        file.write(b"<6>" + mark + b"\n")
    assert kmsg.read(time.monotonic() + 60, lines.append)
    told = [kernel_log.kernel_lines.record(line) for line in lines]
    ((microseconds, _),) = [one for one in told if one is not None and one[1] == mark.decode()]
    assert microseconds / 1e6 == pytest.approx(time.monotonic(), abs=60)


JOURNALCTL = """import os, sys
with open(os.environ["JOURNAL_ARGUMENTS"], "a") as file:
    file.write(" ".join(sys.argv[1:]) + "\\n")
after = next((one.split("=", 1)[1] for one in sys.argv if one.startswith("--after-cursor=")), None)
for line in open(os.environ["JOURNAL_LINES"]):
    cursor = line.split('"__CURSOR": "')[1].split('"')[0]
    if after is None or int(cursor) > int(after):
        sys.stdout.write(line)
"""


class FakeJournal:
    """A program that answers as journalctl does: this machine has no journal to read."""

    def __init__(self, folder):
        self.program = folder / "journalctl"
        self.program.write_text(f"#!{sys.executable}\n{JOURNALCTL}")
        self.program.chmod(0o755)
        self.lines = folder / "lines"
        self.arguments = folder / "arguments"
        self.lines.write_text("")

    def add(self, cursor, message, usec=5_000_000):
        entry = {"__CURSOR": str(cursor), "_SOURCE_MONOTONIC_TIMESTAMP": str(usec), "MESSAGE": message}
        with self.lines.open("a") as file:
            file.write(json.dumps(entry) + "\n")


@pytest.fixture
def journal(tmp_path, monkeypatch):
    fake = FakeJournal(tmp_path)
    monkeypatch.setenv("JOURNAL_LINES", str(fake.lines))
    monkeypatch.setenv("JOURNAL_ARGUMENTS", str(fake.arguments))
    return fake


@pytest.fixture
def by_journal(tmp_path, journal):
    return KernelLog(frozenset, str(tmp_path / "no" / "kmsg"), Journal(str(journal.program)))


def let_journal_be_asked_again(monkeypatch):
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + EVERY_S)


def test_the_journal_is_read_where_the_log_may_not_be(journal, by_journal, monkeypatch):
    journal.add(1, "Linux version 6.1")
    journal.add(2, XID % 79, usec=7_000_000)
    journal.add(3, list((XID % 48).encode()), usec=7_000_000)
    assert codes(by_journal) == [(7_000_000, 79), (7_000_001, 48)]
    let_journal_be_asked_again(monkeypatch)
    journal.add(4, XID % 31, usec=8_000_000)
    assert [code for _, code in codes(by_journal)] == [79, 48, 31]
    first, second = journal.arguments.read_text().splitlines()
    assert first == "-k -b -q -o json --no-pager -n 4096"
    assert second == first + " --after-cursor=3"


def test_a_message_is_the_same_one_by_the_journal_and_by_the_log(file, log, journal, by_journal):
    for usec, code in ((7_000_000, 79), (7_000_000, 48), (8_000_000, 31)):
        add(file, record(usec, XID % code))
        journal.add(usec + code, XID % code, usec)
    assert codes(log) == codes(by_journal)


def test_a_log_that_may_be_read_after_all_takes_the_place_of_the_journal(tmp_path, journal):
    file = tmp_path / "kmsg"
    log = KernelLog(frozenset, str(file), Journal(str(journal.program)))
    journal.add(1, XID % 79)
    assert codes(log) == [(5_000_000, 79)]
    add(file, record(5_000_000, XID % 79), record(6_000_000, XID % 31))
    assert codes(log) == [(5_000_000, 79), (6_000_000, 31)]


def test_the_journal_is_not_asked_at_every_look(journal, by_journal):
    journal.add(1, XID % 79)
    assert codes(by_journal) == codes(by_journal)
    assert len(journal.arguments.read_text().splitlines()) == 1


def test_a_journal_that_shows_no_line_of_the_kernel_may_not_be_read(by_journal):
    told = by_journal.look()
    assert told["messages"] == []
    assert "cannot be read" in told["reason"]


def test_without_a_journal_the_reason_stands(tmp_path):
    log = KernelLog(frozenset, str(tmp_path / "kmsg"), Journal(str(tmp_path / "journalctl")))
    assert log.look()["reason"] == "%s cannot be read: No such file or directory" % (tmp_path / "kmsg")


@pytest.mark.parametrize("line", ["nvidia", '"nvidia"', '{"nvidia": ', '{"__CURSOR": 7, "MESSAGE": "nvidia"}'])
def test_garbage_from_the_journal_is_no_message(tmp_path, line):
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{line}\nEND\n")
    program.chmod(0o755)
    told = KernelLog(frozenset, str(tmp_path / "kmsg"), Journal(str(program))).look()
    assert told["messages"] == []
    assert told["reason"] is not None
