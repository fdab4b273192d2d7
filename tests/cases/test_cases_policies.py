"""Runs every scenario in policies/*.json: a cluster and requests in, placements or reasons out.

A scenario is `{about, nodes, running, requests, expect}` in the words of `fakes.scenes`; `expect` maps policy names
(`*` is every built-in) to `{workload: {node, devices} | {reason, detail}}`; `detail` is part of the sentence.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fakes import scenes

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Rejection
from gpualloc.policies import catalog, registry
from gpualloc.policies.contract import broken_promises

BUILT_IN = tuple(catalog.BUILT_IN)
CASES = sorted((Path(__file__).parent / "policies").glob("*.json"))


def _answer(found: Allocation | Rejection) -> dict[str, Any]:
    if isinstance(found, Rejection):
        return {"reason": str(found.reason), "detail": found.detail}
    return {"node": found.node, "devices": list(scenes.places(found))}


def _agrees(found: dict[str, Any], expected: dict[str, Any]) -> bool:
    if "reason" in expected:
        return found.get("reason") == expected["reason"] and expected["detail"] in found["detail"]
    return found == {"devices": [], **expected}


def _read(path: Path) -> tuple[scenes.Problem, dict[str, dict[str, Any]]]:
    case = json.loads(path.read_text())
    assert set(case) <= {"about", "nodes", "running", "requests", "expect"}
    nodes = [scenes.node(of.pop("name"), **of) for of in case["nodes"]]
    requests = [scenes.workload(of.pop("id"), **of) for of in case["requests"]]
    running = [
        scenes.allocation(of.pop("id"), of.pop("node"), *of.pop("devices"), **of) for of in case.get("running", ())
    ]
    expected = {
        policy: {**case["expect"].get("*", {}), **case["expect"].get(policy, {})}
        for policy in BUILT_IN
        if policy in case["expect"] or "*" in case["expect"]
    }
    return scenes.problem(nodes, requests, running), expected


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_scenario(path: Path) -> None:
    problem, expected = _read(path)
    assert expected
    for name, answers in expected.items():
        policy = registry.load(name)
        found = {workload: _answer(answer) for workload, answer in scenes.decided(policy, problem).items()}
        assert found.keys() == answers.keys()
        for workload, answer in answers.items():
            assert _agrees(found[workload], answer), f"{name}: {workload} got {found[workload]}, expected {answer}"
        assert broken_promises(policy, problem) == ()


def test_there_are_scenarios() -> None:
    assert len(CASES) >= 25
