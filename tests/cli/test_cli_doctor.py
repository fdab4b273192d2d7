"""`gpualloc doctor`."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gpualloc.engine.doctor import LocalFacts
from gpualloc.model.inventory import CgroupSupport, Node, NodeSpec, NodeState, Snapshot

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
