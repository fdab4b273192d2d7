"""`why` and `plan --explain`: what they print, and how they end."""

import json

import pytest
from fakes.memory_context import memory_context

from gpualloc.policies.first_fit import FirstFit


@pytest.fixture(autouse=True)
def deciding(world):
    """A world whose policy decides."""
    world.context = memory_context(policy=FirstFit(), simulated=True)


def data(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["data"]


def test_waiting_work_is_told_what_is_in_the_way(run):
    ran = run("why", "w00000003")
    assert ran.code == 0
    assert ran.out.startswith("simulated\nw00000003 ")
    assert "does not answer (unreachable)" in ran.out
    assert "error: gpu02: unreachable" in ran.err


def test_as_json(run):
    found = data(run("why", "w00000003", "--json"))
    assert (found["id"], found["state"], found["simulated"]) == ("w00000003", "pending", True)
    assert found["policy"] == f"first-fit {FirstFit().version}"
    told = [node for each in found["explanation"]["obstacles"] for node in each["nodes"]]
    assert "gpu02" in told
    assert len(told) == len(set(told))


def test_running_work_is_told_where_it_is(run):
    ran = run("why", "w00000002")
    assert ran.code == 0
    assert "runs since" in ran.out
    assert "MIG-0001" in ran.out
    assert data(run("why", "w00000002", "--json"))["explanation"] is None


def test_unknown_work_is_exit_code_2(run):
    ran = run("why", "w99999999")
    assert (ran.code, ran.out) == (2, "")
    assert "w99999999" in ran.err


def test_a_plan_is_explained_when_asked_to(run):
    found = data(run("plan", "--explain", "--json"))
    waiting = {step["workload"] for step in found["steps"]} | {each["workload"] for each in found["rejections"]}
    assert {each["workload"] for each in found["explanations"]} == waiting
    assert "explanations" not in data(run("plan", "--json"))
    assert "why w00000003" in run("plan", "--explain").out
    assert "why w00000003" not in run("plan").out
