"""Constraints on this machine, through the command line and a real node program."""


def test_work_goes_where_its_data_are(world, tmp_path):
    data = tmp_path / "data set"
    refused = world.run("submit", "--near", str(data), "--", "sleep", "600", check=4)
    assert f"{data} is on no node that answers" in refused.stderr
    data.mkdir()
    identity = world.json("submit", "--near", str(data), "--", "sleep", "600")["id"]
    assert f"near {data}" in world.run("show", identity).stdout
    plan = tmp_path / "change.plan"
    world.run("plan", "-o", str(plan))
    data.rmdir()
    assert f"{data} is gone (was there)" in world.run("apply", str(plan), "--yes", check=5).stderr
    (waiting,) = world.json("plan")["rejections"]
    assert (waiting["reason"], f"{data} is on no node that answers" in waiting["detail"]) == ("infeasible", True)
    data.mkdir()
    world.run("apply", str(plan), "--yes")
    assert world.workload(identity)["state"] == "running"


def test_labels_and_alternatives_of_models_choose_the_node(sim):
    identity = sim.json("submit", "--label", "rack=o", "--gpu-model", "A100|L40S", "--", "sleep", "600")["id"]
    sim.run("rebalance")
    assert sim.workload(identity)["node"] == "oak01"
    refused = sim.run("submit", "--label", "rack=z", "--", "true", check=4).stderr
    assert "no node has the label rack=z; there are b, c, o, y" in refused
