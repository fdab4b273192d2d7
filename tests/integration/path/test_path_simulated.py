"""The contract of the simulated cluster and of the JSON that scripts rely on."""

import re

import pytest
from fakes.command import wait_until

FIELDS = {
    "uuid", "index", "model", "memory_total_mib", "memory_used_mib", "gpu_utilization_ratio", "power_w",
    "temperature_c", "state", "unavailable", "mig_instances",
}  # fmt: skip


def test_the_demo_is_mixed_partly_taken_and_the_same_for_all(sim, tmp_path_factory):
    nodes = sim.json("nodes")["nodes"]
    devices = [device for node in nodes for device in node["devices"]]
    assert len(nodes) >= 4
    assert len(devices) >= 20
    assert len({device["model"] for device in devices}) > 1
    assert all(node["simulated"] for node in nodes)
    for device in devices:
        assert set(device) >= FIELDS
        for field in FIELDS - {"mig_instances", "unavailable", "state"}:
            assert device[field] is not None or device["unavailable"].get(field)
    free = sim.json("free")
    assert free["gpus"] >= 12
    other = type(sim)(tmp_path_factory.mktemp("other"), extra_env=sim.extra_env)
    assert [(node["name"], [d["uuid"] for d in node["devices"]]) for node in other.json("nodes")["nodes"]] == [
        (node["name"], [d["uuid"] for d in node["devices"]]) for node in nodes
    ]


def test_four_gpus_together_can_be_had(sim):
    identity = sim.json("submit", "--name", "four", "--gpus", "4", "--", "sleep", "600")["id"]
    sim.run("rebalance")
    row = sim.workload(identity)
    assert row["state"] == "running"
    assert len(row["devices"]) == 4
    assert row["pid"]


@pytest.mark.parametrize(
    ("command", "state", "code"), [(("true",), "finished", 0), (("false",), "failed", 1), (("exit", "9"), "failed", 9)]
)
def test_simulated_commands_end_as_they_should(sim, command, state, code):
    identity = sim.json("submit", "--name", "short", "--gpus", "1", "--", *command)["id"]
    sim.run("rebalance")
    wait_until(lambda: sim.workload(identity)["state"] == state, f"it is {state}")
    assert sim.workload(identity)["exit_code"] == code


def test_simulated_run_passes_the_code_on(sim):
    assert sim.run("run", "--gpus", "1", "--", "exit", "5", check=5).returncode == 5


def test_speed_makes_hours_pass(sim):
    sim.extra_env["GPUALLOC_SIM_SPEED"] = "3600"
    identity = sim.json("submit", "--name", "hours", "--gpus", "2", "--", "sleep", "7200")["id"]
    sim.run("rebalance")
    wait_until(lambda: sim.workload(identity)["state"] == "finished", "two hours passed")


def test_history_keeps_gaps_and_units(sim):
    for _ in range(3):
        sim.run("sample")
    series = sim.json("history", "--metric", "gpu_utilization_ratio", "--since", "1h")["series"]
    assert series
    assert {one["metric"] for one in series} == {"gpu_utilization_ratio"}
    assert {one["unit"] for one in series} == {"ratio"}
    values = [value for one in series for _, value in one["points"]]
    assert all(value is None or 0 <= value <= 1 for value in values)
    assert any(value is None for value in values), "the faulty GPU has no reading, and that is not 0"
    assert "simulated" in sim.run("history", "--metric", "power_w", "--since", "1h").stdout
    assert sim.run("history", "--metric", "power_w", "--since", "1h", "--csv").stdout.count("\n") > len(series)


def test_a_cluster_of_ones_own(sim, tmp_path):
    sim.extra_env["GPUALLOC_SIM"] = str(tmp_path / "mine.toml")
    (tmp_path / "mine.toml").write_text(
        '[[nodes]]\nname = "big[1-2]"\ngpus = ["H100-80GB", "H100-80GB"]\n'
        'cpus = 64\nmemory_gib = 512\ndriver = "580.95"\n'
        '[nodes.labels]\nrack = "r1"\n'
    )
    nodes = sim.json("nodes")["nodes"]
    assert [node["name"] for node in nodes] == ["big1", "big2"]
    assert all(re.search("H100", device["model"]) for node in nodes for device in node["devices"])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[[nodes]]\nname = "a"\ngpus = ["H900"]\ncpus = 4\nmemory_gib = 8\ndriver = "580"\n', "H900"),
        ('[[nodes]]\nname = "a b"\ngpus = []\ncpus = 4\nmemory_gib = 8\ndriver = "580"\n', "a b"),
        ('[[nodes]]\nnaem = "a"\ngpus = []\ncpus = 4\nmemory_gib = 8\ndriver = "580"\n', "naem"),
        ("not toml at all [", "line"),
    ],
)
def test_a_broken_cluster_file_is_explained(sim, tmp_path, text, word):
    (tmp_path / "mine.toml").write_text(text)
    done = sim.run("--sim", str(tmp_path / "mine.toml"), "nodes", check=2)
    assert word in done.stderr
    assert "mine.toml" in done.stderr


def test_simulated_and_real_state_are_apart(sim, world):
    sim.run("submit", "--name", "pretend", "--gpus", "1", "--", "sleep", "600")
    world.extra_env.pop("GPUALLOC_SIM", None)
    assert world.json("ps")["workloads"] == []


def test_a_plan_of_a_simulation_is_not_for_real_nodes(sim, world):
    sim.run("submit", "--name", "pretend", "--gpus", "1", "--", "sleep", "600")
    path = sim.root / "pretend.plan"
    sim.run("plan", "-o", str(path))
    assert world.run("apply", "--yes", str(path), check=5).stderr


def test_a_gang_takes_all_that_is_free_and_is_released_as_one(sim):
    identity = sim.json("submit", "--gpus", "16", "--gang", "--", "sleep", "600")["id"]
    steps = sim.json("plan")["steps"]
    nodes = {step["node"] for step in steps}
    assert [step["kind"] for step in steps] == ["claim"] * len(nodes) + ["start"] * len(nodes)
    sim.run("apply", "--yes")
    row = sim.workload(identity)
    assert (row["state"], len(row["devices"])) == ("running", 16)
    assert [member["rank"] for member in row["members"]] == list(range(len(nodes)))
    assert {member["node"] for member in row["members"]} == nodes
    assert sim.json("free")["gpus"] == 0
    assert "member 0:" in sim.run("show", identity).stdout
    sim.run("release", identity)
    assert sim.workload(identity)["state"] == "released"
    assert sim.json("free")["gpus"] == 16


def test_a_gang_that_waits_says_how_much_is_free(sim):
    sim.json("submit", "--gpus", "17", "--gang", "--", "sleep", "600")
    (rejection,) = sim.json("plan")["rejections"]
    assert rejection["detail"] == "needs 17 free GPUs in a gang; 16 free on 6 nodes"
    refused = sim.run("submit", "--gpus", "400", "--gang", "--", "sleep", "600", check=4)
    assert "27 free on 6 nodes even when all is free" in refused.stderr
