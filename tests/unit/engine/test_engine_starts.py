"""When waiting work is likely to start."""

from __future__ import annotations

from typing import Any

from fakes import scenes
from fakes.memory_context import MemoryJournal, memory_context
from msgspec.structs import replace

from gpualloc.engine.starts import predicted_starts
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.policies.first_fit import FirstFit

NODES = (scenes.node("a", devices=1),)
NOW_S = scenes.AT_S


class Clock:
    def now_s(self) -> float:
        return NOW_S


class Journal(MemoryJournal):
    """Work as it was, and nothing unsettled."""

    def open_runs(self) -> tuple[Any, ...]:
        return ()

    def abandoned_runs(self) -> tuple[Any, ...]:
        return ()

    def desired(self) -> tuple[Any, ...]:
        return ()


def past(number: int, took_s: float) -> Workload:
    name = f"train-{number}"
    work = scenes.workload(name, state="finished")
    return replace(
        work, name=name, state=WorkloadState.FINISHED, started_at_s=NOW_S - 5000 - took_s, ended_at_s=NOW_S - 5000
    )


def running(began_s: float, **asked: Any) -> Workload:
    held = scenes.allocation("r1", "a", "0")
    return replace(
        scenes.workload("r1", state="running", allocation=held, **asked), name="train-99", started_at_s=began_s
    )


def starts(*work: Workload, before: tuple[Workload, ...] = ()) -> dict[str, float]:
    ctx = memory_context(journal=Journal(workloads=(*before, *work)), clock=Clock(), policy=FirstFit())
    return dict(predicted_starts(ctx, Snapshot(NOW_S, NODES), work))


def test_what_has_room_could_start_now() -> None:
    assert starts(scenes.workload("w1")) == {"w1": NOW_S}


def test_nobody_can_tell_while_nothing_is_known_to_end() -> None:
    assert starts(running(NOW_S - 10), scenes.workload("w1")) == {}


def test_work_ends_at_its_limit_at_the_latest() -> None:
    assert starts(running(NOW_S - 10, at_most_s=50.0), scenes.workload("w1")) == {"w1": NOW_S + 40}


def test_work_is_taken_to_last_as_long_as_its_kind_did() -> None:
    seen = tuple(past(number, 100.0) for number in range(30))
    began_s = NOW_S - 20
    assert starts(running(began_s), scenes.workload("w1"), before=seen) == {"w1": began_s + 100}
    assert starts(running(began_s, at_most_s=60.0), scenes.workload("w1"), before=seen) == {"w1": began_s + 60}
