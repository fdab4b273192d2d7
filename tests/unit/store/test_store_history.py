"""Samples come back as they went in; what is unknown stays unknown."""

import os
import subprocess
import sys
import threading
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Metric, Sample, Series, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

GPU = SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1")
NODE = SeriesKey(SeriesKind.NODE, "n1", "")
POWER, DISK = METRICS["power_w"], METRICS["disk_used_mib"]


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def points(history, metric, **window):
    since_s, until_s = window.pop("since_s", 0.0), window.pop("until_s", 1e9)
    return {series.key: series.points for series in history.read(metric, since_s, until_s, **window)}


def test_a_tick_comes_back(history):
    tick = [Sample(GPU, 100, {"power_w": 301.25, "temperature_c": 61}), Sample(NODE, 100, {"disk_used_mib": 5})]
    assert history.append(tick) == 2
    assert list(history.read(POWER, 0, 200)) == [Series(GPU, POWER, ((100.0, 301.25),))]
    assert points(history, DISK) == {NODE: ((100.0, 5.0),)}


def test_unknown_is_none_and_never_zero(history):
    history.append([Sample(GPU, 100, {"power_w": 0.0}), Sample(GPU, 110, {"power_w": None}), Sample(GPU, 120, {})])
    assert points(history, POWER) == {GPU: ((100.0, 0.0), (110.0, None), (120.0, None))}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e30, -1e30])
def test_what_is_no_reading_is_unknown(history, value):
    history.append([Sample(GPU, 100, {"power_w": value, "temperature_c": 40})])
    assert points(history, POWER) == {GPU: ((100.0, None),)}
    assert points(history, METRICS["temperature_c"]) == {GPU: ((100.0, 40.0),)}


def test_the_same_tick_again_replaces_the_row(history):
    history.append([Sample(GPU, 100, {"power_w": 1.0, "temperature_c": 40})])
    history.append([Sample(GPU, 100, {"power_w": 2.0})])
    assert points(history, POWER) == {GPU: ((100.0, 2.0),)}
    assert points(history, METRICS["temperature_c"]) == {GPU: ((100.0, None),)}


def test_a_value_nobody_keeps_is_refused_with_the_whole_tick(history):
    with pytest.raises(KeyError, match="colour"):
        history.append([Sample(NODE, 100, {"disk_used_mib": 1}), Sample(GPU, 100, {"colour": 3.0})])
    assert points(history, DISK) == {}
    history.append([Sample(GPU, 100, {"power_w": 1.0})])
    assert points(history, POWER) == {GPU: ((100.0, 1.0),)}


def test_the_window_includes_both_ends_and_leaves_out_the_rest(history):
    other = replace(GPU, node="n2", key="GPU-2")
    history.append([Sample(GPU, at_s, {"power_w": at_s}) for at_s in (90, 100, 110, 120)])
    history.append([Sample(other, 300, {"power_w": 1.0})])
    assert points(history, POWER, since_s=100, until_s=110) == {GPU: ((100.0, 100.0), (110.0, 110.0))}
    assert points(history, POWER, since_s=400) == {}


def test_series_are_chosen_by_node_and_key_and_sorted(history):
    keys = [replace(GPU, node=node, key=key) for node, key in (("n2", "GPU-3"), ("n1", "GPU-2"), ("n1", "GPU-1"))]
    history.append([Sample(key, 100, {"power_w": 1.0}) for key in keys])
    assert [series.key for series in history.read(POWER, 0, 200)] == list(reversed(keys))
    assert [series.key.key for series in history.read(POWER, 0, 200, node="n1")] == ["GPU-1", "GPU-2"]
    assert [series.key.node for series in history.read(POWER, 0, 200, key="GPU-3")] == ["n2"]


def test_a_kind_without_the_metric_is_left_out(history):
    history.append([Sample(NODE, 100, {"disk_used_mib": 1}), Sample(GPU, 100, {"power_w": 1.0})])
    assert list(points(history, DISK)) == [NODE]


@pytest.mark.parametrize("metric", [Metric("at_s", "s", 1, frozenset()), replace(POWER, scale=1)])
def test_a_metric_that_is_not_kept_cannot_be_read(history, metric):
    with pytest.raises(NotFoundError, match="there is no metric"):
        list(history.read(metric, 0, 1))


def test_pruning_bounds_the_file(history):
    history.append([Sample(GPU, at_s, {"power_w": 1.0}) for at_s in (100, 110, 120)])
    history.append([Sample(NODE, 100, {"disk_used_mib": 1})])
    assert history.prune(110) == 2
    assert points(history, POWER) == {GPU: ((110.0, 1.0), (120.0, 1.0))}
    assert history._database.rows("SELECT node, key FROM series") == [("n1", "GPU-1")]
    assert history.prune(110) == 0


def test_a_pruned_series_may_come_back(history, paths):
    history.append([Sample(GPU, 100, {"power_w": 1.0})])
    history.prune(1000)
    history.append([Sample(GPU, 2000, {"power_w": 2.0})])
    with closing(SqliteHistory(paths)) as other:
        other.prune(3000)
        other.append([Sample(NODE, 4000, {"disk_used_mib": 1})])
    history.append([Sample(GPU, 5000, {"power_w": 3.0})])
    assert points(history, POWER) == {GPU: ((5000.0, 3.0),)}
    assert points(history, DISK) == {NODE: ((4000.0, 1.0),)}


def known(values):
    """Tick to value, of those that are known."""
    return {tick: value for tick, value in enumerate(values) if value == value}


def test_digests_gather_samples_by_tick(history):
    watts = [
        (1000, 10.0),
        (1010, 30.0),
        (1059, None),
        (1060, None),
        (1120, 5.0),
        (1179, 7.0),
        (1180, 99.0),
        (999, 99.0),
    ]
    for at_s, value in watts:
        history.append([Sample(GPU, at_s, {"power_w": value, "gpu_utilization_ratio": 0.5})])
    history.append([Sample(NODE, 1000, {"disk_used_mib": 1})])
    (found,) = history.digests(SeriesKind.DEVICE, [POWER, METRICS["gpu_utilization_ratio"]], 1000, 60, 3)
    assert (found.key, found.start_s, found.step_s) == (GPU, 1000, 60)
    assert known(found.mean["power_w"]) == {0: 20.0, 2: 6.0}
    assert known(found.high["power_w"]) == {0: 30.0, 2: 7.0}
    assert known(found.mean["gpu_utilization_ratio"]) == {0: 0.5, 1: 0.5, 2: 0.5}


def test_digests_leave_out_what_has_no_row(history):
    history.append([Sample(replace(GPU, key=name), 1000, {"power_w": 1.0}) for name in ("GPU-b", "GPU-a")])
    assert [one.key.key for one in history.digests(SeriesKind.DEVICE, [POWER], 1000, 60, 1)] == ["GPU-a", "GPU-b"]
    assert list(history.digests(SeriesKind.DEVICE, [POWER], 1060, 60, 10)) == []


APPENDER = """
import sys
import threading
from pathlib import Path
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
history = SqliteHistory(StatePaths(Path(sys.argv[1])))
for tick in range(20):
    keys = [SeriesKey(SeriesKind.DEVICE, sys.argv[2], f"GPU-{number}") for number in range(tick + 1)]
    history.append([Sample(key, tick, {"power_w": tick}) for key in keys])
"""


def test_several_processes_append_at_once(paths):
    nodes = [f"n{number}" for number in range(4)]
    commands = [[sys.executable, "-c", APPENDER, str(paths.root), node] for node in nodes]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0, 0]
    with closing(SqliteHistory(paths)) as history:
        for node in nodes:
            read = points(history, POWER, node=node)
            assert {key.key: len(series) for key, series in read.items()} == {f"GPU-{n}": 20 - n for n in range(20)}


def test_threads_may_share_a_history(history):
    def append(node):
        for tick in range(20):
            keys = [replace(GPU, node=node, key=f"GPU-{number}") for number in range(tick + 1)]
            history.append([Sample(key, tick, {"power_w": tick}) for key in keys])

    threads = [threading.Thread(target=append, args=(node,)) for node in ("n1", "n2", "n3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(len(series.points) for series in history.read(POWER, 0, 100)) == 3 * sum(range(1, 21))


@pytest.fixture(scope="module")
def lasting_history(tmp_path_factory):
    with closing(SqliteHistory(StatePaths(tmp_path_factory.mktemp("state")))) as history:
        yield history


@given(data=st.data())
def test_every_metric_survives_to_its_scale(lasting_history, data):
    metric = data.draw(st.sampled_from(list(METRICS.values())))
    value = data.draw(st.none() | st.floats(-1e12, 1e12))
    key = SeriesKey(sorted(metric.kinds)[0], "n1", os.urandom(8).hex())
    lasting_history.append([Sample(key, 7, {metric.name: value})])
    ((_, read),) = points(lasting_history, metric, key=key.key)[key]
    assert read is None if value is None else read == pytest.approx(value, rel=1e-12, abs=0.51 / metric.scale)
