"""Rows of processes: real ones, in real control groups and namespaces where the machine has them."""

import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gpualloc.node import process_rows, processes
from gpualloc.node.attribution import Pods
from gpualloc.node.commands import Commands
from gpualloc.node.process_rows import ProcessRows

ID = "0123456789abcdef" * 4
UID = "6e4d34d5-1c2b-4a3f-9d8e-0123456789ab"
BURN = "import os\nprint(flush=True)\nos.read(0, 1)\nwhile True: pass"
V1 = Path("/sys/fs/cgroup/pids")
V2 = next(
    (path for path in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")) if (path / "cgroup.procs").exists()), None
)


@pytest.fixture(autouse=True)
def time_enough(monkeypatch):
    """What is read of a new process is waited for, however busy the machine is."""
    monkeypatch.setattr(process_rows, "_WITHIN_S", 600.0)


@contextmanager
def running(*command, **options):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@contextmanager
def waiting(**options):
    """A Python that waits for a byte, and then keeps a CPU busy."""
    with running(sys.executable, "-c", BURN, **options) as child:
        child.stdout.readline()
        yield child


@contextmanager
def group(folder, pid):
    """The process in a control group of that path, which goes away with what was made for it."""
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True)
    home = folder
    while home in made:
        home = home.parent
    try:
        (folder / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (home / "cgroup.procs").write_text(str(pid))
        for one in made:
            one.rmdir()


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def row(pid, rows=None, roots=None):
    return (rows or ProcessRows()).look({pid}, roots or {})[pid]


def test_a_row_of_a_process():
    with waiting() as child:
        told = row(child.pid, roots={os.getpid(): "w00000001"})
        assert told["user"] == processes.user(os.getpid())
        assert told["command"].startswith(sys.executable + " -c import os")
        assert told["started_at_s"] == pytest.approx(time.time(), abs=20)
        assert (told["workload"], told["parent"]) == ("w00000001", os.getpid())
        assert (told["container"], told["pod"]) == (None, None)
        assert 1 < told["host_memory_mib"] < 1000
        assert told["cpu_utilization_ratio"] is None


def test_the_start_of_a_process_is_the_same_at_every_look():
    with waiting() as child:
        rows = ProcessRows()
        assert len({row(child.pid, rows)["started_at_s"] for _ in range(50)}) == 1


def test_cpus_kept_busy_are_told_from_the_second_look_on():
    with waiting() as child:
        rows = ProcessRows()
        assert row(child.pid, rows)["cpu_utilization_ratio"] is None
        assert row(child.pid, rows)["cpu_utilization_ratio"] is None
        child.stdin.write(b"x")
        child.stdin.flush()
        until(lambda: (row(child.pid, rows)["cpu_utilization_ratio"] or 0) > 0)
        assert row(child.pid, rows)["cpu_utilization_ratio"] <= 1.5


def test_a_pid_that_is_not_there_tells_nothing():
    with running("true") as child:
        child.wait()
        told = row(child.pid)
    assert told.pop("pid") == child.pid
    assert set(told.values()) == {None}


def test_the_environment_tells_the_job_where_no_group_does():
    with waiting(env={"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "3"}) as child:
        assert row(child.pid)["slurm_job"] == "4711.3"


def test_a_process_that_executes_another_program_tells_that_one():
    with running("sh", "-c", "echo; read x; exec sleep 1000") as child:
        child.stdout.readline()
        rows = ProcessRows()
        assert row(child.pid, rows)["command"].startswith("sh -c")
        child.stdin.write(b"\n")
        child.stdin.flush()
        until(lambda: row(child.pid, rows)["command"] == "sleep 1000")


def test_a_command_line_that_cannot_be_read_holds_up_nothing_else(monkeypatch):
    monkeypatch.setattr(process_rows, "_WITHIN_S", 0.05)
    gate, asked = threading.Event(), []

    def read(pid):
        asked.append(pid)
        if pid == stuck.pid:
            gate.wait()
        return "somebody", "read", None

    with waiting() as stuck, waiting() as other:
        rows = ProcessRows(commands=Commands(read))
        try:
            for _ in range(3):
                told = rows.look({stuck.pid, other.pid}, {})[stuck.pid]
                assert (told["user"], told["command"]) == (str(os.geteuid()), None)
                assert told["host_memory_mib"] > 0
            until(lambda: row(other.pid, rows)["command"] == "read")
            assert sorted(asked) == sorted([stuck.pid, other.pid])
        finally:
            gate.set()
        until(lambda: row(stuck.pid, rows)["command"] == "read")


def test_no_more_than_so_many_reads_hang():
    gate = threading.Event()
    commands = Commands(lambda pid: gate.wait() and ("somebody", "read", None))
    own = processes.stat(os.getpid())
    try:
        for ticks in range(100):
            own.start_ticks = ticks
            assert commands.told(own, time.monotonic()) == (str(os.geteuid()), None, None)
        assert sum(thread.name == "command" for thread in threading.enumerate()) <= 64
    finally:
        gate.set()


@pytest.mark.skipif(not os.access(V1, os.W_OK), reason="needs control groups of version 1, and the right to make one")
@pytest.mark.parametrize(
    ("path", "field", "told"),
    [
        (f"docker/{ID}", "container", ID[:12]),
        (f"kubepods/burstable/pod{UID}/{ID}", "pod", "team/trainer"),
        ("slurm/uid_0/job_12/step_0/task_0", "slurm_job", "12.0"),
        ("lxc/web-1", "container", "web-1"),
    ],
)
def test_in_a_real_group_of_version_1(tmp_path, path, field, told):
    (tmp_path / f"team_trainer_{UID}").mkdir()
    with waiting() as child, group(V1 / f"gpualloc-test-{os.getpid()}" / path, child.pid):
        assert row(child.pid, ProcessRows(Pods(str(tmp_path))))[field] == told


@pytest.mark.skipif(V2 is None or not os.access(V2, os.W_OK), reason="needs control groups of version 2")
@pytest.mark.parametrize(
    ("path", "field", "told"),
    [
        (f"system.slice/docker-{ID}.scope", "container", ID[:12]),
        (f"kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope", "pod", UID),
        ("system.slice/slurmstepd.scope/job_9/step_batch/user/task_0", "slurm_job", "9.batch"),
    ],
)
def test_in_a_real_group_of_version_2(tmp_path, path, field, told):
    with waiting() as child, group(V2 / f"gpualloc-test-{os.getpid()}" / path, child.pid):
        assert row(child.pid, ProcessRows(Pods(str(tmp_path))))[field] == told


INSIDE = """
import os, sys
from gpualloc.node.process_rows import ProcessRows
rows = ProcessRows()
print(os.getpid(), rows.look({os.getpid()}, {})[os.getpid()]["command"])
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to make a pid namespace")
def test_in_a_container_a_pid_of_ours_is_not_taken_for_one_of_the_hosts():
    told = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", INSIDE],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert told.stdout.split() == ["1", "None"]


def test_in_a_container_who_has_the_driver_open_is_who_the_driver_means(tmp_path):
    rows = ProcessRows(of_host=False)
    with waiting() as child:
        assert row(child.pid, rows)["command"] is None
    # No test may need a driver: a file that lies below the driver's names is as good.
    if not os.access("/dev", os.W_OK):
        pytest.skip("needs the right to make a file in /dev")
    device = Path(f"/dev/nvidia-gpualloc-test-{os.getpid()}")
    device.touch()
    try:
        with device.open() as opened, waiting(pass_fds=(opened.fileno(),)) as child:
            assert row(child.pid, rows)["command"] is not None
    finally:
        device.unlink()
