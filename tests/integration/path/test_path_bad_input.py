"""What an operator can get wrong, and what can go wrong around them: a clear message and the right exit code."""

import json
import sqlite3
import subprocess
import sys

import pytest
from fakes.command import wait_until


def test_an_unknown_node_is_named(world):
    done = world.run("nodes", "gpu99", check=2)
    assert "gpu99" in done.stderr
    assert "gpu77" in world.run("submit", "--name", "x", "--nodes", "gpu77", "--", "true", check=2).stderr


def test_more_than_the_fleet_can_ever_offer_is_refused_with_the_closest(world):
    done = world.run("submit", "--name", "x", "--gpus", "3", "--", "true", check=4)
    assert "2" in done.stderr
    assert world.json("ps")["workloads"] == []
    answer = json.loads(world.run("submit", "--name", "x", "--gpus", "3", "--json", "--", "true", check=4).stdout)
    assert answer["errors"][0]["code"] == "infeasible"


@pytest.mark.parametrize(
    "args",
    [
        ("--gpus", "-1"),
        ("--gpus", "many"),
        ("--gpu-memory", "-5GiB"),
        ("--gpu-memory", "20"),
        ("--memory", "99999999TiB"),
        ("--cpus", "0"),
        ("--cpus", "nan"),
        ("--fraction", "1.5"),
        ("--pids", "0"),
        ("--at-most", "-3h"),
        ("--name", ""),
        ("--name", "n" * 201),
        ("--env", "no-equals-sign"),
        ("--cpuset", "a-b"),
    ],
)
def test_sizes_without_meaning_are_refused(world, args):
    base = () if args[0] == "--name" else ("--name", "x")
    done = world.run("submit", *base, *args, "--", "true", check=2)
    assert done.stderr
    assert world.json("ps")["workloads"] == []


def test_a_command_is_needed(world):
    assert world.run("submit", "--name", "x", check=2).stderr


def plan_file(world):
    path = world.root / "change.plan"
    world.run("submit", "--name", "x", "--gpus", "1", "--", "sleep", "600")
    world.run("plan", "-o", str(path))
    return path


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace('"claim"', '"start"', 1),
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "{}",
        lambda text: "\0\1\2",
        lambda text: text.replace("sleep", "slurp").replace("GPU-0", "GPU-1"),
    ],
)
def test_an_edited_or_truncated_plan_is_refused(world, spoil):
    path = plan_file(world)
    path.write_text(spoil(path.read_text()))
    done = world.run("apply", "--yes", str(path), check=2)
    assert "plan" in done.stderr
    assert world.claims() == []


def test_a_stale_plan_is_refused_and_the_drift_named(world):
    path = plan_file(world)
    identity = world.json("ps")["workloads"][0]["id"]
    world.run("release", identity)
    done = world.run("apply", "--yes", str(path), check=5)
    assert identity in done.stderr
    assert world.claims() == []


def test_a_plan_is_applied_once(world):
    path = plan_file(world)
    world.run("apply", "--yes", str(path))
    assert "applied already" in world.run("apply", "--yes", str(path), check=5).stderr


def test_apply_asks_and_without_anybody_to_ask_it_refuses(world):
    assert "--yes" in world.run("apply", str(plan_file(world)), check=2).stderr


def test_a_database_of_a_newer_version_is_refused(world):
    world.run("ps")
    world.run("submit", "--name", "x", "--", "true")
    with sqlite3.connect(world.state_dir / "state.db") as database:
        database.execute("PRAGMA user_version = 999")
    database.close()
    done = world.run("ps", check=2)
    assert "newer" in done.stderr


def test_a_database_that_is_none_is_named(world):
    world.run("submit", "--name", "x", "--", "true")
    for name in ("state.db", "state.db-wal", "state.db-shm"):
        (world.state_dir / name).unlink(missing_ok=True)
    (world.state_dir / "state.db").write_bytes(b"this is not a database" * 100)
    assert "state.db" in world.run("ps", check=1).stderr


def test_a_state_directory_that_cannot_be_written(world):
    world.run("submit", "--name", "x", "--gpus", "0", "--", "true")
    mount = ["mount", "-o", "remount,ro,bind", str(world.state_dir)]
    subprocess.run(["mount", "--bind", str(world.state_dir), str(world.state_dir)], check=True)
    try:
        subprocess.run(mount, check=True)
        assert [row["name"] for row in world.json("ps")["workloads"]] == ["x"]
        assert world.run("nodes").returncode == 0
        done = world.run("submit", "--name", "y", "--gpus", "0", "--", "true", check=1)
        assert str(world.state_dir) in done.stderr
        assert world.run("rebalance", check=1).stderr
    finally:
        subprocess.run(["umount", str(world.state_dir)], check=True)
    assert len(world.json("ps")["workloads"]) == 1


def test_a_full_disk_loses_nothing(world):
    world.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(world.state_dir)], check=True)
    try:
        world.run("submit", "--name", "before", "--gpus", "0", "--", "true")
        subprocess.run(
            ["dd", "if=/dev/zero", f"of={world.state_dir / 'ballast'}", "bs=4k"], capture_output=True, check=False
        )
        done = world.run(
            "submit", "--name", "after", "--gpus", "0", "--env", "BIG=" + "x" * 60_000, "--", "true", check=1
        )
        assert "full" in done.stderr
        assert [row["name"] for row in world.json("ps")["workloads"]] == ["before"]
        (world.state_dir / "ballast").unlink()
        world.run("submit", "--name", "after", "--gpus", "0", "--", "true")
        assert len(world.json("ps")["workloads"]) == 2
    finally:
        subprocess.run(["umount", str(world.state_dir)], check=True)


def test_two_applies_at_once(world):
    for number in range(4):
        world.run("submit", "--name", f"w{number}", "--gpus", "0", "--", "sleep", "600")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(world.state_dir)], env=world.env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        done = world.run("rebalance", check=7)
        assert str(holder.pid) in done.stderr
        holder.kill()
        holder.wait()
        world.run("rebalance")
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    together = [world.start("rebalance") for _ in range(3)]
    codes = [process.wait(timeout=60) for process in together]
    for process in together:
        process.communicate()
    assert set(codes) <= {0, 7}
    starts = [entry for entry in world.json("audit")["entries"] if entry["kind"] == "start"]
    assert len(starts) == 4


HOLD = """
import sys, time
from pathlib import Path
from gpualloc.wiring import Options, open_context
with open_context(Options()) as ctx, ctx.journal.write("a long apply"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_command_that_is_not_there_fails_that_work_alone(world):
    bad = world.json("submit", "--name", "bad", "--gpus", "1", "--", "no-such-command-at-all")["id"]
    good = world.json("submit", "--name", "good", "--gpus", "1", "--", "sleep", "600")["id"]
    world.run("rebalance", check=6)
    assert (world.workload(bad)["state"], world.workload(bad)["exit_code"]) == ("failed", 127)
    assert world.workload(good)["state"] == "running"
    assert len(world.claims()) == 1
    world.run("release", good)
    wait_until(lambda: world.claims() == [], "the claim is gone")


def test_an_unknown_workload_verb_metric_and_policy(world):
    for args in (
        ("show", "nothing"),
        ("frobnicate",),
        ("history", "--metric", "gpu_utilisation"),
        ("plan", "--policy", "x"),
    ):
        done = world.run(*args, check=2)
        assert done.stderr
