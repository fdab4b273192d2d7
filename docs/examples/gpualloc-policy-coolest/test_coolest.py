"""What the policy promises, and what it likes best. Run it as `pytest test_coolest.py` where both are installed."""

from __future__ import annotations

import pytest
from gpualloc_policy_coolest import Coolest

from gpualloc.model.allocation import Allocation
from gpualloc.model.decision import Problem
from gpualloc.model.inventory import Device, HostReading, Node, NodeSpec, NodeState, Snapshot
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.policies import contract


def test_it_keeps_what_every_policy_promises() -> None:
    """Problems for every filter come with gpualloc."""
    contract.check(Coolest())


def _node(name: str, *temperatures_c: int | None) -> Node:
    devices = tuple(
        Device(f"GPU-{name}-{index}", index, "NVIDIA L4", 23034, memory_used_mib=0, temperature_c=temperature_c)
        for index, temperature_c in enumerate(temperatures_c)
    )
    spec = NodeSpec(name, "main", "simulated")
    return Node(spec, NodeState.OK, 0.0, host=HostReading(cpus=8, memory_total_mib=65536), devices=devices)


@pytest.mark.parametrize(
    ("request_", "place"),
    [
        (Request(("train",)), ["GPU-b-1"]),
        (Request(("train",), gpus=2), ["GPU-a-0", "GPU-a-1"]),
        (Request(("train",), fraction=0.5), ["GPU-b-1"]),
        (Request(("train",), gpus=3), ["GPU-b-0", "GPU-b-1", "GPU-b-2"]),
    ],
)
def test_the_coolest_devices_that_fit_are_taken(request_: Request, place: list[str]) -> None:
    """The node is chosen by the devices that would be taken."""
    nodes = (_node("a", 40, 41), _node("b", 80, 30, 60), _node("c", None))
    waiting = Workload("w00000001", "train", "ann", request_, WorkloadState.PENDING, 0.0)
    answer = Coolest().begin(Problem(Snapshot(0.0, nodes), (waiting,))).place(waiting)
    assert isinstance(answer, Allocation)
    assert [grant.device for grant in answer.grants] == place


def test_work_without_devices_goes_to_the_coolest_node() -> None:
    """A device that does not tell its temperature is never taken for a cool one."""
    waiting = Workload("w00000001", "train", "ann", Request(("prepare",), gpus=0), WorkloadState.PENDING, 0.0)
    nodes = (_node("a", 50, 50), _node("b", 20, 70), _node("c", None, 10))
    answer = Coolest().begin(Problem(Snapshot(0.0, nodes), (waiting,))).place(waiting)
    assert isinstance(answer, Allocation)
    assert (answer.node, answer.grants) == ("b", ())
