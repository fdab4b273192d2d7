"""Booking: what grants a placement gets, and what they leave."""

from __future__ import annotations

import pytest
from fakes import scenes
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.policies.best_fit import BestFit
from gpualloc.policies.filters import matches_model
from gpualloc.policies.first_fit import FirstFit
from gpualloc.policies.room import DeviceRoom
from gpualloc.policies.survey import survey


def _placed(answer: object) -> Allocation:
    assert isinstance(answer, Allocation)
    return answer


def test_the_allocation_carries_every_limit_asked_for() -> None:
    asked = scenes.workload("a", gpus=2, cpus=4, cpuset="0-3", memory_mib=1000, pids=50, gpu_memory_mib=20000)
    session = FirstFit().begin(scenes.problem([scenes.node("gpu01", devices=2)], [asked]))
    assert session.place(asked) == Allocation(
        workload="a",
        node="gpu01",
        grants=(Grant("GPU-gpu01-0", Share.EXCLUSIVE), Grant("GPU-gpu01-1", Share.EXCLUSIVE)),
        cpus=4,
        cpuset="0-3",
        memory_mib=1000,
        pids=50,
    )


def test_slices_without_a_size_book_their_part_of_the_memory_and_fill_the_device() -> None:
    node = scenes.node("gpu01", devices=[{"used_mib": 559}])
    asked = [scenes.workload(f"w{n}", fraction=0.25) for n in range(4)]
    session = BestFit().begin(scenes.problem([node], asked))
    booked = [_placed(session.place(one)).grants[0].memory_mib for one in asked]
    assert booked == [81000 // 4 - 64] * 4


@pytest.mark.parametrize(("claimed", "booked"), [((0.5, 1000), (0.25, 3000)), ((0.25, 3000), (0.5, 1000))])
def test_claim_and_books_of_one_workload_count_once_and_the_larger_counts(
    claimed: tuple[float, int], booked: tuple[float, int]
) -> None:
    part = {"share": "time-slice"}
    claim = {"device": 0, "workload": "r", "fraction": claimed[0], "memory_mib": claimed[1], **part}
    running = scenes.allocation("r", "gpu01", "0", fraction=booked[0], gpu_memory_mib=booked[1], **part)
    room = survey(scenes.problem([scenes.node("gpu01", devices=1, claims=[claim])], [], [running]))["gpu01"].devices[0]
    assert len(room.bookings) == 1
    assert room.fraction_free == 0.5
    assert room.memory_free_mib == 81559 - 3000


def test_giving_back_what_is_not_there_changes_nothing() -> None:
    nodes = [scenes.node("gpu01", devices=1), scenes.node("gpu02", state="unreachable")]
    session = FirstFit().begin(scenes.problem(nodes, []))
    before = session.room("gpu01")
    session.free(scenes.allocation("nobody", "gpu01", "0"))
    session.free(scenes.allocation("nobody", "gpu02", "0"))
    assert session.room("gpu01") == before
    assert session.room("gpu02") is None


@settings(deadline=None)
@given(st.permutations([0.1, 0.2, 0.3, 0.15, 0.05]))
def test_free_compute_does_not_depend_on_the_order_of_bookings(fractions: list[float]) -> None:
    bookings = tuple(
        scenes.allocation(f"w{n}", "x", "0", share="time-slice", fraction=part) for n, part in enumerate(fractions)
    )
    room = scenes.node("x", devices=1)
    left = survey(scenes.problem([room], [], bookings))["x"].devices[0].fraction_free
    assert left == pytest.approx(0.2)
    assert left == survey(scenes.problem([room], [], bookings[::-1]))["x"].devices[0].fraction_free


def test_an_unknown_measurement_leaves_free_memory_unknown() -> None:
    room = DeviceRoom(scenes.device("gpu01", 0, used_mib=None), unbooked_mib=None)
    assert room.memory_free_mib is None


@pytest.mark.parametrize(
    ("selector", "matches"),
    [("h100", True), ("NVIDIA", True), ("*80gb*", True), ("nvidia h?00*", True), ("h?00", False), ("H200", False)],
)
def test_model_selector(selector: str, matches: bool) -> None:
    assert matches_model(scenes.H100, selector) is matches
