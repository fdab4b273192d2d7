"""From submit to release on this machine: real processes, real control groups, the C driver library."""

import json
import os
import time
from pathlib import Path

import pytest
from fakes.command import wait_until
from fakes.nvml_stub import FakeGpu

pytestmark = pytest.mark.root

UUIDS = {FakeGpu(index).full_uuid for index in (0, 1)}


def submit(world, *args):
    return world.json("submit", "--name", "work", *args)["id"]


def test_work_runs_on_the_gpu_it_was_planned_for_and_its_end_is_recorded(world):
    out, go = world.root / "env", world.root / "go"
    os.mkfifo(go)
    script = f"env > {out}.new; mv {out}.new {out}; read line < {go}"
    identity = submit(world, "--gpus", "1", "--env", "TOKEN=s3cret", "--", "/bin/sh", "-c", script)
    plan = world.json("plan")
    assert plan["applyable"]
    assert [step["kind"] for step in plan["steps"]] == ["claim", "limit", "start"]
    assert all(step["reason"] and step["node"] and step["blast_radius"] for step in plan["steps"])

    world.run("apply", "--yes")

    row = world.workload(identity)
    assert row["state"] == "running"
    assert row["held_by"] == {"gpu": "hard", "cpu": None, "memory": None, "pids": None}
    wait_until(out.exists, "the command ran")
    seen = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
    assert [seen["CUDA_VISIBLE_DEVICES"]] == row["devices"]
    assert seen["CUDA_VISIBLE_DEVICES"] in UUIDS
    assert seen["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert seen["TOKEN"] == "s3cret"

    go.write_text("\n")
    wait_until(lambda: world.workload(identity)["state"] == "finished", "its end is recorded")
    assert world.workload(identity)["exit_code"] == 0
    assert world.claims() == []
    kinds = [entry["kind"] for entry in world.json("audit")["entries"] if entry["workload"] == identity]
    assert kinds == ["submit", "start", "end"]
    told = world.run("audit", "--json").stdout + world.run("show", identity, "--json").stdout
    assert "s3cret" not in told


def test_a_plan_without_work_has_no_changes(world):
    assert world.json("plan")["steps"] == []
    assert "no changes" in world.run("plan").stdout.lower()
    assert world.run("plan", "--detailed-exitcode").returncode == 0
    submit(world, "--", "true")
    assert world.run("plan", "--detailed-exitcode", check=10).returncode == 10
    steps = len(world.json("plan")["steps"])
    told = world.run("rebalance").stderr.splitlines()
    assert [line.partition(" ")[0] for line in told] == [f"[{seq}/{steps}]" for seq in range(1, steps + 1)]
    assert world.json("plan")["steps"] == []
    assert world.run("rebalance").stdout == ""


def test_run_follows_the_output_and_passes_the_exit_code_on(world):
    done = world.run("run", "--gpus", "1", "--", "/bin/sh", "-c", "echo out; echo err >&2; exit 7", check=7)
    assert done.stdout.splitlines() == ["out", "err"]
    assert world.claims() == []


def test_run_tells_apart_what_cannot_be_executed(world, tmp_path):
    assert world.run("run", "--gpus", "0", "--", "no-such-command-at-all", check=127).stderr
    plain = tmp_path / "plain"
    plain.write_text("not a program")
    assert world.run("run", "--gpus", "0", "--", str(plain), check=126).stderr
    assert world.run("run", "--gpus", "9", "--", "true", check=None).returncode in (4, 125)
    assert [row["state"] for row in world.json("ps")["workloads"]] == ["failed", "failed"]


def test_the_memory_limit_kills_and_says_so(world):
    eat = "b = bytearray(256 << 20); print(len(b))"
    done = world.run("run", "--gpus", "0", "--memory", "64MiB", "--", "/usr/bin/python3", "-c", eat, check=137)
    assert "memory limit" in done.stderr
    row = world.json("ps")["workloads"][0]
    assert (row["state"], row["exit_code"]) == ("failed", 137)
    assert row["held_by"]["memory"] == "hard"
    assert world.groups([row["id"]]) == []


def test_half_a_cpu_is_half_a_cpu(world):
    identity = submit(world, "--gpus", "0", "--cpus", "0.5", "--", "/bin/sh", "-c", "while :; do :; done")
    world.run("rebalance")
    row = world.workload(identity)
    assert row["held_by"]["cpu"] == "hard"
    (group,) = [path for path in world.groups([identity]) if "/cpu/" in path or "cpu,cpuacct" in path]
    for folder in (Path(group), Path(group).parent):
        # Without this a busy machine gives a single group less than its quota, and nothing is throttled.
        (folder / "cpu.shares").write_text("102400")
    began, before = time.monotonic(), cpu_ticks(row["pid"])
    wait_until(lambda: times_throttled(group) > 0 and time.monotonic() >= began + 3, "it was held back")
    used = (cpu_ticks(row["pid"]) - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    assert used <= 0.55
    world.run("release", identity)
    assert world.groups([identity]) == []


def times_throttled(group):
    stat = dict(line.split() for line in Path(group, "cpu.stat").read_text().splitlines())
    return int(stat["nr_throttled"])


def cpu_ticks(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_the_cpuset_is_what_was_asked(world):
    identity = submit(world, "--gpus", "0", "--cpuset", "1", "--", "sleep", "600")
    world.run("rebalance")
    assert os.sched_getaffinity(world.workload(identity)["pid"]) == {1}
    world.run("release", identity)


def test_release_ends_everything_the_work_started(world):
    pids = world.root / "pids"
    script = (
        f"sleep 300 & echo $! >> {pids}; setsid sleep 301 & echo $! >> {pids}; trap '' TERM; echo $$ >> {pids}; wait"
    )
    identity = submit(world, "--gpus", "1", "--memory", "256MiB", "--", "/bin/sh", "-c", script)
    world.run("rebalance")
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 3, "its processes are there")
    world.run("release", identity, timeout_s=60)
    assert world.workload(identity)["state"] == "released"
    assert [pid for pid in pids.read_text().split() if os.path.exists(f"/proc/{pid}/root")] == []
    assert world.groups([identity]) == []
    assert world.claims() == []


def test_the_group_goes_with_the_last_process_though_nobody_watches(world):
    go = world.root / "go"
    os.mkfifo(go)
    script = f"read line < {go} & exit 3"
    identity = submit(world, "--gpus", "1", "--memory", "256MiB", "--", "/bin/sh", "-c", script)
    world.run("rebalance")
    assert world.groups([identity])
    go.write_text("\n")
    wait_until(lambda: not world.groups([identity]), "the group is gone")
    assert world.claims() == []
    row = world.workload(identity)
    assert (row["state"], row["exit_code"]) == ("failed", 3)


def test_work_with_a_stranger_on_the_gpu_waits_and_says_why(world):
    world.gpus(
        FakeGpu(0, memory_used_mib=20_000, processes=((os.getpid(), 20_000),)),
        FakeGpu(1, memory_used_mib=39_000, processes=((os.getpid(), 39_000),)),
    )
    submit(world, "--gpus", "1", "--", "sleep", "600")
    plan = world.json("plan")
    assert plan["steps"] == []
    assert plan["rejections"][0]["reason"] == "no capacity"
    assert plan["rejections"][0]["detail"]


def test_two_halves_share_a_gpu_and_a_third_goes_to_the_other(world):
    ids = [
        submit(world, "--gpus", "1", "--fraction", "0.5", "--gpu-memory", "4GiB", "--", "sleep", "600")
        for _ in range(3)
    ]
    world.run("rebalance", "--policy", "best-fit")
    rows = {row["id"]: row for row in world.json("ps")["workloads"]}
    devices = [rows[identity]["devices"][0] for identity in ids]
    assert len(set(devices)) == 2
    assert {rows[identity]["held_by"]["gpu"] for identity in ids} == {"booked"}
    world.run("release", *ids)


def test_names_stay_data(world):
    name = "a'; touch /tmp/gpualloc-pwned; '\n\x1b[31m../../x\u202e"
    identity = world.json("submit", "--name", name, "--gpus", "0", "--", "sleep", "600")["id"]
    world.run("rebalance")
    assert world.workload(identity)["name"] == name
    assert "\x1b" not in world.run("ps").stdout
    assert not os.path.exists("/tmp/gpualloc-pwned")
    world.run("release", identity)


def test_logs_wait_and_show(world):
    identity = submit(world, "--gpus", "0", "--", "/bin/sh", "-c", "echo hello; exit 4")
    world.run("rebalance")
    world.run("wait", identity, check=None)
    assert world.run("logs", identity).stdout == "hello\n"
    assert json.loads(world.run("show", identity, "--json").stdout)["data"]["exit_code"] == 4


def test_at_most_ends_it(world):
    identity = submit(world, "--gpus", "0", "--at-most", "1s", "--", "sleep", "600")
    world.run("rebalance")
    wait_until(lambda: world.workload(identity)["state"] == "failed", "it was stopped")
    assert "--at-most" in world.workload(identity)["reason"]
