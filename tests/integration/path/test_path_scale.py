"""Scaling as an operator runs it: a pool of this machine, real programs, and the audit trail between the commands."""

import json
import sys

import pytest

ADD = """
import json, sys
order = json.load(sys.stdin)
open({log!r}, "a").write(json.dumps(order) + "\\n")
print("buying", file=sys.stderr)
print(json.dumps({{"added": [f"gpu{{n:02d}}" for n in range(order["count"])]}}))
"""


@pytest.fixture
def scaled(world, tmp_path):
    """This machine, with two GPUs, as a pool that wants more when it is full; the orders that were given."""
    log, program = tmp_path / "orders", tmp_path / "add.py"
    program.write_text(ADD.format(log=str(log)))

    def configure(*lines, hook=(sys.executable, str(program))):
        words = json.dumps(list(hook))
        world.configure(
            "\n".join(
                ['[pools.desk]\nnodes = "localhost"\n[pools.desk.scaling]', f"up_hook = {words}", *lines],
            )
        )

    # Above 1 no use of the CPUs of this machine counts.
    configure("up = 1.2")
    return configure, lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def test_a_full_pool_orders_a_node_once(world, scaled):
    _, orders = scaled
    assert world.json("scale")["pools"][0]["change"] == 0
    world.run("submit", "--gpus", "2", "--", "sleep", "600")
    world.run("submit", "--gpus", "1", "--", "sleep", "600")
    world.run("rebalance")
    (told,) = world.json("scale")["pools"]
    assert (told["nodes"], told["demand_gpus"], told["load"], told["change"]) == (1, 3.0, 1.5, 1)
    assert orders() == []
    assert world.run("scale", "--detailed-exitcode", check=10).stdout.startswith("desk: 1 node ")

    (done,) = world.json("scale", "--apply")["pools"]
    (order,) = done["orders"]
    assert (order["direction"], order["nodes"], order["problem"]) == ("up", ["gpu00"], None)
    (given,) = orders()
    assert (given["order"], given["pool"], given["count"]) == (order["order"], "desk", 1)
    (again,) = world.json("scale", "--apply", "desk")["pools"]
    assert (again["nodes"], again["ordered"], again["change"], again["orders"]) == (2, 1, 0, [])
    assert len(orders()) == 1
    entries = [entry for entry in world.json("audit")["entries"] if entry["kind"] == "scale"]
    assert [entry["detail"]["state"] for entry in entries] == ["asked", "done"]
    assert entries[1]["detail"]["output"] == "buying\n"


def test_a_program_that_fails_is_an_error_that_is_told(world, scaled):
    configure, orders = scaled
    configure("min = 3", hook=("/bin/sh", "-c", "echo sold out >&2; exit 3"))
    ran = world.run("scale", "--apply", check=1)
    assert "0 of 2 nodes were added to pool desk: exit code 3" in ran.stderr
    (entry,) = [one for one in world.json("audit")["entries"] if one["detail"].get("state") == "failed"]
    assert (entry["detail"]["problem"], entry["detail"]["output"]) == ("exit code 3", "sold out\n")
    assert orders() == []


def test_the_predictive_policy_works_from_the_first_day(world, scaled):
    configure, _ = scaled
    configure('policy = "predictive"', "up = 1.2")
    world.run("submit", "--gpus", "2", "--", "sleep", "600")
    world.run("rebalance")
    (told,) = world.json("scale")["pools"]
    assert (told["policy"], told["demand_gpus"], told["soon_gpus"]) == ("predictive", 2.0, None)
    assert "too little is known" in told["why"]
