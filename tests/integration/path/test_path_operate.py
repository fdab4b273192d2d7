"""What operators do with nodes, through the command line, on the embedded cluster and on this machine."""

import json
from pathlib import Path

import pytest


def running(sim, *options):
    identity = sim.json("submit", "--name", "x", *options, "--", "sleep", "600")["id"]
    sim.run("rebalance")
    return sim.workload(identity)


def test_a_node_is_cordoned_drained_and_opened_again(sim):
    work = running(sim, "--gpus", "1")
    node = work["node"]
    (made,) = sim.json("cordon", node, "--reason", "new disks")["cordons"]
    assert (made["node"], made["device"], made["state"], made["reason"]) == (node, None, "cordoned", "new disks")
    (seen,) = sim.json("nodes", node)["nodes"]
    assert seen["cordon"] == "new disks"

    told = sim.json("drain", node)
    assert [each["state"] for each in told["cordons"]] == ["draining"]
    assert [(each["id"], each["state"]) for each in told["workloads"]] == [(work["id"], "running")]
    assert (told["plans"], told["staying"]) == ([], [])
    assert sim.workload(work["id"])["state"] == "running"

    opened = sim.json("uncordon", node)["places"]
    assert opened == [{"node": node, "device": None, "was_cordoned": True, "doubtful": None}]
    assert [entry["kind"] for entry in sim.json("audit")["entries"]][-3:] == ["cordon", "drain", "uncordon"]


def test_evicted_work_leaves_its_node(sim):
    work = running(sim, "--gpus", "1")
    told = sim.json("drain", work["node"], "--evict")
    assert told["staying"] == []
    assert told["workloads"][0]["way"] in ("suspend", "stop")
    assert told["reports"]
    now = sim.workload(work["id"])
    assert (now["state"], now["reason"].partition(" by ")[0]) in (
        ("suspended", f"drained from {work['node']}"),
        ("pending", f"drained from {work['node']}"),
    )
    (node,) = sim.json("nodes", work["node"])["nodes"]
    assert all(work["id"] not in device["workloads"] for device in node["devices"])


def test_drift_and_reconcile_follow_envelope_and_exit_codes(sim):
    running(sim, "--gpus", "1", "--cpus", "2")
    assert sim.json("drift", "--detailed-exitcode") == {"simulated": True, "drift": [], "unknown": []}
    told = sim.json("reconcile", "--dry-run", "--detailed-exitcode")
    assert (told["plan"]["steps"], told["report"], told["remains"]) == ([], None, [])
    assert sim.json("reconcile", "--boot")["drift"] == []
    assert "add --yes" in sim.run("reconcile", check=2).stderr
    assert sim.run("drift", "nowhere", check=2).stdout == ""
    assert sim.run("reconcile", "--boot", "--dry-run", check=2).returncode == 2


def test_a_device_is_set_and_given_back(sim):
    done = sim.json("set", "yew01", "--device", "2", "--power", "300W", "--clocks", "210-1410", "--yes")
    assert (done["report"]["done"], done["confirmed"]) == (1, True)
    (node,) = sim.json("nodes", "yew01")["nodes"]
    assert node["devices"][2]["power_limit_w"] == 300
    assert sim.json("set", node["devices"][2]["uuid"], "--release", "--yes")["report"]["done"] == 1
    (node,) = sim.json("nodes", "yew01")["nodes"]
    assert node["devices"][2]["power_limit_w"] == 700
    for wrong in (["--power", "9 lives"], ["--clocks", "9-1"], ["--compute-mode", "x"], ["--persistence", "x"], []):
        assert sim.run("set", "yew01", *wrong, "--yes", check=2).stdout == ""


def reboot(sim, node):
    """What a reboot takes from a simulated node: MIG mode, instances and settings, and its boot id."""
    file = sim.state_dir / "sim" / "demo" / "cluster.json"
    cluster = json.loads(file.read_text())
    host = cluster["hosts"][node]
    host["boot_id"] += "-2"
    for gpu in host["gpus"]:
        gpu.update(mig=[False, False], instances=[], settings={})
    file.write_text(json.dumps(cluster))


def test_layouts_and_settings_are_made_again_after_a_reboot(sim):
    sim.run("mig", "apply", "--device", "yew01:2", "--layout", "3g.40gb@0,2g.20gb@4", "--yes")
    sim.run("set", "yew01", "--device", "2", "--power", "300W", "--yes")
    assert sim.json("drift")["drift"] == []
    reboot(sim, "yew01")
    assert {(row["field"], row["class"]) for row in sim.json("drift")["drift"]} == {
        ("mig-mode", "changed"),
        ("mig-instance", "missing"),
        ("power_limit_w", "changed"),
    }
    told = sim.json("reconcile", "yew01", "--boot", "--wait", "1s", "--detailed-exitcode")
    assert [step["kind"] for step in told["plan"]["steps"]] == ["mig-mode", "mig-create", "mig-create", "set"]
    assert (told["left"], told["remains"], told["report"]["done"]) == ([], [], 4)
    (device,) = [device for device in sim.json("mig", "list", "yew01")["devices"] if device["index"] == 2]
    assert device["layout"] == "3g.40gb@0,2g.20gb@4"


@pytest.mark.root
def test_limits_changed_by_a_foreign_hand_are_found_and_set_again(world):
    work = running(world, "--gpus", "1", "--pids", "40")
    if work["held_by"]["pids"] != "hard":
        pytest.skip("this machine cannot limit processes")
    assert (work["limits"]["asked"]["pids"], work["limits"]["bound"]["pids"]) == (40, 40)
    assert world.json("drift")["drift"] == []
    (file,) = [Path(group, "pids.max") for group in world.groups([work["id"]]) if Path(group, "pids.max").exists()]
    file.write_text("11")
    (row,) = world.json("drift", "--detailed-exitcode", check=10)["drift"]
    assert (row["workload"], row["field"], row["class"], row["desired"], row["live"]) == (
        work["id"],
        "pids",
        "changed",
        40,
        11,
    )
    told = world.json("reconcile", "--yes", "--detailed-exitcode")
    assert ([step["kind"] for step in told["plan"]["steps"]], told["remains"]) == (["limit"], [])
    assert file.read_text().strip() == "40"
    assert world.workload(work["id"])["pid"] == work["pid"]


@pytest.mark.root
def test_real_work_gives_way_and_waits_again(world):
    work = running(world, "--gpus", "1")
    told = world.json("drain", work["node"], "--evict", "--reason", "new disks")
    assert [each["state"] for each in told["cordons"]] == ["drained"]
    assert [(each["state"], each["way"]) for each in told["workloads"]] == [("pending", "stop")]
    assert world.claims() == []
    world.run("rebalance")
    waiting = world.workload(work["id"])
    assert (waiting["state"], waiting["reason"].partition(":")[0]) == ("pending", "reserved")
    world.run("uncordon", work["node"])
    world.run("rebalance")
    assert world.workload(work["id"])["state"] == "running"
