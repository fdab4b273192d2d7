"""Allocations into steps and back."""

from __future__ import annotations

from graphlib import CycleError

import pytest
from fakes import scenes
from msgspec.structs import replace

from gpualloc.model.plan import BlastRadius, StepKind, StepReason
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.steps import cleanup_steps, release_steps, steps_for

C, L, S = StepKind.CLAIM, StepKind.LIMIT, StepKind.START


def test_one_chain_after_another_in_the_order_decided() -> None:
    fleet = scenes.snapshot(scenes.node("gpu01", devices=4), scenes.node("gpu02", devices=2))
    works = {
        "w2": scenes.workload("w2", gpus=2, cpus=4, attempt=2, revision=7),
        "w1": scenes.workload("w1"),
        "w3": scenes.workload("w3", gpus=0),
    }
    decided = [
        scenes.allocation("w2", "gpu02", "0", "1", cpus=4.0),
        scenes.allocation("w1", "gpu01", "3"),
        scenes.allocation("w3", "gpu01"),
    ]
    steps = steps_for(decided, works, fleet)
    assert [(step.seq, step.kind, step.workload, step.needs) for step in steps] == [
        (1, C, "w2", ()),
        (2, L, "w2", (1,)),
        (3, S, "w2", (2,)),
        (4, C, "w1", ()),
        (5, S, "w1", (4,)),
        (6, S, "w3", ()),
    ]
    assert {(step.attempt, step.revision) for step in steps[:3]} == {(3, 7)}
    assert [step.target for step in steps[2:]] == [
        f"GPU 0,1 ({scenes.H100})",
        f"GPU 3 ({scenes.H100})",
        f"GPU 3 ({scenes.H100})",
        "no GPU",
    ]
    assert all(step.allocation is not None and step.reason is StepReason.WAITING for step in steps)


@pytest.mark.parametrize("limit", [{"cpus": 1.0}, {"cpuset": "0-1"}, {"memory_mib": 5}, {"pids": 9}])
def test_every_kind_of_limit_gets_its_step(limit: dict[str, object]) -> None:
    steps = steps_for([scenes.allocation("w1", "n", **limit)], {"w1": scenes.workload("w1")}, scenes.snapshot())
    assert [step.kind for step in steps] == [L, S]


def test_shared_devices_name_who_is_disturbed() -> None:
    node = scenes.node(
        "gpu01",
        devices=[{}, {"mig": ["1g.10gb"]}],
        claims=[{"device": 0, "workload": "w9", "share": "time-slice"}, {"device": "1/0", "workload": "w8"}],
        processes=[
            {"device": 0, "user": "eve"},
            {"device": 0, "user": None, "pid": 77},
            {"device": 0, "user": "bob", "workload": "w9"},
        ],
    )
    part = scenes.allocation("w1", "gpu01", "0", share="time-slice", fraction=0.5)
    instance = scenes.allocation("w2", "gpu01", "1/0")
    works = {"w1": scenes.workload("w1"), "w2": scenes.workload("w2", owner="cyd")}
    steps = steps_for([part, instance], works, scenes.snapshot(node))
    assert steps[0].blast_radius == BlastRadius(("w1", "w9"), ("ann", "bob", "eve", "pid 77"))
    assert steps[0].target == f"0.5 of GPU 0 ({scenes.H100})"
    assert steps[2].blast_radius == BlastRadius(("w2",), ("cyd",))
    assert steps[2].target == f"MIG 1g.10gb of GPU 1 ({scenes.H100})"


def test_names_are_shown_without_control_characters() -> None:
    work = scenes.workload("w1", name="a\x1b[31m\n")
    steps = steps_for([scenes.allocation("w1", "gpu01", "0")], {"w1": work}, scenes.snapshot())
    assert all(text.isprintable() for step in steps for text in (step.detail, step.target))


def test_release_stops_then_gives_back() -> None:
    held = scenes.allocation("w1", "gpu01", "0", cpus=2.0)
    running = scenes.workload("w1", state="running", allocation=held, attempt=3, revision=5)
    cpu_only = scenes.workload("w2", state="suspended", allocation=scenes.allocation("w2", "gpu02"))
    waiting = scenes.workload("w3")
    steps = release_steps([running, waiting, cpu_only])
    assert [(step.seq, step.kind, step.node, step.needs) for step in steps] == [
        (1, StepKind.STOP, "gpu01", ()),
        (2, StepKind.UNCLAIM, "gpu01", (1,)),
        (3, StepKind.UNLIMIT, "gpu01", (1,)),
        (4, StepKind.STOP, "gpu02", ()),
    ]
    assert {(step.attempt, step.revision) for step in steps[:3]} == {(3, 5)}
    assert all(step.allocation is None and step.reason is StepReason.RELEASE for step in steps)


def test_cleanup_takes_only_our_own_claims_of_work_that_is_gone() -> None:
    claims = [
        {"device": 0, "workload": "ended"},
        {"device": 1, "workload": "ended"},
        {"device": 2, "workload": "unknown"},
        {"device": 3, "workload": "running"},
        {"device": 4, "workload": "elsewhere"},
        {"device": 5, "workload": "pending"},
        {"device": 6, "workload": "foreign", "controller": "theirs"},
    ]
    fleet = scenes.snapshot(
        scenes.node("gpu01", devices=8, claims=claims),
        scenes.node("slurm01", devices=1, claims=claims[:1], other_controllers=["slurmd"]),
    )
    works = [
        scenes.workload("ended", state="failed", attempt=1),
        scenes.workload("running", state="running", allocation=scenes.allocation("running", "gpu01", "3")),
        scenes.workload("elsewhere", state="running", allocation=scenes.allocation("elsewhere", "gpu02", "3")),
        scenes.workload("pending"),
    ]
    steps = cleanup_steps(fleet, works, "ours")
    assert [(step.seq, step.kind, step.node, step.workload) for step in steps] == [
        (1, StepKind.UNCLAIM, "gpu01", "elsewhere"),
        (2, StepKind.UNCLAIM, "gpu01", "ended"),
        (3, StepKind.UNCLAIM, "gpu01", "unknown"),
    ]
    assert {step.reason for step in steps} == {StepReason.CLEANUP}


def test_order_follows_needs_before_the_order_given() -> None:
    one = release_steps([scenes.workload("w1", state="running", allocation=scenes.allocation("w1", "n", "0"))])
    late, early = replace(one[0], seq=1, needs=(2,)), replace(one[1], seq=2, needs=())
    assert [(step.kind, step.seq, step.needs) for step in ordered([late, early])] == [
        (early.kind, 1, ()),
        (late.kind, 2, (1,)),
    ]
    with pytest.raises(CycleError):
        ordered([late, replace(early, needs=(1,))])
    assert [(step.seq, step.needs) for step in joined(one, one)] == [(1, ()), (2, (1,)), (3, ()), (4, (3,))]
