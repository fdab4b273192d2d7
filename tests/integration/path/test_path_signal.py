"""`gpualloc signal`: real processes, here and behind real sshd, with what the audit trail keeps of it."""

import json
import os
import pty
import signal
import subprocess
import sys

import pytest
from fakes.command import wait_until
from fakes.nvml_stub import FakeGpu
from fakes.ssh_command import locked, ssh_command, waits_for

pytestmark = pytest.mark.root


@pytest.fixture
def begin():
    """Starts processes that are nobody's work; ends them afterwards."""
    begun = []

    def begin(*command, **more):
        begun.append(subprocess.Popen(command or ["sleep", "600"], start_new_session=True, **more))
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate(timeout=60)


@pytest.fixture
def stranger(world, begin):
    """A process that the driver sees on the second GPU, and the node's name."""
    process = begin()
    world.gpus(FakeGpu(0), FakeGpu(1, memory_used_mib=2048, processes=((process.pid, 2048),)))
    return process, world.json("nodes")["nodes"][0]["name"]


def entries(world, kind):
    return [entry for entry in world.json("audit")["entries"] if entry["kind"] == kind]


def test_who_gets_it_is_shown_and_what_became_of_it_is_kept(world, stranger):
    process, node = stranger
    done = world.run("signal", node, str(process.pid), "--yes", "--json")
    assert process.wait(60) == -signal.SIGTERM
    data = json.loads(done.stdout)["data"]
    (row,) = data["processes"]
    assert (data["signal"], data["confirmed"], data["simulated"]) == ("TERM", True, False)
    assert (row["pid"], row["user"], row["command"], row["below"]) == (process.pid, "root", "sleep 600", 0)
    assert (row["sent"], row["state"], row["error"], row["workload"]) == (True, "gone", None, None)
    assert row["devices"] == [{"device": FakeGpu(1).full_uuid, "index": 1, "mig_instance": None}]
    assert f"{process.pid}  root  1" in done.stderr, "what is to be touched is shown first"
    (entry,) = entries(world, "signal")
    assert (entry["actor"], entry["node"], entry["detail"]["pid"]) == ("root", node, process.pid)
    kept = {name: entry["detail"][name] for name in ("signal", "user", "command", "state")}
    assert kept == {"signal": "TERM", "user": "root", "command": "sleep 600", "state": "gone"}
    assert "there is no process" in world.run("signal", node, str(process.pid), "--yes", check=2).stderr
    assert world.json("status")["open_runs"] == []


@pytest.mark.parametrize(("says", "ends"), [("no\n", False), ("y\n", False), ("\n", False), ("yes\n", True)])
def test_only_yes_sends_it(world, stranger, says, ends):
    process, node = stranger
    ours, theirs = pty.openpty()
    os.write(ours, says.encode())
    try:
        done = subprocess.run(
            [*world.program, "signal", node, str(process.pid)],
            env=world.env,
            text=True,
            capture_output=True,
            stdin=theirs,
            timeout=100,
            check=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert "sleep 600" in done.stderr
    if ends:
        assert process.wait(60) == -signal.SIGTERM
        assert f"process {process.pid}: gone" in done.stdout
    else:
        assert (done.stdout, process.poll()) == ("nothing was done\n", None)
        assert entries(world, "signal") == []


def test_without_anybody_to_ask_nothing_is_sent(world, stranger):
    process, node = stranger
    assert "add --yes" in world.run("signal", node, str(process.pid), check=2).stderr
    assert process.poll() is None


def test_one_that_lives_on_says_so(world, stranger, begin):
    _, node = stranger
    stubborn = begin("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done", stdout=subprocess.PIPE)
    assert stubborn.stdout.readline() == b"ready\n"
    assert "runs on" in world.run("signal", node, str(stubborn.pid), "--yes").stdout
    assert "stopped" in world.run("signal", node, str(stubborn.pid), "--signal", "SIGSTOP", "-y").stdout
    assert "runs on" in world.run("signal", node, str(stubborn.pid), "--signal", "cont", "-y").stdout
    assert "gone" in world.run("signal", node, str(stubborn.pid), "--signal", "9", "-y").stdout
    assert stubborn.wait(60) == -signal.SIGKILL
    assert [entry["detail"]["state"] for entry in entries(world, "signal")] == ["running", "stopped", "running", "gone"]


def test_several_of_which_one_may_not_get_it(world, stranger):
    process, node = stranger
    done = world.run("signal", node, str(os.getpid()), str(process.pid), "--yes", "--json", check=6)
    assert process.wait(60) == -signal.SIGTERM
    answer = json.loads(done.stdout)
    refused, sent = answer["data"]["processes"]
    assert (refused["sent"], refused["state"], refused["error"]["code"]) == (False, None, "step")
    assert "what runs this gpualloc" in refused["error"]["message"]
    assert (sent["sent"], sent["state"]) == (True, "gone")
    assert "1 of 2 processes got the signal" in answer["errors"][0]["message"]
    (failed,) = entries(world, "step-failed")
    assert (failed["detail"]["pid"], failed["detail"]["signal"]) == (os.getpid(), "TERM")
    assert "what runs this gpualloc" in world.run("signal", node, str(os.getpid()), "-y", check=1).stderr


def test_work_is_left_to_release_and_suspend(world):
    script = "trap 'echo told' USR1; echo ready; while :; do sleep 600 & wait; done"
    identity = world.json("submit", "--gpus", "0", "--", "/bin/sh", "-c", script)["id"]
    world.run("rebalance")
    row = world.workload(identity)
    wait_until(lambda: world.run("logs", identity).stdout == "ready\n", "it is ready")
    refused = world.run("signal", row["node"], str(row["pid"]), "--signal", "KILL", "--yes", check=2).stderr
    assert f"belongs to workload {identity}" in refused
    assert f"gpualloc release {identity}" in refused
    assert "runs on" in world.run("signal", row["node"], str(row["pid"]), "--signal", "USR1", "--yes").stdout
    wait_until(lambda: world.run("logs", identity).stdout == "ready\ntold\n", "it got the signal")
    assert [entry["workload"] for entry in entries(world, "signal")] == [identity]
    keeper = json.loads((world.node_dir / "workloads" / identity / "started.json").read_text())["keeper_pid"]
    refused = world.run("signal", row["node"], str(keeper), "--signal", "USR1", "--yes", check=1).stderr
    assert "keeps a workload" in refused
    assert world.workload(identity)["state"] == "running"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("1", "--yes"), "no process that can get a signal"),
        (("0", "--yes"), "no process that can get a signal"),
        (("99999999999", "--yes"), "no process that can get a signal"),
        (("12x", "--yes"), "no process that can get a signal"),
        (("1_000", "--yes"), "no process that can get a signal"),
        (("\u0664\u0662", "--yes"), "no process that can get a signal"),
        (("--yes", "--", "-1"), "no process that can get a signal"),
        (("$(id)", "--yes"), "no process that can get a signal"),
        (("4194303", "--yes"), "there is no process 4194303"),
        (("4194303", "--yes", "--signal", "SEGV"), "no signal that can be sent"),
        (("4194303", "--yes", "--signal", "0"), "no signal that can be sent"),
        (("4194303", "--yes", "--signal", "-9"), "no signal that can be sent"),
        (("4194303", "--yes", "--signal", ""), "no signal that can be sent"),
        (("4194303", "--yes", "--signal", "TERM;id"), "no signal that can be sent"),
        (("4194303", "--yes", "--signal", "\u0661\u0665"), "no signal that can be sent"),
        ((), "Missing argument"),
    ],
    ids=str,
)
def test_command_lines_that_make_no_sense(world, arguments, said):
    node = os.uname().nodename
    assert said in world.run("signal", node, *arguments, check=2).stderr


def test_no_such_node(world):
    assert "there is no node" in world.run("signal", "../x", "4194303", "--yes", check=2).stderr


def test_what_a_process_calls_itself_is_escaped(world, stranger, begin):
    _, node = stranger
    process = begin(sys.executable, "-c", "import time; time.sleep(600)", "\x1b[2J\n\u202etxt")
    done = world.run("signal", node, str(process.pid), "--yes")
    assert process.wait(60) == -signal.SIGTERM
    assert not {"\x1b", "\u202e"} & set(done.stderr + done.stdout)


@pytest.fixture
def remote():
    with ssh_command(["n1"]) as world:
        yield world


def test_over_ssh_as_the_account_there(remote, begin):
    user = remote.farm["n1"].user
    foreign, own = begin(), begin(user=user, group=65534, extra_groups=[])
    refused = remote.run("signal", "n1", str(foreign.pid), "--signal", "KILL", "--yes", check=1).stderr
    assert f"process {foreign.pid} belongs to root, and the node program runs as {user}" in refused
    assert "gpualloc node install" in refused
    assert foreign.poll() is None
    assert "gone" in remote.run("signal", "n1", str(own.pid), "--signal", "KILL", "--yes").stdout
    assert own.wait(60) == -signal.SIGKILL
    remote.farm["n1"].stop()
    assert "n1" in remote.run("signal", "n1", str(foreign.pid), "--yes", check=3).stderr


def test_what_was_cut_off_is_asked_about_later_and_never_sent_late(remote, begin):
    node = remote.farm["n1"]
    process = begin(user=node.user, group=65534, extra_groups=[])
    remote.run("nodes")
    with locked(node):
        command = remote.start("signal", "n1", str(process.pid), "--signal", "KILL", "--yes")
        wait_until(lambda: waits_for(node), "it is under way")
        for pid in node.sessions():
            os.kill(pid, signal.SIGKILL)
        node.cut()
        _, complaints = command.communicate(timeout=60)
    assert command.returncode == 3, complaints
    remote.run("rebalance")
    assert remote.json("status")["open_runs"] == []
    assert process.poll() is None
    assert entries(remote, "signal") == []
