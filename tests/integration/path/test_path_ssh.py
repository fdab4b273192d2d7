"""From submit to release over real ssh: two sshd as two nodes, each with state, GPUs and an account of its own."""

import json
import os
import signal

import pytest
from fakes.command import Command, wait_until
from fakes.own_mounts import another_controller, own_mounts
from fakes.ssh_command import gpu, locked, ssh_command, waits_for

pytestmark = pytest.mark.root


@pytest.fixture
def world():
    with ssh_command(["n1", "n2"]) as command:
        yield command


def submit(world, *args):
    return world.json("submit", "--name", "work", *args)["id"]


def started(world, *args):
    """Work that was submitted and started."""
    identity = submit(world, *args)
    world.run("rebalance")
    row = world.workload(identity)
    assert row["state"] == "running", row
    return row


def alive(pid):
    return os.path.exists(f"/proc/{pid}/root")


def envelope(world, verb, check=0):
    return json.loads(world.run(verb, "--json", check=check).stdout)


def test_each_node_shows_its_own_gpus(world):
    nodes = world.json("nodes")["nodes"]
    assert {node["name"]: [device["uuid"] for device in node["devices"]] for node in nodes} == {
        "n1": [gpu(1, 0).uuid, gpu(1, 1).uuid],
        "n2": [gpu(2, 0).uuid, gpu(2, 1).uuid],
    }


def test_work_lands_on_the_node_asked_for_with_its_gpu_and_account(world):
    out = world.farm.folder / "out" / "env"
    script = f"(id -un; env) > {out}.part; mv {out}.part {out}; exec sleep 600"
    row = started(world, "--nodes", "n2", "--gpus", "1", "--", "/bin/sh", "-c", script)
    wait_until(out.exists, "the command wrote its environment")
    account, *lines = out.read_text().splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert row["node"] == "n2"
    assert account == world.farm["n2"].user == seen["USER"]
    assert [seen["CUDA_VISIBLE_DEVICES"]] == row["devices"]
    assert seen["CUDA_VISIBLE_DEVICES"] in {gpu(2, 0).uuid, gpu(2, 1).uuid}
    assert len(world.node_claims("n2")) == 1
    assert world.node_claims("n1") == []


def test_work_outlives_the_connection_and_its_end_is_recorded(world):
    node, go = world.farm["n1"], world.farm.folder / "out" / "go"
    os.mkfifo(go, 0o666)
    go.chmod(0o666)
    row = started(world, "--nodes", "n1", "--gpus", "1", "--", "/bin/sh", "-c", f"read line < {go}; exit 7")
    for pid in node.sessions():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not node.sessions(), "nothing of the connection is left")
    assert alive(row["pid"])
    assert world.workload(row["id"])["state"] == "running"
    go.write_text("\n")
    wait_until(lambda: world.workload(row["id"])["state"] == "failed", "its end is recorded")
    assert world.workload(row["id"])["exit_code"] == 7
    assert world.node_claims("n1") == []
    assert [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == row["id"]] == [
        *("submit", "start", "end")
    ]


def test_logs_are_followed_to_the_end(world):
    go = world.farm.folder / "out" / "go"
    os.mkfifo(go, 0o666)
    go.chmod(0o666)
    row = started(world, "--gpus", "0", "--", "/bin/sh", "-c", f"echo first; read line < {go}; echo last")
    follower = world.start("logs", "-f", row["id"])
    try:
        assert follower.stdout.readline() == "first\n"
        go.write_text("\n")
        said, complaints = follower.communicate(timeout=60)
    finally:
        follower.kill()
        follower.wait()
    assert (said, complaints, follower.returncode) == ("last\n", "", 0)


def test_release_ends_it_on_its_node(world):
    row = started(world, "--nodes", "n2", "--gpus", "2", "--", "sleep", "600")
    world.run("release", row["id"])
    assert world.workload(row["id"])["state"] == "released"
    assert not alive(row["pid"])
    assert world.node_claims("n2") == []


def test_a_node_that_is_down_keeps_its_work_and_holds_up_nobody(world):
    kept = started(world, "--nodes", "n1", "--gpus", "2", "--", "sleep", "600")
    world.farm["n1"].stop()
    for verb in ("ps", "nodes"):
        answer = envelope(world, verb)
        assert [(error["code"], error["node"]) for error in answer["errors"]] == [("unreachable", "n1")]
    assert world.workload(kept["id"])["state"] == "running"
    other = started(world, "--gpus", "2", "--", "sleep", "600")
    assert other["node"] == "n2"
    waiting = submit(world, "--gpus", "1", "--", "sleep", "600")
    plan = world.json("plan")
    assert plan["steps"] == []
    assert [rejection["workload"] for rejection in plan["rejections"]] == [waiting]
    world.farm["n1"].start()
    assert envelope(world, "ps")["errors"] == []
    assert alive(kept["pid"])
    assert {identity: world.workload(identity)["state"] for identity in (kept["id"], other["id"], waiting)} == {
        kept["id"]: "running",
        other["id"]: "running",
        waiting: "pending",
    }


def test_all_nodes_down_is_exit_3_with_an_answer(world):
    row = started(world, "--gpus", "1", "--", "sleep", "600")
    for node in world.farm.nodes.values():
        node.stop()
    for verb in ("nodes", "ps", "plan"):
        errors = envelope(world, verb, check=3)["errors"]
        assert errors
        assert {error["code"] for error in errors} == {"unreachable"}
    assert world.run("rebalance", check=3).stderr
    (shown,) = envelope(world, "ps", check=3)["data"]["workloads"]
    assert (shown["id"], shown["state"]) == (row["id"], "running")


@pytest.mark.parametrize("program", ["goes on", "is killed"])
def test_a_connection_cut_in_the_middle_of_a_start(world, program):
    node, starts = world.farm["n1"], world.farm.folder / "out" / "starts"
    script = f"echo started >> {starts}; exec sleep 600"
    identity = submit(world, "--gpus", "0", "--", "/bin/sh", "-c", script)
    assert world.json("plan", "--policy", "first-fit")["steps"][0]["node"] == "n1"
    with locked(node):
        apply = world.start("apply", "--yes", "--policy", "first-fit")
        wait_until(lambda: waits_for(node), "the start is under way")
        if program == "is killed":
            for pid in node.sessions():
                os.kill(pid, signal.SIGKILL)
        node.cut()
        _, complaints = apply.communicate(timeout=60)
    assert apply.returncode == 6, complaints
    row = world.workload(identity)
    assert row["state"] == "pending"
    assert "n1" in row["reason"]
    assert len(world.json("status")["open_runs"]) == 1
    assert world.json("plan")["steps"] == []
    node.stop()
    # n2 could take it now, but it may run on n1.
    assert world.run("rebalance", check=6).stderr
    node.start()

    world.run("rebalance")

    assert world.workload(identity)["state"] == "running"
    wait_until(starts.exists, "it started")
    assert world.json("status")["open_runs"] == []
    assert world.run("rebalance").stdout == ""
    assert starts.read_text() == "started\n"
    assert [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == identity] == [
        *("submit", "start")
    ]


@pytest.fixture
def second(world):
    """Another operator with state of their own, and the same nodes."""
    other = Command(
        world.farm.folder / "second",
        extra_env={"XDG_CONFIG_HOME": str(world.root), "XDG_RUNTIME_DIR": str(world.farm.folder / "run")},
    )
    other.root.mkdir(mode=0o700)
    return other


def test_two_controllers_share_the_nodes(world, second):
    first = submit(world, "--gpus", "2", "--nodes", "n1", "--", "sleep", "600")
    theirs = second.json("submit", "--name", "theirs", "--gpus", "1", "--nodes", "n1", "--", "sleep", "600")["id"]
    plan = second.root / "second.plan"
    second.run("plan", "-o", str(plan))
    world.run("rebalance")
    assert world.workload(first)["state"] == "running"

    assert "n1" in second.run("apply", "--yes", str(plan), check=5).stderr
    (rejection,) = second.json("plan")["rejections"]
    assert (rejection["workload"], rejection["reason"]) == (theirs, "no capacity")
    assert "given to other work" in rejection["detail"]

    world.run("release", first)
    second.run("rebalance")
    assert second.workload(theirs)["state"] == "running"
    assert len(world.node_claims("n1")) == 1
    second.run("release", theirs)
    assert world.node_claims("n1") == []


def test_a_hung_gpu_says_so_and_work_goes_to_another(world):
    world.farm["n1"].restart(GPUALLOC_NVML_DEADLINE_S="3")
    world.show("n1", gpu(1, 0, fault="hang"), gpu(1, 1))
    nodes = {node["name"]: node for node in world.json("nodes")["nodes"]}
    assert [device["state"] for device in nodes["n1"]["devices"]] == ["driver not answering", "ok"]
    assert nodes["n1"]["devices"][0]["unavailable"]["power_w"] == "hung"
    assert [device["state"] for device in nodes["n2"]["devices"]] == ["ok", "ok"]
    row = started(world, "--gpus", "1", "--nodes", "n1", "--", "sleep", "600")
    assert row["devices"] == [gpu(1, 1).uuid]
    assert started(world, "--gpus", "2", "--", "sleep", "600")["node"] == "n2"


def test_limits_over_ssh_bind_when_the_account_is_root():
    eat = "b = bytearray(256 << 20); print(len(b))"
    with ssh_command(["n1"], as_root=True) as world:
        command = ("--gpus", "0", "--memory", "64MiB", "--", "/usr/bin/python3", "-c", eat)
        done = world.run("run", *command, check=137)
        assert "memory limit" in done.stderr
        (row,) = world.json("ps")["workloads"]
        assert row["held_by"]["memory"] == "hard"
        assert world.groups([row["id"]]) == []


def test_a_node_of_slurm_is_only_observed_until_its_pool_says_otherwise(world):
    node = world.farm["n1"]
    with own_mounts(another_controller("slurmd", str(world.farm.folder / "comm"))) as enter:
        node.within = enter
        node.restart()
        identity = submit(world, "--gpus", "1", "--nodes", "n1", "--", "sleep", "600")
        plan = world.json("plan")
        assert plan["steps"] == []
        assert [(one["workload"], one["reason"]) for one in plan["rejections"]] == [(identity, "policy")]
        assert "slurmd" in plan["rejections"][0]["detail"]
        world.keys["n1"] = "manage = true"
        world.configure_nodes()
        world.run("rebalance")
        assert world.workload(identity)["state"] == "running"
        node.stop()
