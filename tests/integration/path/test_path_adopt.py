"""A stranger's process becomes a workload and a stranger's again: real processes, real groups, the C driver library."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.command import wait_until
from fakes.nvml_stub import FakeGpu

pytestmark = pytest.mark.root
GPU = FakeGpu(0).full_uuid


@pytest.fixture
def stranger(world):
    """A process that the driver sees on the first GPU."""
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    world.gpus(FakeGpu(0, memory_used_mib=2048, processes=((process.pid, 2048),)), FakeGpu(1))
    (node,) = world.json("nodes")["nodes"]
    yield process, node["name"]
    process.kill()
    process.wait(60)


def test_a_stranger_is_taken_in_with_what_it_uses_and_let_go_again(world, stranger):
    process, node = stranger
    before = Path(f"/proc/{process.pid}/cgroup").read_text()
    done = world.run("adopt", str(process.pid), "--node", node, "--pids", "50", "--name", "hers")
    assert "exit code will not be known" in done.stdout
    assert "what it has open stays open to it" in done.stdout
    (row,) = world.json("ps")["workloads"]
    assert (row["name"], row["state"], row["pid"], row["devices"]) == ("hers", "running", process.pid, [GPU])
    assert (row["adopted"], row["held_by"]["pids"], row["exit_code"]) == (True, "hard", None)
    assert world.claims() == [f"{GPU}@{row['id']}.json"]
    refused = world.run("adopt", str(process.pid), "--node", node, check=2)
    assert f"belongs to workload {row['id']} already" in refused.stderr

    world.run("let-go", "hers")
    (row,) = world.json("ps")["workloads"]
    assert (row["state"], row["exit_code"]) == ("released", None)
    assert (process.poll(), Path(f"/proc/{process.pid}/cgroup").read_text()) == (None, before)
    assert (world.claims(), world.groups([row["id"]])) == ([], [])
    kinds = [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == row["id"]]
    assert kinds == ["submit", "adopt", "end"]


def test_its_end_is_recorded_without_an_exit_code(world, stranger):
    process, node = stranger
    identity = world.json("adopt", str(process.pid), "--node", node)["workloads"][0]["id"]
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    wait_until(lambda: world.workload(identity)["state"] != "running", "its end is recorded")
    row = world.workload(identity)
    assert (row["state"], row["exit_code"]) == ("finished", None)
    assert row["reason"] == "ended; exit code unknown, it was adopted"
    assert world.claims() == []


def test_it_is_released_like_any_work(world, stranger):
    process, node = stranger
    identity = world.json("adopt", str(process.pid), "--node", node)["workloads"][0]["id"]
    world.run("release", identity)
    assert process.wait(60) == -signal.SIGTERM
    assert world.workload(identity)["state"] == "released"


def test_what_is_refused_leaves_no_work_waiting(world, stranger):
    process, node = stranger
    world.run("adopt", str(process.pid), "--node", node, "--memory", "1MiB", "--json")
    world.run("let-go", "sleep")
    other = subprocess.Popen(["sleep", "600"])
    try:
        # The first is a stranger on what the second would claim.
        refused = world.run("adopt", str(other.pid), "--node", node, "--gpus", GPU, "--name", "second", check=1)
        assert f"process {process.pid} of root uses {GPU}" in refused.stderr
        rows = {row["name"]: row for row in world.json("ps")["workloads"]}
        assert rows["second"]["state"] == "failed"
        assert world.json("plan")["steps"] == []
    finally:
        other.kill()
        other.wait(60)
    assert "there is no process 4194303" in world.run("adopt", "4194303", "--node", node, check=2).stderr
    assert "what runs this gpualloc" in world.run("adopt", str(os.getpid()), "--node", node, check=1).stderr


def test_work_that_gpualloc_started_is_not_let_go(world):
    identity = world.json("submit", "--gpus", "0", "--", "sleep", "600")["id"]
    world.run("rebalance")
    assert "was started by gpualloc" in world.run("let-go", identity, check=2).stderr
    assert world.workload(identity)["state"] == "running"


def test_what_it_opens_next_is_bound_by_the_device_rule(world):
    """EPERM is the rule's answer; ENXIO is that of the driver which is not there, so it was let through."""
    for minor in (0, 1):
        os.mknod(world.root / f"nvidia{minor}", 0o666 | stat.S_IFCHR, os.makedev(195, minor))
    script = (
        "import errno, os, sys\n"
        "for line in sys.stdin:\n"
        "    try: os.open(line.strip(), os.O_RDWR)\n"
        "    except OSError as error: print(errno.errorcode[error.errno], flush=True)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, **pipes)

    def opened(minor):
        process.stdin.write(f"{world.root}/nvidia{minor}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    try:
        world.gpus(FakeGpu(0, processes=((process.pid, 9),)), FakeGpu(1))
        (node,) = world.json("nodes")["nodes"]
        assert [opened(minor) for minor in (0, 1)] == ["ENXIO", "ENXIO"]
        done = world.run("adopt", str(process.pid), "--node", node["name"], "--name", "bound")
        assert "it can open no other GPU from now on" in done.stdout
        assert world.json("ps")["workloads"][0]["held_by"]["gpu"] == "soft"
        assert [opened(minor) for minor in (0, 1)] == ["ENXIO", "EPERM"]
        world.run("let-go", "bound")
        assert [opened(minor) for minor in (0, 1)] == ["ENXIO", "ENXIO"]
    finally:
        process.kill()
        process.communicate(timeout=60)
