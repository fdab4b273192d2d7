"""The facts a plan rests on: what counts, what does not, and the sentences about drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from fakes import scenes
from msgspec.structs import replace

from gpualloc.model.inventory import Node
from gpualloc.planning.base import base_digest, base_facts, drift
from gpualloc.planning.steps import cleanup_steps, steps_for

WORK = scenes.workload("w1", revision=3)
DEVICES: list[dict[str, Any]] = [{}, {"mig": ["1g.10gb", "2g.20gb"]}]


def _node(**said: Any) -> Node:
    return scenes.node("gpu01", **{"devices": DEVICES, **said})


def _facts(node: Node | None, *others: Node, work: scenes.Workload | None = WORK) -> Mapping[str, str]:
    steps = steps_for([scenes.allocation("w1", "gpu01", "0")], {"w1": WORK}, scenes.snapshot())
    nodes = others if node is None else (node, *others)
    return base_facts(scenes.snapshot(*nodes), steps, {"w1": work} if work else {})


BEFORE = _facts(_node())


def test_readings_ages_and_other_nodes_do_not_count() -> None:
    busy = _node(
        devices=[{"used_mib": 70000, "power_w": 600.0, "temperature_c": 80, "gpu_utilization_ratio": 1.0}, DEVICES[1]],
        available_mib=5,
        processes=[{"device": 0}],
    )
    assert _facts(replace(busy, at_s=9e9), scenes.node("gpu02", boot_id="else")) == BEFORE
    assert base_digest(BEFORE) == base_digest(dict(reversed(BEFORE.items())))


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        (_node(boot_id="boot-2"), "gpu01: restarted since"),
        (_node(driver_version="575.1"), "gpu01: driver is 575.1 (was 570.148)"),
        (_node(other_controllers=["slurmd"]), "gpu01: may no longer be managed"),
        (_node(state="unreachable", devices=0), "gpu01: unreachable (was ok)"),
        (_node(devices=[{"state": "GPU lost"}, DEVICES[1]]), "gpu01: GPU-gpu01-0 is GPU lost (was ok)"),
        (
            _node(claims=[{"device": 0, "workload": "w7", "controller": "theirs"}]),
            "gpu01: GPU-gpu01-0 claimed by another workload (w7) since",
        ),
        (
            _node(claims=[{"device": "1/0", "workload": "a/b"}]),
            "gpu01: MIG-gpu01-1-0 claimed by another workload (a/b) since",
        ),
        (_node(devices=[{}, {"mig": ["1g.10gb"]}]), "gpu01: MIG instance MIG-gpu01-1-1 of GPU-gpu01-1 is gone"),
        (None, "gpu01: not configured (was ok)"),
    ],
)
def test_what_changed_is_told_in_one_sentence(after: Node | None, sentence: str) -> None:
    facts = _facts(after)
    assert drift(BEFORE, facts) == (sentence,)
    assert base_digest(facts) != base_digest(BEFORE)


def test_a_change_of_mig_mode_is_told() -> None:
    told = drift(BEFORE, _facts(_node(devices=[{}, {}])))
    assert "gpu01: MIG mode of GPU-gpu01-1 is none, after reset none (was on, after reset on)" in told


def test_a_claim_that_went_away_is_told_too() -> None:
    claimed = _facts(_node(claims=[{"device": 0, "workload": "w7", "share": "time-slice", "fraction": 0.5}]))
    assert drift(claimed, BEFORE) == ("gpu01: GPU-gpu01-0 no longer claimed by w7",)
    other = _facts(_node(claims=[{"device": 0, "workload": "w7", "share": "time-slice", "fraction": 0.7}]))
    assert drift(claimed, other) == ("gpu01: GPU-gpu01-0 claimed otherwise by w7 since",)


@pytest.mark.parametrize(
    ("work", "sentence"),
    [
        (scenes.workload("w1", state="released", revision=4), "w1: released since"),
        (scenes.workload("w1", revision=4), "w1: changed since"),
        (None, "w1: no longer known"),
    ],
)
def test_a_request_that_changed_is_told(work: scenes.Workload | None, sentence: str) -> None:
    assert drift(BEFORE, _facts(_node(), work=work)) == (sentence,)


def test_what_is_left_over_rests_on_its_claims_only() -> None:
    fleet = scenes.snapshot(_node(claims=[{"device": 0, "workload": "w7"}]))
    steps = cleanup_steps(fleet, (), "ours")
    before = base_facts(fleet, steps, {})
    ended = scenes.workload("w7", state="finished", revision=4)
    assert drift(before, base_facts(fleet, steps, {"w7": ended})) == ()
    gone = base_facts(scenes.snapshot(_node()), steps, {})
    assert drift(before, gone) == ("gpu01: GPU-gpu01-0 no longer claimed by w7",)


def test_nothing_changed() -> None:
    assert drift(BEFORE, dict(BEFORE)) == ()


@pytest.mark.parametrize(
    ("now", "sentence"),
    [
        ({"/data/a b": False}, "gpu01: /data/a b is gone (was there)"),
        ({"/data/a b": None}, "gpu01: /data/a b is not known to be there (was there)"),
        ({}, "gpu01: /data/a b is not known to be there (was there)"),
    ],
)
def test_a_path_that_the_work_needs_is_a_fact(now: dict[str, bool | None], sentence: str) -> None:
    work = scenes.workload("w1", near=["/data/a b"])
    steps = steps_for([scenes.allocation("w1", "gpu01", "0")], {"w1": work}, scenes.snapshot())
    before, after = (
        base_facts(scenes.snapshot(_node(near=near)), steps, {"w1": work})
        for near in ({"/data/a b": True, "/data/c": True}, now)
    )
    assert drift(before, after) == (sentence,)
