"""What operators do with nodes, through the command line on the embedded cluster."""


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
    assert opened == [{"node": node, "device": None, "was_cordoned": True}]
    assert [entry["kind"] for entry in sim.json("audit")["entries"]][-3:] == ["cordon", "drain", "uncordon"]
