"""How long waiting work waits at most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fakes import scenes
from msgspec.structs import replace

from gpualloc.engine import start_delay
from gpualloc.engine.start_delay import start_delay_s
from gpualloc.model.workload import Workload
from gpualloc.policies.first_fit import FirstFit

NODES = [scenes.node("a", devices=2)]


def running(number: int, device: str, began_s: float, **asked: Any) -> Workload:
    name = f"r{number}"
    held = scenes.allocation(name, "a", device)
    work = scenes.workload(name, state="running", allocation=held, **asked)
    return replace(work, started_at_s=began_s)


def delay_s(ran: Sequence[Workload], wait: Sequence[Workload], waiting: Sequence[str]) -> float | None:
    problem = scenes.problem(NODES, wait, [one.allocation for one in ran if one.allocation is not None])
    return start_delay_s(problem, FirstFit(), [*ran, *wait], waiting)


def test_nobody_waits() -> None:
    assert delay_s([], [scenes.workload("w1")], []) == 0.0


def test_work_begins_when_that_before_it_has_ended() -> None:
    ran = [running(1, "0", 900.0, at_most_s=600.0), running(2, "1", 950.0, at_most_s=100.0)]
    assert delay_s(ran, [scenes.workload("w1", gpus=2)], ["w1"]) == 500.0
    assert delay_s(ran, [scenes.workload("w1")], ["w1"]) == 50.0


def test_those_that_begin_end_too() -> None:
    ran = [running(1, "0", 1000.0, at_most_s=100.0), running(2, "1", 1000.0)]
    wait = [scenes.workload("w1", at_most_s=40.0), scenes.workload("w2")]
    assert delay_s(ran, wait, ["w1", "w2"]) == (100.0 + 140.0) / 2


def test_it_is_unknown_when_nothing_is_known_to_end() -> None:
    ran = [running(1, "0", 1000.0), running(2, "1", 1000.0, at_most_s=50.0)]
    assert delay_s(ran, [scenes.workload("w1", gpus=2)], ["w1"]) is None


def test_it_is_unknown_when_the_plan_is_not_what_the_policy_alone_says() -> None:
    ran = [running(1, "0", 1000.0, at_most_s=50.0), running(2, "1", 1000.0, at_most_s=50.0)]
    wait = [scenes.workload("w1"), scenes.workload("w2")]
    assert delay_s(ran, wait, ["w2"]) is None


def test_it_is_unknown_when_there_are_too_many(monkeypatch: Any) -> None:
    monkeypatch.setattr(start_delay, "MOST_TRIED", 3)
    ran = [running(1, "0", 1000.0, at_most_s=50.0)]
    wait = [scenes.workload(f"w{number}", gpus=2, at_most_s=1.0) for number in range(9)]
    assert delay_s(ran, wait, [one.id for one in wait]) is None


def test_an_end_that_is_overdue_is_now() -> None:
    ran = [running(1, "0", 0.0, at_most_s=1.0), running(2, "1", 0.0, at_most_s=1.0)]
    assert delay_s(ran, [scenes.workload("w1")], ["w1"]) == 0.0
