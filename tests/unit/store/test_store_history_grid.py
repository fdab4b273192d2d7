"""Means over steps are those of a plain loop, and what is not known is NaN."""

import math
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import NotFoundError
from gpualloc.model.foresight import Steps
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
    grid = history.grid(USE, SeriesKind.DEVICE, Steps(600, 300, 3))
    assert (grid.names, grid.start_s, grid.step_s, grid.ticks, grid.end_s) == (("n1/GPU-1",), 900, 300, 3, 1500)
    assert values(grid) == pytest.approx([0.3, 1.0, 0.5])


def test_unknown_and_unsampled_are_gaps_and_zero_is_zero(history):
    history.append([Sample(GPU, 600, {USE.name: 0.0}), Sample(GPU, 900, {USE.name: None}), Sample(GPU, 910, {})])
    assert values(history.grid(USE, SeriesKind.DEVICE, Steps(600, 300, 3))) == [0.0, None, None]


def test_a_series_that_tells_nothing_is_there_and_one_without_samples_is_not(history):
    other = replace(GPU, key="GPU-2")
    history.append([Sample(GPU, 600, {USE.name: None}), Sample(other, 100, {USE.name: 0.5})])
    grid = history.grid(USE, SeriesKind.DEVICE, Steps(600, 300, 1))
    assert (grid.names, values(grid)) == (("n1/GPU-1",), [None])


def test_series_are_chosen_by_kind_node_and_key_and_sorted(history):
    keys = [replace(GPU, node=node, key=key) for node, key in (("n2", "GPU-3"), ("n1", "GPU-2"), ("n1", "GPU-1"))]
    history.append([Sample(key, 600, {USED.name: 1.0}) for key in [*keys, MIG]])

    def names(kind=SeriesKind.DEVICE, **chosen):
        return history.grid(USED, kind, Steps(600, 300, 1), **chosen).names

    assert names() == ("n1/GPU-1", "n1/GPU-2", "n2/GPU-3")
    assert names(SeriesKind.MIG_INSTANCE) == ("n1/MIG-1",)
    assert names(nodes=["n2", "n9"]) == ("n2/GPU-3",)
    assert names(key="GPU-2") == ("n1/GPU-2",)
    assert names(nodes=[]) == ()


def test_a_node_is_called_by_its_name(history):
    history.append([Sample(NODE, 600, {CPU.name: 0.5})])
    assert history.grid(CPU, SeriesKind.NODE, Steps(600, 300, 1)).names == ("n1",)


def test_an_empty_history_is_an_empty_grid(history):
    grid = history.grid(USE, SeriesKind.DEVICE, Steps(600, 300, 4))
    assert (grid.names, len(grid.values), grid.ticks) == ((), 0, 4)
    assert history.span() is None


def test_a_metric_that_is_not_kept_is_refused(history):
    with pytest.raises(NotFoundError, match="there is no metric"):
        history.grid(Metric("at_s", "s", 1, frozenset()), SeriesKind.DEVICE, Steps(0, 10, 1))


def test_the_span_is_that_of_all_series(history):
    history.append([Sample(GPU, 600, {}), Sample(NODE, 700, {}), Sample(NODE, 100, {})])
    assert history.span() == (100, 700)


def plain_means(points, since_s, ticks, step_s=300):
    """What a loop finds of {epoch second: value or None}."""
    steps = [[v for at_s, v in points.items() if 0 <= at_s - since_s - tick * step_s < step_s] for tick in range(ticks)]
    known = [[value for value in step if value is not None] for step in steps]
    return [sum(step) / len(step) if step else None for step in known]


def test_what_is_rolled_reads_as_what_is_not(history, pack_all):
    points = {at_s: at_s % 7 for at_s in range(1000, 30_000, 450)} | {15_010: None}
    history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
    windows = [(0, 100), (1500, 60), (6900, 3), (7200, 24), (14_400, 50), (29_700, 4)]
    fresh = [values(history.grid(USED, SeriesKind.DEVICE, Steps(since_s, 300, ticks))) for since_s, ticks in windows]
    pack_all(history)
    again = [values(history.grid(USED, SeriesKind.DEVICE, Steps(since_s, 300, ticks))) for since_s, ticks in windows]
    plain = [plain_means(points, since_s, ticks) for since_s, ticks in windows]
    assert again == fresh == [pytest.approx(means) for means in plain]


def test_what_is_rolled_is_not_read_sample_by_sample_again(history, pack_all):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in range(0, 20_000, 100)])
    pack_all(history)
    whole = values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 48)))
    with history._database.transaction() as connection:
        connection.execute("DELETE FROM raw")
    assert values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 48))) == whole == [5.0] * 48
    assert values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 100, 3))) == []


def test_a_sample_that_comes_late_is_seen(history):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in (0, 100, 8000)])
    assert values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 1))) == [5.0]
    history.append([Sample(GPU, 200, {USED.name: 11})])
    assert values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 1))) == [7.0]


def test_a_series_that_comes_late_is_seen(history):
    other = replace(GPU, key="GPU-2")
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in (0, 8000)])
    assert history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 1)).names == ("n1/GPU-1",)
    history.append([Sample(other, 0, {USED.name: None})])
    grid = history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 1))
    assert (grid.names, values(grid)) == (("n1/GPU-1", "n1/GPU-2"), [5.0, None])


def test_looking_at_one_device_reads_what_is_rolled(history, pack_all):
    other = replace(GPU, key="GPU-2")
    history.append([Sample(key, at_s, {USED.name: 5}) for at_s in (0, 8000) for key in (GPU, other)])
    pack_all(history)
    grid = history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 1), key="GPU-1")
    assert (grid.names, values(grid)) == (("n1/GPU-1",), [5.0])


def test_pruning_takes_what_was_rolled_too(history, pack_all):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in range(0, 30_000, 300)])
    pack_all(history)
    history.prune(10_000)
    assert history._database.rows("SELECT min(chunk) FROM minute") == [(2,)]
    assert values(history.grid(USED, SeriesKind.DEVICE, Steps(0, 300, 36)))[31:] == [None, None, None, 5.0, 5.0]


@settings(deadline=None, max_examples=60)
@given(
    points=st.dictionaries(st.integers(0, 400), st.none() | st.integers(0, 100), max_size=40),
    since=st.integers(0, 6),
    step_s=st.integers(1, 50) | st.just(60) | st.just(120),
    ticks=st.integers(0, 12),
    packed=st.booleans(),
)
def test_means_are_those_of_a_plain_loop(pack_all, points, since, step_s, ticks, packed):
    with TemporaryDirectory() as folder, closing(SqliteHistory(StatePaths(Path(folder)))) as history:
        history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
        if packed:
            pack_all(history)
        begin_s = since * step_s
        grid = history.grid(USED, SeriesKind.DEVICE, Steps(begin_s, step_s, ticks))
    plain = plain_means(points, begin_s, ticks, step_s)
    sampled = any(begin_s <= at_s < begin_s + ticks * step_s for at_s in points)
    assert values(grid) == (pytest.approx(plain) if sampled else [])
