"""Means over steps are those of a plain loop, and what is not known is NaN."""

import math
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Metric, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

GPU = SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1")
MIG = SeriesKey(SeriesKind.MIG_INSTANCE, "n1", "MIG-1")
NODE = SeriesKey(SeriesKind.NODE, "n1", "")
USE, USED, CPU = (METRICS[name] for name in ("gpu_utilization_ratio", "gpu_memory_used_mib", "cpu_utilization_ratio"))


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def values(grid):
    return [None if math.isnan(value) else value for value in grid.values]


def test_a_tick_is_the_end_of_its_step(history):
    history.append(
        [Sample(GPU, at_s, {USE.name: ratio}) for at_s, ratio in ((600, 0.2), (890, 0.4), (900, 1.0), (1499, 0.5))]
    )
    grid = history.grid(USE, SeriesKind.DEVICE, 600, 300, 3)
    assert (grid.names, grid.start_s, grid.step_s, grid.ticks, grid.end_s) == (("n1/GPU-1",), 900, 300, 3, 1500)
    assert values(grid) == pytest.approx([0.3, 1.0, 0.5])


def test_unknown_and_unsampled_are_gaps_and_zero_is_zero(history):
    history.append([Sample(GPU, 600, {USE.name: 0.0}), Sample(GPU, 900, {USE.name: None}), Sample(GPU, 910, {})])
    assert values(history.grid(USE, SeriesKind.DEVICE, 600, 300, 3)) == [0.0, None, None]


def test_a_series_that_tells_nothing_is_there_and_one_without_samples_is_not(history):
    other = replace(GPU, key="GPU-2")
    history.append([Sample(GPU, 600, {USE.name: None}), Sample(other, 100, {USE.name: 0.5})])
    grid = history.grid(USE, SeriesKind.DEVICE, 600, 300, 1)
    assert (grid.names, values(grid)) == (("n1/GPU-1",), [None])


def test_series_are_chosen_by_kind_node_and_key_and_sorted(history):
    keys = [replace(GPU, node=node, key=key) for node, key in (("n2", "GPU-3"), ("n1", "GPU-2"), ("n1", "GPU-1"))]
    history.append([Sample(key, 600, {USED.name: 1.0}) for key in [*keys, MIG]])

    def names(kind=SeriesKind.DEVICE, **chosen):
        return history.grid(USED, kind, 600, 300, 1, **chosen).names

    assert names() == ("n1/GPU-1", "n1/GPU-2", "n2/GPU-3")
    assert names(SeriesKind.MIG_INSTANCE) == ("n1/MIG-1",)
    assert names(nodes=["n2", "n9"]) == ("n2/GPU-3",)
    assert names(key="GPU-2") == ("n1/GPU-2",)
    assert names(nodes=[]) == ()


def test_a_node_is_called_by_its_name(history):
    history.append([Sample(NODE, 600, {CPU.name: 0.5})])
    assert history.grid(CPU, SeriesKind.NODE, 600, 300, 1).names == ("n1",)


def test_an_empty_history_is_an_empty_grid(history):
    grid = history.grid(USE, SeriesKind.DEVICE, 600, 300, 4)
    assert (grid.names, len(grid.values), grid.ticks) == ((), 0, 4)
    assert history.span() is None


def test_a_metric_that_is_not_kept_is_refused(history):
    with pytest.raises(NotFoundError, match="there is no metric"):
        history.grid(Metric("at_s", "s", 1, frozenset()), SeriesKind.DEVICE, 0, 10, 1)


def test_the_span_is_that_of_all_series(history):
    history.append([Sample(GPU, 600, {}), Sample(NODE, 700, {}), Sample(NODE, 100, {})])
    assert history.span() == (100, 700)


@pytest.fixture(scope="module")
def kept_history(tmp_path_factory):
    with closing(SqliteHistory(StatePaths(tmp_path_factory.mktemp("state")))) as history:
        yield history


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    points=st.dictionaries(st.integers(0, 400), st.none() | st.integers(0, 100), max_size=40),
    since=st.integers(0, 6),
    step_s=st.integers(1, 50),
    ticks=st.integers(0, 12),
)
def test_means_are_those_of_a_plain_loop(kept_history, points, since, step_s, ticks):
    kept_history.prune(1000)
    kept_history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
    begin_s = since * step_s
    grid = kept_history.grid(USED, SeriesKind.DEVICE, begin_s, step_s, ticks)
    plain = []
    for tick in range(ticks):
        inside = [points.get(at_s) for at_s in range(begin_s + tick * step_s, begin_s + (tick + 1) * step_s)]
        known = [value for value in inside if value is not None]
        plain.append(sum(known) / len(known) if known else None)
    sampled = any(begin_s <= at_s < begin_s + ticks * step_s for at_s in points)
    assert values(grid) == (pytest.approx(plain) if sampled else [])
