"""MIG as an operator works with it: layouts, plans, and requests that make their own instances."""

import json
import tomllib

import pytest
from fakes.command import Command

CLUSTER = """
[[nodes]]
name = "amp"
gpus = ["2xA100-40GB"]
driver = "570.86.15"

[[nodes]]
name = "hop"
gpus = ["2xH100-80GB"]
driver = "580.95.05"

[[nodes]]
name = "old"
gpus = ["A100-40GB"]
driver = "550.54.15"

[[nodes]]
name = "plain"
gpus = ["NVIDIA L4"]
"""


@pytest.fixture
def world(tmp_path):
    """A simulated cluster of its own; nothing on it is in MIG mode."""
    file = tmp_path / "cluster.toml"
    file.write_text(CLUSTER)
    return Command(tmp_path, {"GPUALLOC_SIM": str(file)})


def devices(world, node=None):
    found = world.json("mig", "list")["devices"]
    return {f"{row['node']}:{row['index']}": row for row in found if node in (None, row["node"])}


def uuid(world, where):
    return devices(world)[where]["uuid"]


def places(row):
    return [f"{each['profile']}@{each['start']}" for each in row["instances"]]


def test_the_list_shows_every_device_that_knows_mig(world):
    found = devices(world)
    assert sorted(found) == ["amp:0", "amp:1", "hop:0", "hop:1", "old:0"]
    assert {row["mode"] for row in found.values()} == {"disabled"}
    assert all(row["pending_mode"] == row["mode"] and row["instances"] == [] for row in found.values())


def test_a_layout_is_brought_about_kept_changed_and_taken_away(world):
    device = uuid(world, "hop:0")
    layout = "3g.40gb@0,2g.20gb@4,1g.10gb@6"
    planned = world.json("mig", "plan", "--device", device, "--layout", layout)
    assert [step["kind"] for step in planned["steps"]] == ["mig-mode", "mig-create", "mig-create", "mig-create"]
    assert devices(world)["hop:0"]["mode"] == "disabled"
    done = world.json("mig", "apply", "--device", device, "--layout", layout, "--yes")
    assert done["report"]["done"] == 4
    row = devices(world)["hop:0"]
    assert (row["mode"], places(row), row["layout"]) == ("enabled", layout.split(","), layout)
    assert {each["workload"] for each in row["instances"]} == {None}
    assert [each["size"] for each in row["instances"]] == [4, 2, 1]
    again = world.json("mig", "apply", "--device", device, "--layout", layout, "--yes")
    assert again["plan"]["steps"] == []
    kept = {each["profile"]: each["uuid"] for each in row["instances"]}
    world.run("mig", "apply", "--device", device, "--layout", "3g.40gb@0,1g.10gb@4", "--yes")
    changed = devices(world)["hop:0"]
    assert places(changed) == ["3g.40gb@0", "1g.10gb@4"]
    assert changed["instances"][0]["uuid"] == kept["3g.40gb"]
    world.run("mig", "apply", "--device", device, "--layout", "", "--yes")
    assert (devices(world)["hop:0"]["mode"], places(devices(world)["hop:0"])) == ("enabled", [])
    world.run("mig", "apply", "--device", device, "--layout", "off", "--yes")
    assert devices(world)["hop:0"]["mode"] == "disabled"


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("3g.20gb@0,2g.10gb@2", "overlap"),
        ("3g.20gb@1", "cannot start at 1"),
        ("9g.90gb@0", "no MIG profile"),
        ("3g.20gb", "not a place"),
        ("4g.20gb@0,4g.20gb@0", "overlap"),
    ],
)
def test_an_illegal_layout_is_a_usage_error(world, layout, said):
    for verb in ("plan", "apply"):
        told = world.run("mig", verb, "--device", "amp:0", "--layout", layout, *["--yes"][: verb == "apply"], check=2)
        assert said in told.stderr
    assert devices(world)["amp:0"]["mode"] == "disabled"


def test_what_is_asked_wrongly_is_said(world):
    assert world.run("mig", "apply", "--device", "amp:9", "--layout", "", "--yes", check=2)
    assert world.run("mig", "apply", "--device", "amp:0", "--yes", check=2)
    assert world.run("mig", "apply", "--device", "plain:0", "--layout", "", "--yes", check=4)
    assert world.run("mig", "apply", "--device", "amp:0", "--layout", "", check=2)


def test_an_instance_in_use_stays_unless_it_is_drained(world):
    device = uuid(world, "hop:0")
    world.run("mig", "apply", "--device", device, "--layout", "3g.40gb@0,2g.20gb@4", "--yes")
    identity = world.json("submit", "--profile", "2g.20gb", "--nodes", "hop", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    assert {each["workload"] for each in devices(world)["hop:0"]["instances"]} == {None, identity}
    for layout in ("3g.40gb@0", "", "off", "7g.80gb@0"):
        world.run("mig", "plan", "--device", device, "--layout", layout, check=4)
        told = world.run("mig", "apply", "--device", device, "--layout", layout, "--yes", check=4)
        assert identity in told.stderr
    # Beside it everything may change.
    world.run("mig", "apply", "--device", device, "--layout", "2g.20gb@4,1g.10gb@0,1g.10gb@6", "--yes")
    assert world.workload(identity)["state"] == "running"
    world.run("mig", "apply", "--device", device, "--layout", "7g.80gb@0", "--drain", "--yes")
    assert places(devices(world)["hop:0"]) == ["7g.80gb@0"]
    assert world.workload(identity)["state"] != "running"


def test_a_request_makes_the_instance_it_needs(world):
    first = world.json("submit", "--profile", "2g.20gb", "--", "sleep", "1000000")["id"]
    plan = world.json("plan")
    assert [step["kind"] for step in plan["steps"]] == ["mig-mode", "mig-create", "claim", "start"] or [
        step["kind"] for step in plan["steps"]
    ] == ["mig-mode", "mig-create", "claim", "limit", "start"]
    assert plan["steps"][0]["reason"] == "repartitioned for waiting work"
    world.run("rebalance")
    row = world.workload(first)
    assert row["state"] == "running"
    (place,) = [each for device in devices(world).values() for each in device["instances"]]
    assert row["devices"] == [place["uuid"]]
    assert (place["profile"], place["workload"]) == ("2g.20gb", first)
    # The next one lies beside it.
    second = world.json("submit", "--profile", "3g.40gb", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    assert world.workload(second)["state"] == "running"
    assert len([row for row in devices(world).values() if row["mode"] == "enabled"]) == 1
    # Ended work leaves a free instance, which the next request takes as it is.
    world.run("release", first)
    third = world.json("submit", "--profile", "2g.20gb", "--", "sleep", "1000000")["id"]
    assert [step["kind"][:3] for step in world.json("plan")["steps"]].count("mig") == 0
    world.run("rebalance")
    assert world.workload(third)["devices"] == row["devices"]


def test_need_in_memory_and_multiprocessors_finds_the_profile(world):
    identity = world.json(
        "submit", "--share", "mig", "--gpu-memory", "8GiB", "--sm", "20", "--nodes", "amp", "--", "sleep", "1000000"
    )["id"]
    world.run("rebalance")
    assert world.workload(identity)["state"] == "running"
    assert [place for row in devices(world, "amp").values() for place in places(row)] == ["2g.10gb@4"]


def test_a_profile_that_no_gpu_has_is_refused_at_once(world):
    told = world.run("submit", "--profile", "5g.50gb", "--", "true", check=4)
    assert "5g.50gb" in told.stderr
    world.run("submit", "--profile", "2g.20gb", "--fraction", "0.5", "--", "true", check=2)
    world.run("submit", "--share", "mig", "--", "true", check=2)


def test_an_old_driver_shows_a_process_one_instance(world):
    several = ("--gpus", "2", "--profile", "2g.10gb", "--several-instances")
    world.run("submit", "--gpus", "2", "--profile", "2g.10gb", "--", "true", check=2)
    identity = world.json("submit", *several, "--nodes", "amp", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    assert len(world.workload(identity)["devices"]) == 2
    told = world.run("submit", *several, "--nodes", "old", "--", "true", check=4)
    assert "R570" in told.stderr


def test_whole_gpus_come_back_when_nobody_uses_the_instances_made_for_work(world):
    identity = world.json("submit", "--profile", "1g.5gb", "--nodes", "old", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    world.run("release", identity)
    assert devices(world)["old:0"]["mode"] == "enabled"
    whole = world.json("submit", "--nodes", "old", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    assert world.workload(whole)["state"] == "running"
    assert devices(world)["old:0"]["mode"] == "disabled"


def test_an_operators_layout_is_only_added_to(world):
    world.run("mig", "apply", "--device", "old:0", "--layout", "3g.20gb@0,3g.20gb@4", "--yes")
    identity = world.json("submit", "--profile", "2g.10gb", "--nodes", "old", "--", "sleep", "1000000")["id"]
    world.run("rebalance")
    assert world.workload(identity)["state"] == "pending"
    assert places(devices(world)["old:0"]) == ["3g.20gb@0", "3g.20gb@4"]
    world.run("mig", "apply", "--device", "old:0", "--layout", "3g.20gb@0", "--yes")
    world.run("rebalance")
    assert world.workload(identity)["state"] == "running"
    assert places(devices(world)["old:0"]) == ["3g.20gb@0", "2g.10gb@4"]


def test_layouts_go_to_a_file_and_come_back(world, tmp_path):
    world.run("mig", "apply", "--device", "hop:1", "--layout", "4g.40gb@0,3g.40gb@4", "--yes")
    file = tmp_path / "layouts.toml"
    world.run("mig", "export", "hop", "-o", str(file))
    assert tomllib.loads(file.read_text())["layout"][1]["places"] == ["4g.40gb@0", "3g.40gb@4"]
    assert world.json("mig", "assert", "-f", str(file))["holds"] is True
    world.run("mig", "apply", "--device", "hop:1", "--layout", "7g.80gb@0", "--yes")
    told = world.run("mig", "assert", "-f", str(file), check=1)
    assert "7g.80gb@0" in told.stdout
    world.run("mig", "apply", "-f", str(file), "--yes")
    assert world.json("mig", "assert", "-f", str(file))["holds"] is True


def test_a_file_says_what_is_wrong_with_it(world, tmp_path):
    file = tmp_path / "layouts.toml"
    for text, said in (
        ("layout = 3", "[[layout]]"),
        ("[[layout]]\nplaces = []", "selects no device"),
        ('[[layout]]\nmodel = "*"', "neither places nor mig"),
        ('[[layout]]\nmodel = "*"\nplaces = ["3g"]', "not a place"),
        ('[[layout]]\nmodel = "*"\nplace = []', "'place' is not a key"),
        ("[[layout", "not TOML"),
    ):
        file.write_text(text)
        assert said in world.run("mig", "apply", "-f", str(file), "--yes", check=2).stderr


def test_the_audit_trail_and_the_plan_file_know_layouts(world, tmp_path):
    world.run("submit", "--profile", "2g.20gb", "--", "sleep", "1000000")
    plan = tmp_path / "plan.json"
    world.run("plan", "-o", str(plan))
    assert json.loads(plan.read_text())["plan"]["steps"][0]["layout"] is not None
    # Somebody changes the layout meanwhile: the plan is stale.
    target = json.loads(plan.read_text())["plan"]["steps"][0]["device"]
    world.run("mig", "apply", "--device", target, "--layout", "1g.10gb@0", "--yes")
    assert "MIG" in world.run("apply", str(plan), "--yes", check=5).stderr
