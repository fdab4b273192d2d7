"""A running process is taken in, held, told of and let go; whatever is killed on the way, it lives."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = os.geteuid() == 0
LIMITS = {"cpus": None, "cpuset": None, "memory_mib": None, "pids": None, "grants": []}


@pytest.fixture
def sleeper():
    """Starts processes that are nobody's work; ends them afterwards."""
    begun = []

    def begin(*command, **more):
        process = subprocess.Popen(command or ["sleep", "600"], stdout=subprocess.PIPE, start_new_session=True, **more)
        begun.append(process)
        return process

    yield begin
    for process in begun:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait(60)
        process.stdout.close()


def groups_of(pid):
    return Path(f"/proc/{pid}/cgroup").read_text()


def target(program, pid):
    told = program.ask("process", pid=pid)["ok"]
    return {"process": {"pid": pid, "started_at_s": told["started_at_s"]}, "user": None}


def adopt(node, program, pid, *, verb="do", workload=None, **more):
    workload = workload or node.workload()
    return workload, program.call(verb, "adopt", workload, **{**LIMITS, **target(program, pid), **more})


def test_a_process_is_taken_in_with_all_below_it(any_node, sleeper):
    program = any_node.program()
    # It lives on when those below it ended first, so that it is a signal that ends it.
    process = sleeper("sh", "-c", "sleep 600 & sleep 601 & echo ready; wait; exec sleep 602")
    assert process.stdout.readline() == b"ready\n"
    seen = program.ask("process", pid=process.pid)["ok"]
    assert (seen["command"].split()[0], len(seen["pids"]), seen["uses"], seen["workload"]) == ("sh", 3, [], None)
    workload, told = adopt(any_node, program, process.pid, pids=50)
    facts = told["ok"]
    assert (facts["pid"], facts["started_at_s"]) == (process.pid, pytest.approx(seen["started_at_s"], abs=0.2))
    assert facts["held_by"]["pids"] == ("hard" if ROOT else "booked")
    assert program.call("verify", "adopt", workload, **LIMITS, **target(program, process.pid))["ok"]["holds"] is True
    assert not ROOT or all(f"gpualloc/{workload}" in groups_of(pid) for pid in seen["pids"])
    assert program.ask("process", pid=process.pid)["ok"]["workload"] == workload
    again = adopt(any_node, program, process.pid, workload=workload, pids=50)[1]
    assert again["ok"] == facts
    end = program.call("do", "stop", workload, grace_s=30)["ok"]["end"]
    assert (end["exit_code"], end["reason"]) == (143, "released")
    assert process.wait(60) == -signal.SIGTERM
    assert any_node.groups(workload) == []


def test_its_own_end_has_no_exit_code(any_node, sleeper):
    program = any_node.program()
    process = sleeper("sh", "-c", "sleep 600 & echo $!; read line; exit 3", stdin=subprocess.PIPE)
    child = int(process.stdout.readline())
    workload, _ = adopt(any_node, program, process.pid)
    process.stdin.close()
    assert process.wait(60) == 3
    assert program.record(workload)["end"] is None, "what it began still runs"
    os.kill(child, signal.SIGKILL)
    end = program.end(workload)
    assert (end["exit_code"], end["signal"], end["reason"]) == (255, None, "adopted")
    assert any_node.groups(workload) == []


def test_let_go_it_runs_on_where_it_came_from(any_node, sleeper):
    program = any_node.program()
    process = sleeper()
    before = groups_of(process.pid)
    workload, _ = adopt(any_node, program, process.pid, pids=50)
    assert not ROOT or groups_of(process.pid) != before
    end = program.call("do", "let-go", workload)["ok"]["end"]
    assert (end["exit_code"], end["reason"]) == (255, "let-go")
    assert groups_of(process.pid) == before
    assert process.poll() is None
    assert program.record(workload)["end"]["reason"] == "let-go"
    assert any_node.groups(workload) == []
    for verb, kind, holds in (("verify", "let-go", True), ("verify", "adopt", False)):
        more = {**LIMITS, **target(program, process.pid)} if kind == "adopt" else {}
        assert program.call(verb, kind, workload, **more)["ok"]["holds"] is holds
    assert program.call("do", "let-go", workload)["ok"]["end"] == end


def test_without_its_keeper_it_can_be_let_go_and_stopped(node, sleeper):
    program = node.program()
    for kind in ("let-go", "stop"):
        process = sleeper()
        before = groups_of(process.pid)
        workload, _ = adopt(node, program, process.pid, pids=50)
        keeper = node.file(workload, "started.json")["keeper_pid"]
        os.kill(keeper, signal.SIGKILL)
        node.until(lambda keeper=keeper: not os.path.exists(f"/proc/{keeper}/cwd"))
        program.call("do", kind, workload, grace_s=30)
        if kind == "let-go":
            assert (process.poll(), groups_of(process.pid)) == (None, before)
        else:
            assert process.wait(60) == -signal.SIGTERM
        assert node.groups(workload) == []


@pytest.mark.parametrize("delay_s", [0.0, 0.004, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("kill_keeper", [False, True])
def test_killed_at_any_moment_it_is_adopted_once_and_finds_its_way_back(node, sleeper, delay_s, kill_keeper):
    program = node.program()
    process = sleeper()
    before = groups_of(process.pid)
    step = {**LIMITS, **target(program, process.pid), "pids": 50}
    workload = node.workload()
    program.send("do", call={"run": "r", "seq": 1, "fence": 1, "controller": "c" * 32,
                             "step": {"kind": "adopt", "workload": workload, "attempt": 1, **step}})  # fmt: skip
    time.sleep(delay_s)
    program.kill()
    held = node.state_dir / "workloads" / workload / "keeper"
    if kill_keeper and held.exists() and held.read_text():
        os.kill(int(held.read_text().split()[0]), signal.SIGKILL)
    program = node.program()
    told = program.call("do", "adopt", workload, fence=2, **step)
    assert told["ok"]["pid"] == process.pid
    assert program.call("do", "let-go", workload, fence=2)["ok"]["end"]["reason"] == "let-go"
    assert (process.poll(), groups_of(process.pid)) == (None, before)


def test_a_pid_that_means_another_process_is_refused(node, sleeper):
    program = node.program()
    process = sleeper()
    other = {"pid": process.pid, "started_at_s": target(program, process.pid)["process"]["started_at_s"] - 5}
    for verb in ("preflight", "do"):
        refused = adopt(node, program, process.pid, verb=verb, process=other)[1]["error"]
        assert (refused["reason"], "another time" in refused["message"]) == ("gone", True)
    assert program.ask("process", pid=4194303)["error"]["reason"] == "gone"


def test_what_may_not_be_taken_in_is_refused_by_name(node, sleeper):
    program = node.program()
    refused = {}
    for name, pid in {"init": 1, "us": os.getpid(), "itself": program.process.pid}.items():
        refused[name] = adopt(node, program, pid, verb="preflight")[1]["error"]
    assert refused["init"]["reason"] == "bad-request"
    assert "what runs this gpualloc" in refused["us"]["message"]
    assert "what runs this gpualloc" in refused["itself"]["message"]
    first, told = node.start(program, "sleep", "600")
    for pid in (told["ok"]["pid"], node.file(first, "started.json")["keeper_pid"]):
        message = adopt(node, program, pid)[1]["error"]["message"]
        assert message == f"process {pid} belongs to workload {first} already"
    process = sleeper()
    message = adopt(node, program, process.pid, user="nobody")[1]["error"]["message"]
    assert "not to nobody" in message
    assert node.groups(node.workload()) == []


def test_more_memory_than_the_limit_is_refused_and_nothing_is_changed(node, sleeper):
    program = node.program()
    process = sleeper(sys.executable, "-c", "b = bytearray(100 << 20); print('ready', flush=True); input()",
                      stdin=subprocess.PIPE)  # fmt: skip
    assert process.stdout.readline() == b"ready\n"
    before = groups_of(process.pid)
    workload, told = adopt(node, program, process.pid, memory_mib=64)
    assert told["error"]["reason"] == "memory"
    assert "more than the limit of 64 MiB" in told["error"]["message"]
    assert groups_of(process.pid) == before
    assert node.groups(workload) == []
    process.stdin.close()


@pytest.mark.root
@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("slurm/uid_0/job_7", "Slurm"),
        ("docker/" + "a" * 64, "Docker"),
        ("kubepods/burstable/pod1", "the kubelet"),
        ("machine.slice/libpod-1.scope", "Podman"),
    ],
)
def test_members_of_other_controllers_groups_are_refused_by_owner(node, sleeper, path, owner):
    program = node.program()
    process = sleeper()
    mount = Path("/sys/fs/cgroup/pids" if Path("/sys/fs/cgroup/pids").is_dir() else "/sys/fs/cgroup")
    top = mount / f"test-{node.workload()}"
    folder = top / path
    folder.mkdir(parents=True)
    try:
        (folder / "cgroup.procs").write_text(str(process.pid))
        message = adopt(node, program, process.pid)[1]["error"]["message"]
        assert message.startswith(f"process {process.pid} belongs to {owner} (group ")
    finally:
        (mount / "cgroup.procs").write_text(str(process.pid))
        while folder != mount:
            folder.rmdir()
            folder = folder.parent
