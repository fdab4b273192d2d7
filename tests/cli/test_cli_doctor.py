"""`gpualloc doctor`."""

from __future__ import annotations

import json

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from msgspec.structs import replace

from gpualloc.engine.doctor import LocalFacts
from gpualloc.model.inventory import CgroupSupport, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.readings import ReadingCost

FACTS = LocalFacts(None, None, "/state", None, "ext4", ("nvidia-ml-py",), 1_790_000_000.0)
WELL = Node(
    NodeSpec("gpu01", "p", "ssh"),
    NodeState.OK,
    1_790_000_000.0,
    privileged=True,
    cgroup=CgroupSupport("v2", ("cpu", "memory", "pids"), writable=True),
)
SICK = replace(WELL, spec=NodeSpec("gpu02", "p", "ssh"), state=NodeState.AUTH_FAILED, reason="evil \x1b[31m")


@pytest.fixture
def facts(world):
    """What wiring gathers; a test may put something else in it."""
    gathered = {"snapshot": Snapshot(1_790_000_000.0, (WELL, SICK)), "facts": FACTS}
    world.look_for_doctor = lambda options: (gathered["snapshot"], gathered["facts"])
    return gathered


def test_findings_by_place_with_words_and_hints(run, facts):
    ran = run("doctor")
    assert ran.code == 0
    assert [line for line in ran.out.splitlines() if line and not line.startswith(" ")] == [
        "this installation",
        "gpu01",
        "gpu02",
        "ok: 9, warning: 0, problem: 1",
    ]
    assert "  problem  reach: auth failed: evil \\x1b[31m" in ran.out
    assert "ssh -o BatchMode=yes gpu02 true" in ran.out


@pytest.mark.parametrize(("nodes", "code"), [((WELL,), 0), ((WELL, SICK), 10)])
def test_the_detailed_exit_code_tells_whether_all_is_well(run, facts, nodes, code):
    facts["snapshot"] = Snapshot(1_790_000_000.0, nodes)
    assert run("doctor", "--detailed-exitcode").code == code


def test_as_json(run, facts):
    facts["snapshot"] = None
    facts["facts"] = replace(FACTS, config_problem="config.toml, line 1: polcy: no such key")
    answer = json.loads(run("doctor", "--json").out)
    assert answer["schema"] == "gpualloc.doctor/1"
    assert answer["data"]["healthy"] is False
    assert answer["data"]["findings"][0] == {
        "check": "config",
        "state": "problem",
        "node": None,
        "what": "config.toml, line 1: polcy: no such key",
        "hint": "`gpualloc config check` tells all of it",
    }


class CostlyFleet(MemoryFleet):
    """Tells what reading costs."""

    def cost(self, node):
        return (ReadingCost("host", None, 3, 0.001, 0.002), ReadingCost("ecc", 60.0, 1, 0.3, 0.3))


def test_what_reading_costs(run, world):
    world.context = memory_context(fleet=CostlyFleet(nodes=(WELL,)))
    assert [line.split() for line in run("doctor", "--cost").out.splitlines()] == [
        ["gpu01,", "sampled", "every", "10", "s"],
        ["group", "every", "calls", "mean", "most", "of", "a", "CPU"],
        ["ecc", "60", "s", "1", "300.00", "ms", "300.00", "ms", "0.50", "%"],
        ["host", "each", "look", "3", "1.00", "ms", "2.00", "ms", "0.01", "%"],
        ["together", "0.51", "%"],
    ]


def test_what_reading_costs_as_json(run, world):
    world.context = memory_context(fleet=CostlyFleet(nodes=(WELL,)))
    data = json.loads(run("doctor", "--cost", "--json").out)["data"]
    (told,) = data["nodes"]
    assert (told["node"], told["sampling_every_s"], data["simulated"]) == ("gpu01", 10.0, False)
    assert told["groups"][0] == {
        "group": "ecc",
        "every_s": 60.0,
        "calls": 1,
        "mean_s": 0.3,
        "max_s": 0.3,
        "cpu_ratio": 0.005,
    }
