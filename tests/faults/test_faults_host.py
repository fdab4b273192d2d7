"""What may go wrong below the readings of a host: processes that come and go, clocks that step, boots."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from gpualloc.adapters.decode_processes import _process
from gpualloc.adapters.fields import Fields
from gpualloc.node import kernel_log, ports, process_rows, processes
from gpualloc.node.commands import Commands
from gpualloc.node.epoch import Epoch
from gpualloc.node.host import Host
from gpualloc.node.kernel_log import KernelLog
from gpualloc.node.machine import LocalMachine
from gpualloc.node.process_rows import ProcessRows

XID = "6,1,%d,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n"


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """What is read of a new process is waited for, and a log read to its end, however busy the machine is."""
    monkeypatch.setattr(process_rows, "_WITHIN_S", 600.0)
    monkeypatch.setattr(kernel_log, "BUDGET_S", 600.0)


class DriverRows:
    """A driver that tells these processes of one GPU, and of nothing else."""

    def __init__(self, *told):
        self.told = told

    def ask(self, what, row):
        return [{"uuid": "GPU-1", "processes": list(self.told)}]


class NoDriver:
    """A driver that must not be asked, since it would not answer."""

    def __getattr__(self, name):
        raise AssertionError("asked for " + name)


@contextmanager
def sleeping():
    child = subprocess.Popen(["sleep", "1000"])
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def step_clock(monkeypatch, seconds):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


def let_ticks_pass():
    until_s = time.monotonic() + 0.12
    while time.monotonic() < until_s:
        pass


# ---- processes


def test_a_process_that_goes_while_it_is_read_tells_nothing():
    with sleeping() as child:

        def read(pid):
            child.kill()
            child.wait()
            return "somebody", "sleep 1000", None

        rows = ProcessRows(commands=Commands(read))
        told = rows.look({child.pid, os.getpid()}, {})
    assert set(told[child.pid].values()) == {child.pid, None}
    assert told[os.getpid()]["started_at_s"] is not None


def test_processes_that_come_and_go_all_the_time_break_no_look(tmp_path):
    over, pids = threading.Event(), set()

    def come_and_go():
        while not over.is_set():
            child = subprocess.Popen(["true"])
            pids.add(child.pid)
            child.wait()

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        rows = ProcessRows()
        for _ in range(200):
            for row in rows.look(set(pids), {}).values():
                assert (row["user"] is None) == (row["parent"] is None) == (row["started_at_s"] is None)
    finally:
        over.set()
        thread.join()


REUSED = """
import os, subprocess, sys, time
from gpualloc.node import kernel_log, process_rows, processes
from gpualloc.node.process_rows import ProcessRows

rows = ProcessRows(of_host=True)
first = subprocess.Popen(["sleep", "1000"])
before = rows.look({first.pid}, {})[first.pid]
ticks = processes.stat(first.pid).start_ticks
while rows.look({first.pid}, {})[first.pid]["cpu_utilization_ratio"] is None:
    time.sleep(0.01)
first.kill(); first.wait()
with open("/proc/sys/kernel/ns_last_pid", "w") as file:
    file.write(str(first.pid - 1))
second = subprocess.Popen(["sleep", "2000"])
assert second.pid == first.pid, (second.pid, first.pid)
assert not processes.is_same(second.pid, ticks)
after = rows.look({second.pid}, {})[second.pid]
second.kill(); second.wait()
assert (before["command"], after["command"]) == ("sleep 1000", "sleep 2000"), (before, after)
assert after["started_at_s"] > before["started_at_s"]
assert after["cpu_utilization_ratio"] is None
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to make a pid namespace")
def test_a_reused_pid_is_another_process():
    subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", REUSED], check=True, timeout=60)


def test_a_process_that_is_younger_than_the_list_of_the_driver_is_not_meant(monkeypatch):
    told_s = time.clock_gettime(time.CLOCK_BOOTTIME) - 60
    monkeypatch.setattr("gpualloc.node.process_rows.since_boot_s", lambda: told_s)
    with sleeping() as child:
        row = ProcessRows().look({child.pid}, {})[child.pid]
    assert set(row.values()) == {child.pid, None}


@pytest.mark.parametrize("more", [(), (0.5,), (None,)])
def test_a_pid_of_another_namespace_is_told_without_an_owner(tmp_path, more):
    gone = (1 << 22) - 1
    machine = LocalMachine(str(tmp_path), DriverRows((gone, None, 300, *more), (os.getpid(), "MIG-1", None, *more)))
    stranger, own = machine.processes()["processes"]
    assert (stranger["pid"], stranger["gpu_memory_used_mib"], stranger["device"]) == (gone, 300, "GPU-1")
    assert (stranger["user"], stranger["command"], stranger["started_at_s"], stranger["workload"]) == (None,) * 4
    assert (own["user"], own["mig_instance"]) == (processes.user(os.getpid()), "MIG-1")
    decoded = _process(Fields(dict(own, mig_instance="MIG-00000000-0000-0000-0000-000000000001"), "processes"))
    assert decoded.parent == os.getppid()


# ---- clocks


def test_a_clock_that_steps_back_moves_every_start_alike(monkeypatch):
    with sleeping() as child:
        rows = ProcessRows()
        pids = {child.pid, os.getpid()}

        def starts():
            return {pid: row["started_at_s"] for pid, row in rows.look(pids, {}).items()}

        before = starts()
        step_clock(monkeypatch, -3600)
        after = starts()
        assert {pid: round(before[pid] - after[pid]) for pid in pids} == dict.fromkeys(pids, 3600)
        assert after == starts()


def test_a_clock_that_is_only_slewed_moves_no_start(monkeypatch):
    moment = Epoch(time.CLOCK_MONOTONIC)
    before = moment.at_s()
    step_clock(monkeypatch, 0.02)
    assert moment.at_s() == before


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_clock_that_steps_spoils_no_rate(tmp_path, monkeypatch, seconds):
    kept = tmp_path / "host.json"
    host = Host(str(kept))
    host.sample()
    step_clock(monkeypatch, seconds)
    let_ticks_pass()
    assert 0 < host.sample()["cpu_utilization_ratio"] <= 1
    step_clock(monkeypatch, -2 * seconds)
    let_ticks_pass()
    assert 0 < Host(str(kept)).sample()["cpu_utilization_ratio"] <= 1
    assert 0 < json.loads(kept.read_text())["at_s"] <= time.monotonic()


def test_a_clock_that_steps_does_not_silence_the_log(tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    file.write_text(XID % 1_000_000)
    log = KernelLog(frozenset, str(file))
    log.look()
    step_clock(monkeypatch, -3600)
    with file.open("a") as opened:
        opened.write(XID % 2_000_000)
    told = log.look()["messages"]
    assert [message["seq"] for message in told] == [1_000_000, 2_000_000]
    assert told[1]["at_s"] == pytest.approx(time.time(), abs=30)


# ---- boots


def test_after_a_reboot_nothing_goes_on_from_before(tmp_path, monkeypatch):
    file, kept = tmp_path / "kmsg", tmp_path / "node" / "host.json"
    monkeypatch.setenv("GPUALLOC_KERNEL_LOG", str(file))
    file.write_text("".join(XID % seq for seq in range(100_000, 100_010)))
    before = LocalMachine(str(tmp_path / "node"), DriverRows())
    assert [message["seq"] for message in before.kernel()["messages"]] == list(range(100_000, 100_010))
    before.sample()

    content = json.loads(kept.read_text())
    # What is left of another boot would make a rate with what is counted in this one.
    left = {"boot_id": "of another boot", "at_s": content["at_s"] - 100, "values": dict.fromkeys(content["values"], 0)}
    kept.write_text(json.dumps(left))
    file.write_text(XID % 1_000)
    now_s = time.monotonic()
    standing = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr("gpualloc.node.counters.time", standing)
    after = LocalMachine(str(tmp_path / "node"), DriverRows())
    assert [message["seq"] for message in after.kernel()["messages"]] == [1_000]
    load = after.sample()["host"]
    assert [name for name, value in load.items() if name.endswith("per_s") and value is not None] == []
    assert load["cpu_utilization_ratio"] is None
    assert json.loads(kept.read_text())["boot_id"] == content["boot_id"]


# ---- a driver that hangs


def test_the_log_is_told_while_the_driver_hangs(tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    file.write_text(XID % 1_000_000)
    monkeypatch.setenv("GPUALLOC_KERNEL_LOG", str(file))
    machine = LocalMachine(str(tmp_path / "node"), NoDriver())
    (message,) = machine.kernel()["messages"]
    assert (message["kind"], message["code"], message["pci_bus_id"]) == ("xid", 79, "0000:3b:00.0")


# ---- two that look


def test_a_stream_and_requests_may_look_at_once(tmp_path, monkeypatch):
    file = tmp_path / "kmsg"
    monkeypatch.setenv("GPUALLOC_KERNEL_LOG", str(file))
    file.write_text("".join(XID % seq for seq in range(100)))
    monkeypatch.setattr(ports, "WITHIN_S", 600.0)

    def look(_number):
        load = machine.sample()["host"]
        rows = machine.processes()["processes"]
        with file.open("a") as opened:
            opened.write(XID % 200)
        seqs = [message["seq"] for message in machine.kernel()["messages"]]
        return len(load["ports"]), [row["parent"] for row in rows], seqs == sorted(set(seqs))

    with sleeping() as child:
        machine = LocalMachine(str(tmp_path / "node"), DriverRows((child.pid, None, 1), (os.getpid(), None, 1)))
        one = look(0)
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(look, range(120))) == [one] * 120
    assert one[1:] == ([os.getpid(), os.getppid()], True)
    assert len(machine.kernel()["messages"]) == kernel_log.CODED
