"""What is in the way of a request, node by node, and what would help it."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import scenes

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.inventory import Node
from gpualloc.policies.remedies import MOST_RELEASED, Occupant, RemedyKind, remedies
from gpualloc.policies.survey import survey
from gpualloc.policies.why import obstacles


def kept_out(there: list[Node], **asked: Any) -> dict[tuple[str, ...], tuple[str, ...]]:
    problem = scenes.problem(there, [])
    found = obstacles(problem.snapshot, survey(problem), scenes.request(**asked))
    return {each.reasons: each.nodes for each in found}


def helps(there: list[Node], running: tuple[Allocation, ...] = (), **asked: Any) -> dict[str, tuple[str, str]]:
    """Kind of each remedy to its node and detail; the last of a kind."""
    rooms = survey(scenes.problem(there, [], running))
    movable = [Occupant(each, scenes.request(gpus=len(each.grants))) for each in running]
    return {each.kind.value: (each.node, each.detail) for each in remedies(rooms, movable, (), scenes.request(**asked))}


def full(name: str, *workloads: str, **said: Any) -> Node:
    """A node each of whose devices one of the workloads has."""
    claims = [{"device": index, "workload": workload} for index, workload in enumerate(workloads)]
    return scenes.node(name, devices=len(workloads), claims=claims, **said)


@pytest.mark.parametrize(
    ("node", "asked", "reasons"),
    [
        ({"devices": 2, "state": "unreachable"}, {}, ("does not answer (unreachable)",)),
        ({"devices": 2, "manage": False}, {}, ("only observed",)),
        ({"devices": 2, "cordon": "fans"}, {}, ("cordoned (fans)",)),
        ({"devices": 2}, {"nodes": ["other"]}, ("not among the nodes asked for",)),
        ({"devices": 2}, {"labels": {"rack": "a"}}, ("without the label rack=a",)),
        ({"devices": 2, "near": {"/data": False}}, {"near": ["/data"]}, ("without /data",)),
        ({"devices": 2}, {"near": ["/data"]}, ("not known to have /data",)),
        ({"devices": 2}, {"gpus": 3}, ("too few GPUs",)),
        ({"devices": 2}, {"gpu_model": "B300"}, ("GPUs of another model",)),
        ({"devices": [{"state": "GPU lost"}]}, {}, ("GPUs not healthy: GPU lost",)),
        ({"devices": [{"cordon": "fans"}]}, {}, ("GPUs cordoned (fans)",)),
        ({"devices": [{"mig": []}]}, {}, ("GPUs in MIG mode",)),
        ({"devices": [{"used_mib": None}]}, {}, ("GPUs with unknown free memory",)),
        ({"devices": [{"used_mib": 20000}]}, {}, ("GPUs with memory in use that no process accounts for",)),
        ({"devices": 1}, {"gpu_memory_mib": 90000}, ("GPUs with too little free memory",)),
        ({"devices": 1, "cpus": 4}, {"cpus": 8}, ("too few free CPUs",)),
        ({"devices": 1, "cpus": None}, {"cpus": 8}, ("number of CPUs unknown",)),
        ({"devices": 1, "cpus": 4}, {"cpuset": "0-7"}, ("no CPUs 0-7",)),
        ({"devices": 1, "memory_mib": 4000}, {"memory_mib": 8000}, ("too little free memory",)),
        ({"devices": 1, "memory_mib": None}, {"memory_mib": 8000}, ("free memory unknown",)),
        ({"devices": 1, "mps": False}, {"share_asked": Share.MPS, "fraction": 0.5}, ("GPUs on a node without MPS",)),
        ({"devices": 1}, {"mig_profile": "1g.10gb"}, ("too few MIG instances",)),
        ({"devices": [{"mig": ["2g.20gb"]}]}, {"mig_profile": "1g.10gb"}, ("MIG instances of another profile",)),
        ({"devices": 2, "cpus": 4}, {"gpus": 3, "cpus": 8}, ("too few GPUs", "too few free CPUs")),
        (
            {"devices": [{"used_mib": None}, {"mig": [], "used_mib": 20000}]},
            {},
            ("GPUs in MIG mode", "GPUs with memory in use that no process accounts for"),
        ),
    ],
)
def test_each_obstacle_has_its_name(node: dict[str, Any], asked: dict[str, Any], reasons: tuple[str, ...]) -> None:
    assert kept_out([scenes.node("gpu01", **node)], **asked) == {reasons: ("gpu01",)}


def test_only_what_is_needed_is_named() -> None:
    devices = [{"count": 3}, {"state": "GPU lost"}]
    node = scenes.node("gpu01", devices=devices, claims=[{"device": 0}, {"device": 1}])
    assert kept_out([node], gpus=3) == {("GPUs given to other work",): ("gpu01",)}
    assert set(kept_out([node], gpus=4)) == {("GPUs given to other work", "GPUs not healthy: GPU lost")}


def test_nodes_are_counted_by_what_keeps_them_out_and_those_that_fit_are_not_told() -> None:
    nodes = [full("gpu01", "a"), full("gpu02", "b"), scenes.node("gpu03", devices=1), scenes.node("gpu04")]
    assert list(kept_out(nodes).items()) == [
        (("GPUs given to other work",), ("gpu01", "gpu02")),
        (("too few GPUs",), ("gpu04",)),
    ]


@pytest.mark.parametrize(
    ("node", "asked", "detail"),
    [
        ({"devices": 2}, {"gpus": 4}, "with 2 GPUs instead of 4"),
        ({"devices": 1}, {"gpus": 4}, "with 1 GPU instead of 4"),
        ({"devices": 1, "cpus": 4}, {"cpus": 8}, "with 4 CPUs instead of 8"),
        ({"devices": 1, "memory_mib": 4000}, {"memory_mib": 8000}, "with 4000 MiB of memory instead of 8000"),
        (
            {"devices": 1, "cpus": 4, "memory_mib": 4000},
            {"cpus": 8, "memory_mib": 8000},
            "with 4 CPUs instead of 8 and 4000 MiB of memory instead of 8000",
        ),
        ({"devices": 1}, {"gpu_memory_mib": 90000}, "with 81495 MiB of GPU memory instead of 90000"),
        (
            {"devices": 1, "claims": [{"device": 0, "share": "time-slice", "fraction": 0.7, "memory_mib": 500}]},
            {"fraction": 0.5},
            "with 0.3 of each GPU instead of 0.5",
        ),
        ({"devices": 1}, {"gpu_model": "B300"}, "with another GPU than 'B300'"),
        ({"devices": 1}, {"numa": True}, "without --numa"),
        ({"devices": 1, "cpus": 4}, {"cpuset": "0-7"}, "without --cpuset"),
        ({"devices": 1}, {"labels": {"rack": "a"}}, "without --label rack=a"),
        ({"devices": 1}, {"nodes": ["gpu09"]}, "without --nodes"),
        ({"devices": 1}, {"near": ["/data"]}, "without --near /data"),
        ({"devices": [{"mig": ["2g.20gb"]}]}, {"mig_profile": "1g.10gb"}, "with --profile 2g.20gb"),
    ],
)
def test_the_nearest_request_that_fits_is_told(node: dict[str, Any], asked: dict[str, Any], detail: str) -> None:
    assert helps([scenes.node("gpu01", **node)], **asked) == {"ask": ("gpu01", detail)}


def test_the_node_that_gives_the_most_is_nearest() -> None:
    nodes = [scenes.node("gpu01", devices=1), scenes.node("gpu02", devices=3), scenes.node("gpu03", devices=2)]
    assert helps(nodes, gpus=4)["ask"] == ("gpu02", "with 3 GPUs instead of 4")


def test_the_fewest_cordons_are_ended() -> None:
    many = scenes.node("gpu01", devices=[{"cordon": "fans"}, {"cordon": "fans"}], cordon="moved")
    one = scenes.node("gpu02", devices=[{"cordon": "fans"}, {"state": "GPU lost"}])
    assert helps([many], gpus=1)["uncordon"] == ("gpu01", "without its cordon and the cordon of its GPU 1")
    assert helps([many, one], gpus=1)["uncordon"] == ("gpu02", "without the cordon of its GPU 0")


def test_the_smallest_work_that_is_enough_is_released() -> None:
    big = scenes.allocation("big", "gpu01", "0", "1", "2")
    small = scenes.allocation("small", "gpu01", "3")
    node = full("gpu01", "big", "big", "big", "small")
    assert helps([node], (big, small), gpus=1)["release"] == ("gpu01", "without small")
    assert helps([node], (big, small), gpus=3)["release"] == ("gpu01", "without big")
    assert helps([node], (big, small), gpus=4)["release"] == ("gpu01", "without big and small")


def test_work_of_others_is_never_named() -> None:
    assert helps([full("gpu01", "theirs")]) == {}


def test_no_more_than_a_few_are_released_together() -> None:
    count = MOST_RELEASED + 1
    running = tuple(scenes.allocation(f"w{index}", "gpu01", str(index)) for index in range(count))
    node = full("gpu01", *(each.workload for each in running))
    assert "release" in helps([node], running, gpus=MOST_RELEASED)
    assert "release" not in helps([node], running, gpus=count)


def test_work_that_fits_elsewhere_is_moved() -> None:
    running = scenes.allocation("small", "gpu01", "0")
    nodes = [
        scenes.node("gpu01", devices=2, claims=[{"device": 0, "workload": "small"}]),
        scenes.node("gpu02", devices=1),
    ]
    found = helps(nodes, (running,), gpus=2)
    assert found["migrate"] == ("gpu01", "if small ran on gpu02")
    assert found["release"] == ("gpu01", "without small")


def test_work_moves_on_its_own_node_when_that_joins_what_is_free() -> None:
    part = {"share": "time-slice", "fraction": 0.5, "memory_mib": 1000}
    node = scenes.node(
        "gpu01", devices=2, claims=[{"device": 0, "workload": "a", **part}, {"device": 1, "workload": "b", **part}]
    )
    said = {"share": "time-slice", "fraction": 0.5, "gpu_memory_mib": 1000}
    running = [scenes.allocation("a", "gpu01", "0", **said), scenes.allocation("b", "gpu01", "1", **said)]
    again = scenes.request(fraction=0.5, gpu_memory_mib=1000)
    found = remedies(
        survey(scenes.problem([node], [], running)), [Occupant(each, again) for each in running], (), scenes.request()
    )
    (move,) = [each for each in found if each.kind is RemedyKind.MIGRATE]
    assert (move.workloads, move.node, move.to) == (("a",), "gpu01", "gpu01")
    assert move.detail == "if a ran on another GPU of gpu01"


def test_who_cannot_run_elsewhere_is_not_moved() -> None:
    running = scenes.allocation("small", "gpu01", "0")
    nodes = [full("gpu01", "small"), scenes.node("gpu02", devices=1)]
    rooms = survey(scenes.problem(nodes, [], [running]))
    found = remedies(rooms, [Occupant(running, None)], (), scenes.request(nodes=["gpu01"]))
    assert RemedyKind.MIGRATE not in {each.kind for each in found}
    assert RemedyKind.RELEASE in {each.kind for each in found}
    elsewhere = [Occupant(running, scenes.request(gpu_model="B300"))]
    assert RemedyKind.MIGRATE not in {
        each.kind for each in remedies(rooms, elsewhere, (), scenes.request(nodes=["gpu01"]))
    }


def test_work_that_waits_too_and_goes_first_is_named() -> None:
    first = scenes.allocation("first", "gpu01", "0", "1")
    room = survey(scenes.problem([scenes.node("gpu01", devices=2)], []))["gpu01"].book(first)
    found = remedies({"gpu01": room}, (), [Occupant(first, None)], scenes.request())
    assert [(each.kind, each.detail) for each in found] == [(RemedyKind.GO_FIRST, "before first, which gets the place")]


def test_of_a_gang_it_is_told_what_keeps_a_member_out() -> None:
    nodes = [scenes.node("gpu01", devices=2), scenes.node("gpu02", devices=1)]
    assert kept_out(nodes, gpus=4, gang=True, per_node=2) == {("too few GPUs",): ("gpu02",)}
    assert kept_out(nodes, gpus=4, gang=True) == {}
    assert helps(nodes, gpus=4, gang=True) == {}
