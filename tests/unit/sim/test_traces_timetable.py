"""Recorded times, scaled to a load; mean values over parts of a time; nodes to add."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.errors import BrokenInputError, UsageError
from gpualloc.model.shapes import Shape
from gpualloc.sim.traces.added import added_nodes
from gpualloc.sim.traces.timeline import Timeline
from gpualloc.sim.traces.timetable import Timetable, timetable
from gpualloc.sim.traces.trace import Tasks, TraceNode, TraceTask, gather

ONE = Shape(1000, 1024, 1, 1000)
CPU = Shape(1000, 1024, 0, 0)
H100 = TraceNode("h", 128_000, 1 << 20, 8, "NVIDIA H100 80GB HBM3", 81_559)
T4 = TraceNode("t", 16_000, 1 << 16, 2, "Tesla T4", 15_360)


def tasks(*times: tuple[float | None, float | None], shape: Shape = ONE) -> Tasks:
    rows = (TraceTask(row, f"t{row}", shape, begun, left) for row, (begun, left) in enumerate(times))
    return gather(rows, "test")


def in_use(times: Timetable, capacity: int, from_s: float) -> float:
    """Mean of the tasks of one GPU that run from then to the last arrival, added up moment by moment."""
    end_s = times.ends_s
    moments = sorted(
        {from_s, end_s, *(m for m in [*times.arrives_s, *(times.arrives_s + times.lasts_s)] if from_s < m < end_s)}
    )
    total = 0.0
    for low, high in pairwise(moments):
        middle = (low + high) / 2
        total += (high - low) * sum(a <= middle < a + d for a, d in zip(times.arrives_s, times.lasts_s, strict=True))
    return total / (end_s - from_s) / capacity


def test_recorded_times_stay_as_they_are_and_begin_at_nought() -> None:
    found = timetable(tasks((50, 80), (20, 30), (None, 9), (20, 20), (5, None)), 2000)
    assert found.rows.tolist() == [1, 3, 0]
    assert found.arrives_s.tolist() == [0, 0, 30]
    assert found.lasts_s.tolist() == [10, 0, 30]
    assert (found.rounds, found.factor, found.without_times, found.measured_from_s) == (1, 1.0, 2, 0.0)
    assert found.offered == pytest.approx(10 / 30 / 2)


@given(
    times=st.lists(st.tuples(st.integers(0, 500), st.integers(1, 200)), min_size=3, max_size=12),
    load=st.sampled_from([0.3, 0.9, 1.0, 2.0]),
    capacity=st.integers(1, 4),
    seed=st.none() | st.integers(0, 9),
)
def test_a_stated_load_is_offered(times: list[tuple[int, int]], load: float, capacity: int, seed: int | None) -> None:
    of = tasks(*((begun, begun + lasts) for begun, lasts in times), (1000, 1010))
    found = timetable(of, capacity * 1000, load, seed)
    assert found.offered == pytest.approx(load, rel=0.01)
    assert in_use(found, capacity, found.measured_from_s) == pytest.approx(found.offered, rel=1e-6)
    assert found.measured_from_s == pytest.approx(found.ends_s / 2)
    assert len(found.rows) == found.rounds * len(of)
    assert len(found.rows) >= 4 * load * capacity
    assert (np.bincount(found.rows) == found.rounds).all()
    assert (np.diff(found.arrives_s) >= 0).all()
    assert found.lasts_s.tolist() == (of.leaves_s - of.arrives_s)[found.rows].tolist()


def test_a_seed_draws_which_task_comes_when_and_nothing_else() -> None:
    of = tasks(*((row * 10, row * 10 + row + 1) for row in range(20)))
    recorded, drawn, again, other = (timetable(of, 1000, None, seed) for seed in (None, 1, 1, 2))
    assert drawn.rows.tolist() == again.rows.tolist()
    assert len({tuple(one.rows.tolist()) for one in (recorded, drawn, other)}) == 3
    assert drawn.arrives_s.tolist() == recorded.arrives_s.tolist()
    assert sorted(drawn.rows.tolist()) == recorded.rows.tolist()


def test_what_came_long_before_comes_at_once() -> None:
    of = tasks((0, 9e6), *((1e6 + row, 1e6 + row + 50) for row in range(199)))
    found = timetable(of, 100_000, 0.5)
    steps = np.diff(found.arrives_s)
    assert steps.max() < 3 * np.median(steps[steps > 0])


@pytest.mark.parametrize(
    ("of", "load", "seed", "error", "said"),
    [
        (tasks((None, None)), None, None, BrokenInputError, "arrives_s and leaves_s"),
        (tasks((3, 4), (3, 9)), None, None, BrokenInputError, "same moment"),
        (tasks((3, 4), (5, 9), shape=CPU), 0.5, None, BrokenInputError, "no task asks for a GPU"),
        (tasks((3, 3), (5, 5)), 0.5, None, BrokenInputError, "cannot be reached"),
        (tasks((3, 4), (5, 9)), 0.0, None, UsageError, "out of range"),
        (tasks((3, 4), (5, 9)), float("nan"), None, UsageError, "out of range"),
        (tasks((3, 4), (5, 9)), 0.5, -1, UsageError, "out of range"),
    ],
)
def test_what_cannot_be_scaled_is_refused(
    of: Tasks, load: float | None, seed: int | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as raised:
        timetable(of, 1000, load, seed)
    assert said in f"{raised.value.message} {raised.value.hint}"  # type: ignore[attr-defined]


def test_a_load_that_would_take_too_many_rounds_is_refused() -> None:
    with pytest.raises(BrokenInputError, match="rounds"):
        timetable(tasks((0, 1), (2, 3)), 10**12, 1.0)


def test_a_cluster_without_gpus_has_no_load() -> None:
    with pytest.raises(BrokenInputError, match="no GPU"):
        timetable(tasks((0, 1), (2, 3)), 0)


@given(
    spans=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 9)), max_size=30),
    ends_s=st.floats(0.5, 15),
    parts=st.integers(1, 12),
)
def test_a_time_line_holds_the_mean_of_each_part(spans: list[tuple[float, int]], ends_s: float, parts: int) -> None:
    line, now_s, total = Timeline(ends_s, parts), 0.0, 0.0
    for lasts_s, value in spans:
        line.hold(now_s, now_s + lasts_s, value)
        total += value * max(0.0, min(ends_s, now_s + lasts_s) - min(ends_s, now_s))
        now_s += lasts_s
    assert len(line.means()) == parts
    assert sum(line.means()) * ends_s / parts == pytest.approx(total, abs=1e-6)


def test_the_parts_of_a_time_line_are_told_apart() -> None:
    line = Timeline(10, 5)
    line.hold(1, 5, 10)
    assert line.means() == (5, 10, 5, 0, 0)
    assert Timeline(0, 2).means() == (0, 0)


def test_added_nodes_are_like_those_of_their_model() -> None:
    assert added_nodes("4xh100", (H100, T4)) == (
        TraceNode("added-1-1", 64_000, 1 << 19, 4, "NVIDIA H100 80GB HBM3", 81_559),
    )
    four = added_nodes("4x8xTesla T4", (H100, T4), 2)
    assert [node.name for node in four] == [f"added-3-{number}" for number in (1, 2, 3, 4)]
    assert {(node.cpu_milli, node.memory_mib, node.gpus, node.model) for node in four} == {
        (64_000, 1 << 18, 8, "Tesla T4")
    }


def test_a_new_model_has_what_the_mean_node_has_or_what_is_said() -> None:
    (node,) = added_nodes("5xMI300X", (H100, T4))
    assert (node.cpu_milli, node.memory_mib) == (144_000 * 5 // 10, ((1 << 20) + (1 << 16)) * 5 // 10)
    assert (node.model, node.gpu_memory_mib) == ("MI300X", None)
    assert added_nodes("1xH10", (H100, T4))[0].model == "H10"
    (node,) = added_nodes("5xMI300X:cpus=96,memory=1TiB", ())
    assert (node.cpu_milli, node.memory_mib) == (96_000, 1 << 20)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("H100", "8xH100 is one node"),
        ("0xH100", "1 to"),
        ("9999xH100", "1 to"),
        ("8xH100:cpus=x", "cpus=N"),
        ("8xH100:ram=1TiB", "memory=SIZE"),
        ("8xH100:memory=1000", "unit"),
        ("8xa*", "not the name of a model"),
        ("8xTesla", "may be Tesla P4, Tesla T4"),
    ],
)
def test_text_that_names_no_nodes_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        added_nodes(text, (H100, T4, TraceNode("u", 1, 1, 1, "Tesla P4")))
    assert said in f"{raised.value.message} {raised.value.hint}"


def test_a_new_model_beside_no_gpu_needs_its_cpus_said() -> None:
    with pytest.raises(UsageError, match="nothing tells"):
        added_nodes("8xH100:memory=1TiB", ())
