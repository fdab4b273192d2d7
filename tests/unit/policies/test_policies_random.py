"""Random places: each node and device as likely, and the same for the same seed and workload."""

from __future__ import annotations

from collections import Counter

from fakes import scenes
from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.policies.random_fit import Random

PROBLEM = scenes.problem([scenes.node("gpu01", devices=1), scenes.node("gpu02", devices=4)], [])


def _place(seed: int, workload: str, **request: object) -> Allocation:
    answer = Random().begin(replace(PROBLEM, seed=seed)).place(scenes.workload(workload, **request))
    assert isinstance(answer, Allocation)
    return answer


def test_nodes_are_as_likely_whatever_they_have() -> None:
    nodes = Counter(_place(seed, "a", gpus=1).node for seed in range(400))
    assert 150 < nodes["gpu01"] < 250


def test_devices_are_as_likely() -> None:
    places = (_place(seed, "a", fraction=0.5) for seed in range(400))
    devices = Counter(scenes.places(place) for place in places if place.node == "gpu02")
    assert len(devices) == 4
    assert min(devices.values()) > 25


def test_the_lot_is_of_the_seed_and_the_workload() -> None:
    assert len({_place(seed, "a", fraction=0.5).node for seed in range(20)}) == 2
    assert len({_place(7, f"w{number}", fraction=0.5).node for number in range(20)}) == 2
    assert _place(7, "a", fraction=0.5) == _place(7, "a", fraction=0.5)
