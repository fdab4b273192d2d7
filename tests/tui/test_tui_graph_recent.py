"""What the dashboard saw lately: bounded, by time, without inventing anything."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from fakes.sample_world import device
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gpualloc.model.inventory import Device, Node, NodeSpec, NodeState
from gpualloc.model.sample import SeriesKey, SeriesKind
from gpualloc.tui.recent import Recent

T = 1_790_000_000.0
POWER = "power_w"


def node(at_s: float, *devices: Device, name: str = "a1", state: NodeState = NodeState.OK) -> Node:
    return Node(NodeSpec(name, "a", "ssh"), state, at_s, devices=devices)


def gpu(index: int, power_w: float | None = 300.0) -> Device:
    return device(index, power_w=power_w)  # type: ignore[no-any-return, no-untyped-call]


def key_of(one: Device, name: str = "a1") -> SeriesKey:
    return SeriesKey(SeriesKind.DEVICE, name, one.uuid)


def test_readings_come_back_with_their_time_and_what_is_unknown_stays_so() -> None:
    recent = Recent()
    for at, power_w in enumerate((300.0, None, 312.5)):
        recent.take([node(T + 2 * at, gpu(0, power_w))])
    assert recent.points(key_of(gpu(0)), POWER) == [(T, 300.0), (T + 2, None), (T + 4, 312.5)]
    assert recent.points(key_of(gpu(0)), POWER, T + 2) == [(T + 2, None), (T + 4, 312.5)]
    own = SeriesKey(SeriesKind.NODE, "a1", "")
    assert recent.points(own, "cpu_utilization_ratio") == [(T, None), (T + 2, None), (T + 4, None)]


@pytest.mark.parametrize(
    ("key", "metric"),
    [
        (SeriesKey(SeriesKind.DEVICE, "a1", "GPU-none"), POWER),
        (SeriesKey(SeriesKind.DEVICE, "b1", gpu(0).uuid), POWER),
        (key_of(gpu(0)), "energy_j"),
        (SeriesKey(SeriesKind.WORKLOAD, "a1", "w1"), POWER),
    ],
)
def test_of_what_is_not_kept_there_is_nothing(key: SeriesKey, metric: str) -> None:
    recent = Recent()
    recent.take([node(T, gpu(0))])
    assert recent.points(key, metric) == []


def test_a_node_that_does_not_answer_and_a_look_that_is_told_twice_add_nothing() -> None:
    recent = Recent()
    recent.take([node(T, gpu(0))])
    recent.take([node(T, gpu(0)), node(T + 2, gpu(0), state=NodeState.UNREACHABLE)])
    assert len(recent.points(key_of(gpu(0)), POWER)) == 1


def test_devices_that_come_and_go_are_unknown_meanwhile() -> None:
    recent = Recent(kept_s=20)
    recent.take([node(T, gpu(0))])
    recent.take([node(T + 2, gpu(0), gpu(1))])
    recent.take([node(T + 4, gpu(1))])
    assert recent.points(key_of(gpu(1)), POWER) == [(T, None), (T + 2, 300.0), (T + 4, 300.0)]
    assert recent.points(key_of(gpu(0)), POWER) == [(T, 300.0), (T + 2, 300.0), (T + 4, None)]
    recent.take([node(T + 100, gpu(1))])
    assert recent.points(key_of(gpu(0)), POWER) == []
    assert recent.points(key_of(gpu(1)), POWER) == [(T + 100, 300.0)]


def test_when_the_clock_is_set_back_it_begins_anew() -> None:
    recent = Recent()
    for at_s in (T, T + 2, T - 3600):
        recent.take([node(at_s, gpu(0))])
    assert recent.points(key_of(gpu(0)), POWER) == [(T - 3600, 300.0)]


@given(st.lists(st.floats(0.1, 30), max_size=200), st.integers(1, 8), st.integers(300, 4000))
def test_room_and_time_are_kept_to(steps: list[float], devices: int, budget: int) -> None:
    recent, at_s = Recent(kept_s=300, budget_bytes=budget), T
    for step_s in steps:
        at_s += step_s
        recent.take([node(at_s, *(gpu(index) for index in range(devices)))])
    points = recent.points(key_of(gpu(0)), POWER)
    times = [point_s for point_s, _ in points]
    assert times == sorted(times)
    assert len(points) <= recent.most * 1.2 + 1
    assert all(later - earlier >= recent.apart_s * 0.9 for earlier, later in pairwise(times))
    if steps:
        assert at_s - times[-1] < recent.apart_s
        # What is too old goes in pieces.
        assert sum(point_s < at_s - 300 - recent.apart_s for point_s in times) <= 1 + len(times) * 0.1


def test_eight_thousand_gpus_take_less_than_20_mb_and_a_small_fleet_keeps_an_hour() -> None:
    nodes = [
        node(T, *(structs.replace(gpu(0), uuid=f"GPU-{number}-{index}") for index in range(8)), name=f"n{number}")
        for number in range(250)
    ]
    tracemalloc.start()
    # A quarter of such a fleet, with a quarter of the room.
    recent = Recent(budget_bytes=15 * 1024 * 1024 // 4)
    for at in range(120):
        recent.take([structs.replace(one, at_s=T + 10 * at) for one in nodes])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 5_000_000
    times = [at_s for at_s, _ in recent.points(key_of(nodes[0].devices[0], "n0"), POWER)]
    assert times[-1] - times[0] >= 800
    small = Recent()
    for at in range(2000):
        small.take([node(T + 2 * at, gpu(0))])
    times = [at_s for at_s, _ in small.points(key_of(gpu(0)), POWER)]
    assert 3590 <= times[-1] - times[0] <= 3600 * 1.15
