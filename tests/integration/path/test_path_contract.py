"""The contract that scripts rely on, field by field, on the embedded cluster and on this machine."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from fakes.command import Command, wait_until
from fakes.nvml_stub import FakeGpu

NOBODY = 65534
DEVICE = {
    *("uuid", "index", "model", "memory_total_mib", "memory_used_mib", "gpu_utilization_ratio", "power_w"),
    *("temperature_c", "state", "unavailable", "mig_instances"),
}
READINGS = ("memory_used_mib", "gpu_utilization_ratio", "power_w", "temperature_c")
WORKLOAD = {"id", "name", "owner", "state", "reason", "node", "devices", "pid", "exit_code", "held_by"}
HELD_BY = {"gpu", "memory", "cpu", "pids"}


def as_nobody(command, *args):
    """Run gpualloc as an account without rights that can read this installation, and nothing more."""
    rights = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    who = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", *rights]
    return subprocess.run(
        [*who, sys.executable, "-m", "gpualloc", *args],
        env=command.env,
        capture_output=True,
        text=True,
        cwd="/",
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


@pytest.fixture
def foreign():
    """A world that belongs to an account without rights."""
    # Not pytest's folder: each new run of pytest closes that to everyone but its owner.
    folder = Path(tempfile.mkdtemp(prefix="foreign"))
    command = Command(folder)
    command.gpus(FakeGpu(0))
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    yield command
    command.stop_everything()
    shutil.rmtree(folder)


def test_every_device_has_every_field_and_every_null_a_reason(sim):
    nodes = sim.json("nodes")["nodes"]
    assert len(nodes) >= 4
    devices = [device for node in nodes for device in node["devices"]]
    assert len(devices) >= 20
    assert all(node["simulated"] is True for node in nodes)
    for device in devices:
        assert set(device) >= DEVICE
        assert all(device["unavailable"][name] for name in READINGS if device[name] is None)
        assert all(
            {"uuid", "profile", "start", "size", "workload"} <= set(instance) for instance in device["mig_instances"]
        )
    free = sim.json("free")
    assert free["gpus"] >= 12
    assert any(
        len(node["devices"]) == 4 and all(not d["workloads"] and not d["processes"] for d in node["devices"])
        for node in nodes
    )


def test_an_instance_is_given_by_its_uuid_and_says_who_has_it(sim):
    identity = sim.json("submit", "--name", "m", "--profile", "1g.6gb", "--", "sleep", "600")["id"]
    sim.run("rebalance")
    row = sim.workload(identity)
    assert set(row) >= WORKLOAD
    assert set(row["held_by"]) == HELD_BY
    assert [uuid[:4] for uuid in row["devices"]] == ["MIG-"]
    instances = [
        instance
        for node in sim.json("nodes")["nodes"]
        for device in node["devices"]
        for instance in device["mig_instances"]
    ]
    assert [one["uuid"] for one in instances if one["workload"] == identity] == row["devices"]


def test_a_plan_has_its_fields_and_tells_changes_by_exit_code(sim):
    sim.run("submit", "--name", "x", "--gpus", "4", "--", "sleep", "600")
    done = sim.run("plan", "--json", "--detailed-exitcode", check=10)
    plan = json.loads(done.stdout)
    assert plan["schema"] == "gpualloc.plan/1"
    assert {"id", "base_digest", "applyable", "steps", "rejections"} <= set(plan["data"])
    step = {"seq", "kind", "node", "target", "reason", "blast_radius"}
    assert all(step <= set(one) for one in plan["data"]["steps"])
    sim.run("apply", "--yes")
    assert sim.run("plan", "--detailed-exitcode").stdout.endswith("no changes\n")


def test_each_start_of_a_process_is_one_entry_and_not_before_it_was_asked_for(world):
    world.run("run", "--gpus", "0", "--", "true")
    entries = world.json("audit")["entries"]
    assert [entry["kind"] for entry in entries] == ["submit", "apply", "start", "end"]
    assert all({"kind", "workload", "node", "at_s"} <= set(entry) for entry in entries)
    submitted, _, started, ended = (entry["at_s"] for entry in entries)
    assert submitted - 0.1 <= started <= ended + 0.1


def test_without_rights_limits_are_booked_and_called_so(foreign):
    limits = ("--memory", "64MiB", "--cpus", "1", "--pids", "20")
    done = as_nobody(foreign, "run", "--name", "n", "--gpus", "1", *limits, "--", "id", "-u")
    assert (done.stdout, done.returncode) == (f"{NOBODY}\n", 0), done.stderr
    (row,) = json.loads(as_nobody(foreign, "ps", "--json").stdout)["data"]["workloads"]
    assert row["held_by"]["gpu"] == "soft"
    assert {row["held_by"][limit] for limit in ("memory", "cpu", "pids")} <= {"booked", "soft"}
    assert row["state"] == "finished"


def test_the_state_of_another_account_is_refused_in_words(foreign):
    assert as_nobody(foreign, "submit", "--name", "n", "--gpus", "0", "--", "true").returncode == 0
    for path in (foreign.state_dir, *foreign.state_dir.rglob("*")):
        os.chown(path, 0, 0)
    done = as_nobody(foreign, "submit", "--name", "o", "--gpus", "0", "--", "true")
    assert done.returncode == 1
    assert "GPUALLOC_STATE_DIR" in done.stderr


def test_a_watcher_starts_waiting_work_when_what_was_in_its_way_ends(world):
    go = world.root / "go"
    os.mkfifo(go)
    watcher = world.start("rebalance", "--watch")
    try:
        wait_until(lambda: world.json("status")["starter"] == "watch", "it watches")
        first = world.json("submit", "--name", "a", "--gpus", "2", "--", "/bin/sh", "-c", f"read line < {go}")["id"]
        wait_until(lambda: world.workload(first)["state"] == "running", "the first runs")
        second = world.json("submit", "--name", "b", "--gpus", "2", "--", "sleep", "600")["id"]
        wait_until(lambda: world.workload(second)["reason"], "the second waits")
        go.write_text("\n")
        wait_until(lambda: world.workload(second)["state"] == "running", "the second runs")
        assert world.workload(first)["state"] == "finished"
        assert world.run("rebalance", "--watch", check=7).stderr
    finally:
        watcher.terminate()
        out, err = watcher.communicate(timeout=60)
    assert (watcher.returncode, err) == (0, "")
    assert out.count("3 steps done") == 2
