"""Constraints on nodes and devices: labels, paths, NUMA nodes and alternatives of models decide what may be chosen."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import scenes
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Rejection, RejectionReason
from gpualloc.policies import registry
from gpualloc.policies.feasibility import feasible
from gpualloc.policies.filters import matches_model
from gpualloc.policies.overcommit import wrong_places

SET, OTHER = "/data/imagenet", "/data/laion"
FLEET = (
    scenes.node("a1", devices=2, labels={"rack": "r2"}, near={SET: False, OTHER: True}),
    scenes.node("b1", devices=2, labels={"rack": "r3", "disk": "nvme"}, near={SET: True, OTHER: True}),
    scenes.node("c1", devices=2, near={SET: True, OTHER: False}),
)


def answers(*nodes: scenes.Node, **said: Any) -> list[Allocation | Rejection]:
    """What every policy answers."""
    work = scenes.workload("a", **said)
    problem = scenes.problem(nodes, [work])
    return [registry.load(name).begin(problem).place(work) for name in registry.names()]


def place(*nodes: scenes.Node, **said: Any) -> tuple[str, tuple[str, ...]]:
    """Where best-fit puts it."""
    work = scenes.workload("a", **said)
    (answer,) = scenes.decided(registry.load("best-fit"), scenes.problem(nodes, [work])).values()
    assert isinstance(answer, Allocation)
    assert wrong_places(scenes.problem(nodes, [work]), [answer]) == []
    return answer.node, scenes.places(answer)


@pytest.mark.parametrize(
    ("said", "nodes"),
    [
        ({"labels": {"rack": "r3"}}, {"b1"}),
        ({"labels": {"disk": "nvme", "rack": "r3"}}, {"b1"}),
        ({"near": [SET]}, {"b1", "c1"}),
        ({"near": [SET, OTHER]}, {"b1"}),
        ({"near": [SET], "nodes": ["a1", "c1"]}, {"c1"}),
        ({"gpus": 0, "labels": {"rack": "r2"}, "near": [OTHER]}, {"a1"}),
    ],
)
def test_every_policy_keeps_to_labels_and_paths(said: dict[str, Any], nodes: set[str]) -> None:
    found = answers(*FLEET, **said)
    assert {answer.node for answer in found if isinstance(answer, Allocation)} <= nodes
    assert all(isinstance(answer, Allocation) for answer in found)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ({"labels": {"rack": "r1"}}, "no node has the label rack=r1; there are r2, r3"),
        ({"labels": {"disk": "hdd"}}, "no node has the label disk=hdd; there is nvme"),
        ({"labels": {"room": "b"}}, "no node has a label room"),
        ({"labels": {"rack": "r1"}, "nodes": ["a1"]}, "none of a1 has the label rack=r1; there is r2"),
        ({"labels": {"rack": "r2", "disk": "nvme"}}, "no node has the labels rack=r2 and disk=nvme together"),
        ({"near": ["/data/none"]}, "/data/none is on no node that answers"),
        ({"near": [SET], "labels": {"rack": "r2"}}, f"{SET} is on no node with rack=r2 that answers"),
        ({"near": [SET, OTHER], "nodes": ["a1", "c1"]}, f"{SET} and {OTHER} are on no node together"),
    ],
)
def test_what_no_node_has_is_named_with_what_there_is(said: dict[str, Any], detail: str) -> None:
    fleet = [replace(node, near={**node.near, "/data/none": False}) for node in FLEET]
    found = feasible(scenes.snapshot(*fleet), scenes.request(**said))
    assert found is not None
    assert (found.node, found.detail) == (None, detail)
    for answer in answers(*fleet, **said):
        assert isinstance(answer, Rejection)
        assert answer.reason is RejectionReason.INFEASIBLE
        assert detail in answer.detail


def test_a_path_that_hangs_is_not_there_and_rules_nothing_out() -> None:
    hung = scenes.node("d1", devices=2, near={SET: None})
    absent = scenes.node("e1", devices=2, near={SET: False})
    assert feasible(scenes.snapshot(hung, absent), scenes.request(near=[SET])) is None
    for answer in answers(hung, absent, near=[SET]):
        assert isinstance(answer, Rejection)
        assert answer.reason is RejectionReason.NODE_DOWN
        assert answer.detail == f"needs 1 free GPU and {SET}; no word from d1 whether {SET} is there"


def test_a_path_that_nobody_was_asked_for_is_not_there() -> None:
    assert {type(answer) for answer in answers(scenes.node("d1", devices=2), near=[SET])} == {Rejection}


def test_what_keeps_a_request_waiting_tells_its_constraints() -> None:
    full = scenes.node("b1", devices=1, labels={"rack": "r3"}, near={SET: True}, claims=[{"device": 0}])
    (answer, *_) = answers(full, labels={"rack": "r3"}, near=[SET])
    assert isinstance(answer, Rejection)
    assert answer.detail.startswith(f"needs 1 free GPU, the label rack=r3 and {SET} on one node; the closest is b1")


NUMA = [{"numa_node": number} for number in (0, 0, 0, 1, 1, 1, 1, None)]


@pytest.mark.parametrize(
    ("gpus", "busy", "devices"),
    [
        (2, (), ("0", "1")),
        (3, (), ("0", "1", "2")),
        (4, (), ("3", "4", "5", "6")),
        (2, (0, 1), ("3", "4")),
        (2, (3, 4), ("5", "6")),
    ],
)
def test_gpus_near_one_numa_node_leave_the_fewest_there(
    gpus: int, busy: tuple[int, ...], devices: tuple[str, ...]
) -> None:
    node = scenes.node("n1", devices=NUMA, claims=[{"device": index} for index in busy])
    assert place(node, gpus=gpus, numa=True) == ("n1", devices)


def test_a_gpu_with_an_unknown_numa_node_is_not_taken() -> None:
    unknown = scenes.node("n1", devices=2)
    found = feasible(scenes.snapshot(unknown), scenes.request(numa=True))
    assert found is not None
    assert found.detail == "every GPU that matches is near an unknown NUMA node"


def test_too_few_gpus_near_one_numa_node_are_told() -> None:
    found = feasible(scenes.snapshot(scenes.node("n1", devices=NUMA)), scenes.request(gpus=5, numa=True))
    assert found is not None
    assert found.detail == (
        "the largest node has 4 such GPUs (n1: 8 × NVIDIA H100 80GB HBM3; 3 near another NUMA node; "
        "1 near an unknown NUMA node)"
    )


@pytest.mark.parametrize(
    ("selector", "matches"),
    [("A100|H100", True), ("a100 | *h100*", True), ("A100|T4", False), ("h100", True), ("NVIDIA A*|nvidia h*", True)],
)
def test_one_of_the_alternatives_of_a_model_is_enough(selector: str, matches: bool) -> None:
    assert matches_model(scenes.H100, selector) is matches


@given(st.lists(st.sampled_from(["A100", "h100", "*T4", "nvidia*"]), min_size=1), st.sampled_from([scenes.H100, "T4"]))
def test_a_selector_matches_what_any_of_its_parts_matches(parts: list[str], model: str) -> None:
    assert matches_model(model, "|".join(parts)) is any(matches_model(model, part) for part in parts)
