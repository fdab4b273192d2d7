"""What the doctor finds when it compares nodes, and what reading them costs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from msgspec.structs import replace

from gpualloc.engine.doctor_cost import reading_costs
from gpualloc.engine.doctor_fleet import END_OF_LIFE, ENDED, fleet_findings
from gpualloc.errors import UnreachableError
from gpualloc.model.desired import DeviceSettings
from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState
from gpualloc.model.readings import Board, ReadingCost

NOW = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
GPU = Device("GPU-1", 0, "NVIDIA L4", 23034, board=Board("0000:03:00.0", "1", "95.04.1", "G193.02"))


def node(name="gpu01", pool="p", **changes):
    fields = {"driver_version": "580.95.05", "devices": (GPU,), **changes}
    return Node(NodeSpec(name, pool, "ssh"), NodeState.OK, NOW, **fields)


def found(*nodes, now_s=NOW):
    return [
        (finding.node, finding.check, finding.what) for own in fleet_findings(nodes, now_s).values() for finding in own
    ]


def test_alike_and_in_time_is_well():
    assert found(node("a"), node("b"), node("c", driver_version=None, devices=())) == []


def test_a_driver_older_than_others_of_its_pool():
    told = found(node("a", driver_version="580.9.1"), node("b"), node("c", "other", driver_version="580.65.06"))
    assert told == [("a", "driver-version", "its driver 580.9.1 is older than 580.95.05 on others of pool p")]


@pytest.mark.parametrize("version", ["", "garbage", "580", "580.x", "9" * 5000])
def test_a_version_that_is_none_is_passed_over(version):
    assert found(node("a", driver_version=version), node("b")) == []


@pytest.mark.parametrize("branch", sorted(END_OF_LIFE))
def test_a_branch_is_supported_to_the_end_of_its_last_month(branch):
    year, month = END_OF_LIFE[branch]
    aged = node(driver_version=f"{branch}.10.01")
    last = datetime(year, month, 28, tzinfo=UTC).timestamp()
    assert found(aged, now_s=last) == []
    ((_, check, what),) = found(aged, now_s=last + 4 * 86_400)
    assert check == "driver-support"
    assert f"R{branch}, which reached its end of life in " in what
    assert str(year) in what


@pytest.mark.parametrize("branch", sorted(ENDED))
def test_a_branch_that_ended_without_a_date(branch):
    ((_, check, what),) = found(node(driver_version=f"{branch}.10.01"))
    assert (check, what.endswith("before August 2025")) == ("driver-support", True)


def test_a_branch_that_nobody_knows_is_passed_over():
    assert found(node(driver_version="999.1.2")) == []


def test_boards_of_one_model_with_another_firmware():
    odd = replace(GPU, uuid="GPU-2", index=1, board=replace(GPU.board, vbios_version="95.04.0"))
    told = found(node("a", devices=(GPU, odd)), node("b"))
    assert told == [("a", "firmware", "VBIOS 95.04.0 on GPU 1; most boards of NVIDIA L4 in the fleet have 95.04.1")]


def test_boards_that_tell_no_firmware_are_passed_over():
    assert found(node("a"), node("b", devices=(replace(GPU, board=Board()),))) == []


@pytest.mark.parametrize(
    ("changes", "check", "told"),
    [
        ({"devices": (replace(GPU, settings=DeviceSettings(persistence=False)),)}, "persistence", "GPU 0"),
        ({"kernel_log_reason": "Operation not permitted"}, "kernel-log", "Operation not permitted"),
        ({"limited": "read through nvidia-smi"}, "limited", "nvidia-smi"),
        ({"clock_offset_s": 31.0}, "clock", "31 s ahead of"),
    ],
)
def test_what_is_wrong_on_one_node(changes, check, told):
    ((_, its_check, what),) = found(node(**changes))
    assert its_check == check
    assert told in what


def test_a_node_that_is_not_reached_is_not_compared():
    assert fleet_findings([Node(NodeSpec("a", "p", "ssh"), NodeState.UNREACHABLE, NOW)], NOW) == {}


class CostlyFleet(MemoryFleet):
    """Tells what reading costs; one node is lost while it is asked."""

    looks = 0

    def observe(self, names=None, near=()):
        self.looks += 1
        return super().observe(names, near)

    def cost(self, node):
        if node == "b":
            raise UnreachableError("b: it went away", node="b")
        return (ReadingCost("host", None, 3, 0.001, 0.002), ReadingCost("ecc", 60.0, 1, 0.3, 0.3))


def test_the_cost_of_reading_is_a_part_of_a_cpu_at_the_sampling_period():
    fleet = CostlyFleet(nodes=(node("a"), node("b"), Node(NodeSpec("c", "p", "ssh"), NodeState.UNREACHABLE, NOW)))
    (cost,), (error,) = reading_costs(memory_context(fleet=fleet))
    assert (cost.node, [group.group for group in cost.groups]) == ("a", ["ecc", "host"])
    assert [cost.share(group) for group in cost.groups] == [0.3 / 60, 0.001 / 10]
    assert cost.total == pytest.approx(0.0051)
    assert error.node == "b"
    assert fleet.looks == 3
