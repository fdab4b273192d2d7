"""Steps to a MIG layout: their order, what they need, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from fakes import mig_tables, scenes
from msgspec.structs import replace

from gpualloc.errors import InfeasibleError, UsageError
from gpualloc.model.inventory import MigInstance, Node, Process
from gpualloc.model.mig import parse_target
from gpualloc.model.plan import Step, StepReason
from gpualloc.planning.partition import Partition, held_instances, obstacles, partition_steps

PROFILES = mig_tables.profiles("A100-40GB")
SIZES = {profile.name: profile.size for profile in PROFILES}


def node(*places: str, mode: bool | None = True, pending: bool | None = None, **said: Any) -> Node:
    """A node with one A100 that has the instances MIG-n-0-0, MIG-n-0-1, ... at these places."""
    found = scenes.node("n", devices=1, **said)
    instances = []
    for number, place in enumerate(places):
        profile, _, start = place.partition("@")
        instances.append(MigInstance(f"MIG-n-0-{number}", profile, int(start), SIZES[profile], 4864, 0))
    device = replace(
        found.devices[0],
        architecture="ampere",
        mig_enabled=mode,
        mig_pending=mode if pending is None else pending,
        mig_instances=tuple(instances),
        mig_profiles=PROFILES,
    )
    return replace(found, devices=(device,))


def steps(found: Node, target: str, *, drained: bool = False) -> tuple[Step, ...]:
    wanted = Partition(found, found.devices[0], parse_target(target), StepReason.OPERATOR, "asked")
    return partition_steps(wanted, drained=drained)


def told(made: tuple[Step, ...]) -> list[str]:
    """Kind, place or mode, and the layout after it."""
    words = {True: "on", False: "off", None: ""}
    return [f"{step.kind} {step.place or words[step.mig_enabled]} -> {step.layout}" for step in made]


@pytest.mark.parametrize(
    ("found", "target", "expected"),
    [
        (node("3g.20gb@0"), "3g.20gb@0", []),
        (node(mode=False), "off", []),
        (
            node(mode=False),
            "3g.20gb@0,2g.10gb@4",
            ["mig-mode on -> ", "mig-create 3g.20gb@0 -> 3g.20gb@0", "mig-create 2g.10gb@4 -> 3g.20gb@0,2g.10gb@4"],
        ),
        (node(mode=False), "", ["mig-mode on -> "]),
        (node("1g.5gb@6"), "off", ["mig-destroy 1g.5gb@6 -> ", "mig-mode off -> off"]),
        (
            node("3g.20gb@0", "1g.5gb@4"),
            "3g.20gb@0,2g.10gb@4",
            ["mig-destroy 1g.5gb@4 -> 3g.20gb@0", "mig-create 2g.10gb@4 -> 3g.20gb@0,2g.10gb@4"],
        ),
        # A change that waits for the next reset is taken back.
        (node("1g.5gb@0", pending=False), "1g.5gb@0", ["mig-mode on -> 1g.5gb@0"]),
    ],
)
def test_the_steps_come_in_order_and_need_each_other(found: Node, target: str, expected: list[str]) -> None:
    made = steps(found, target)
    assert told(made) == expected
    assert [step.needs for step in made] == [(seq - 1,) if seq > 1 else () for seq in range(1, len(made) + 1)]
    assert {step.chain for step in made} <= {("n", "GPU-n-0")}


def test_a_change_of_mode_that_resets_says_so() -> None:
    assert steps(node(mode=False), "")[0].blast_radius.resets == ("GPU-n-0",)


def test_an_instance_that_stays_may_be_in_use() -> None:
    found = node("3g.20gb@0", "1g.5gb@6", claims=[{"device": "0/0"}])
    assert told(steps(found, "3g.20gb@0,2g.10gb@4")) == [
        "mig-create 2g.10gb@4 -> 3g.20gb@0,2g.10gb@4,1g.5gb@6",
        "mig-destroy 1g.5gb@6 -> 3g.20gb@0,2g.10gb@4",
    ]


@pytest.mark.parametrize("target", ["", "off", "7g.40gb@0", "4g.20gb@0"])
def test_an_instance_in_use_is_not_destroyed_unless_it_is_drained(target: str) -> None:
    found = node("3g.20gb@0", claims=[{"device": "0/0", "workload": "w00000007"}])
    with pytest.raises(InfeasibleError):
        steps(found, target)
    assert obstacles(found, found.devices[0], parse_target(target)) == ("w00000007",)
    assert steps(found, target, drained=True)


def test_what_nobody_booked_is_not_drained() -> None:
    claims = [{"device": "0/0", "workload": "w00000007"}]
    found = node("3g.20gb@0", claims=claims, processes=[{"device": "0/0", "user": "eve"}])
    for target in ("", "off"):
        with pytest.raises(InfeasibleError):
            steps(found, target, drained=True)


def test_the_mode_does_not_change_under_work_on_the_whole_gpu() -> None:
    found = node(mode=False, claims=[{"device": "0", "workload": "w00000007"}])
    with pytest.raises(InfeasibleError, match="w00000007"):
        steps(found, "1g.5gb@0")
    assert told(steps(found, "1g.5gb@0", drained=True))[0] == "mig-mode on -> "


def test_an_illegal_layout_is_refused_with_the_overlap() -> None:
    with pytest.raises(UsageError, match=r"3g\.20gb@0 and 2g\.10gb@2 overlap"):
        steps(node(), "3g.20gb@0,2g.10gb@2")


def test_a_process_without_a_known_instance_keeps_all_in_use() -> None:
    found = node("1g.5gb@0", "1g.5gb@1", processes=[{"device": "0"}])
    assert all(held.in_use for held in held_instances(found, found.devices[0]))


def test_a_device_whose_driver_tells_no_profiles_is_refused() -> None:
    found = node()
    blind = replace(found, devices=(replace(found.devices[0], mig_profiles=()),))
    with pytest.raises(InfeasibleError, match="does not tell"):
        steps(blind, "1g.5gb@0")


def test_who_is_on_an_instance_in_the_way_is_named_and_drain_not_offered():
    found = node("3g.20gb@0", "3g.20gb@4")
    stranger = Process(4001, found.devices[0].uuid, "MIG-n-0-0", 100, "eve", "python", None, None)
    found = replace(found, processes=(stranger,))
    with pytest.raises(InfeasibleError, match=r"process 4001 of eve on .*3g.20gb@0") as refused:
        steps(found, "7g.40gb@0", drained=True)
    assert "--drain" not in (refused.value.hint or "")
    assert "leaves it alone" in (refused.value.hint or "")
