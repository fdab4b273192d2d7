"""What is written is read back at every level, as a plain loop finds it: early or late, packed or not."""

import math
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.sample import METRICS, Level, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

GPU = SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1")
OTHER = replace(GPU, node="n2", key="GPU-2")
POWER, USED = METRICS["power_w"], METRICS["gpu_memory_used_mib"]
DAY_S = 86_400
LEVELS = pytest.mark.parametrize("level", [Level.MINUTE, Level.HOUR])


@contextmanager
def opened():
    with TemporaryDirectory() as folder, closing(SqliteHistory(StatePaths(Path(folder)))) as history:
        yield history


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def plain_rollup(points, step_s, since_s, until_s):
    """{begin of step: (low, mean, high, p95, known, unknown)} of {epoch second: value or None}, by a loop."""
    found = {}
    for begin_s in range(math.ceil(since_s / step_s) * step_s, until_s, step_s):
        inside = [value for at_s, value in points.items() if begin_s <= at_s < begin_s + step_s]
        known = sorted(value for value in inside if value is not None)
        if known:
            ranked = known[math.ceil(0.95 * len(known)) - 1]
            figures = known[0], pytest.approx(sum(known) / len(known)), known[-1], ranked
            found[begin_s] = (*figures, len(known), len(inside) - len(known))
        elif inside:
            found[begin_s] = (None, None, None, None, 0, len(inside))
    return found


def read_rollup(history, level, since_s, until_s, key=GPU, metric=USED):
    """The same from the history."""
    found = {}
    for one in history.rollups(metric, level, since_s, until_s, key=key.key):
        for step in range(len(one.mean)):
            if one.known[step] or one.unknown[step]:
                figures = [part[step] for part in (one.low, one.mean, one.high, one.p95)]
                told = [None if math.isnan(value) else value for value in figures]
                found[one.start_s + step * one.step_s] = (*told, one.known[step], one.unknown[step])
    return found


def read_points(history, key=GPU, metric=USED):
    return {at_s: value for one in history.read(metric, 0, 10 * DAY_S, key=key.key) for at_s, value in one.points}


SERIES = st.dictionaries(
    st.integers(0, 2 * 3600).map(lambda at_s: at_s * 7) | st.integers(3000, 3100),
    st.none() | st.integers(0, 100) | st.integers(-(10**15), 10**15),
    max_size=60,
)


@settings(deadline=None, max_examples=40)
@given(batches=st.lists(st.tuples(SERIES, st.booleans()), min_size=1, max_size=3), level=st.sampled_from(list(Level)))
def test_every_level_is_that_of_a_plain_loop(pack_all, batches, level):
    points = {}
    with opened() as history:
        for batch, packed in batches:
            history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in batch.items()])
            history.append([Sample(OTHER, at_s, {USED.name: 1}) for at_s in batch])
            points |= batch
            if packed:
                pack_all(history)
        if level is Level.RAW:
            assert read_points(history) == points
        else:
            assert read_rollup(history, level, 0, DAY_S) == plain_rollup(points, level.step_s, 0, DAY_S)


@settings(deadline=None, max_examples=20)
@given(points=SERIES, since_s=st.integers(0, 20_000), until_s=st.integers(0, 60_000), packed=st.booleans())
def test_a_window_is_that_of_a_plain_loop(pack_all, points, since_s, until_s, packed):
    with opened() as history:
        history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
        if packed:
            pack_all(history)
        for level in (Level.MINUTE, Level.HOUR):
            assert read_rollup(history, level, since_s, until_s) == plain_rollup(points, level.step_s, since_s, until_s)
        inside = {at_s: value for at_s, value in points.items() if since_s <= at_s <= until_s}
        read = {at_s: value for one in history.read(USED, since_s, until_s) for at_s, value in one.points}
        assert read == inside


def test_the_percentile_of_many_is_that_of_nearest_rank(history, pack_all):
    points = {at_s: (at_s * 7919) % 1009 for at_s in range(0, 7200, 2)}
    history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
    for _ in range(2):
        for level in (Level.MINUTE, Level.HOUR):
            assert read_rollup(history, level, 0, 7200) == plain_rollup(points, level.step_s, 0, 7200)
        pack_all(history)


@LEVELS
def test_a_tick_that_comes_late_is_in_the_rollups(history, pack_all, level):
    points = dict.fromkeys(range(0, 7200, 60), 5)
    history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
    pack_all(history)
    late = {30: 100, 60: None, 3601: 7}
    history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in late.items()])
    for _ in range(2):
        assert read_rollup(history, level, 0, 7200) == plain_rollup(points | late, level.step_s, 0, 7200)
        pack_all(history)


def test_a_row_replaces_all_of_the_row_before_it_packed_or_not(history, pack_all):
    history.append([Sample(GPU, 10, {"power_w": 1.5, "gpu_memory_used_mib": 4})])
    pack_all(history)
    history.append([Sample(GPU, 10, {"power_w": 2.5})])
    for _ in range(2):
        assert (read_points(history, metric=POWER), read_points(history)) == ({10: 2.5}, {10: None})
        pack_all(history)
    assert read_rollup(history, Level.HOUR, 0, 3600) == {0: (None, None, None, None, 0, 1)}


def test_what_was_replaced_by_nothing_is_in_no_rollup(history, pack_all):
    for value in (5, None):
        history.append([Sample(GPU, at_s, {USED.name: value}) for at_s in range(0, 3600, 60)])
        pack_all(history)
    assert read_rollup(history, Level.HOUR, 0, 3600) == {0: (None, None, None, None, 0, 60)}
    assert set(read_rollup(history, Level.MINUTE, 0, 3600).values()) == {(None, None, None, None, 0, 1)}


def test_writing_the_same_again_changes_nothing(history, pack_all):
    tick = [Sample(key, at_s, {USED.name: at_s}) for at_s in range(0, 3600, 10) for key in (GPU, OTHER)]
    history.append(tick)
    pack_all(history)
    before = history._database.rows("SELECT block, metric, chunk, data FROM raw ORDER BY 1, 2, 3")
    history.append(tick)
    pack_all(history)
    assert history._database.rows("SELECT block, metric, chunk, data FROM raw ORDER BY 1, 2, 3") == before


def test_a_clock_set_back_an_hour_loses_nothing(history, pack_all):
    """The hour that comes twice is that of the second time; whatever lies beside its ticks stays."""
    for at_s in range(0, 7200, 10):
        history.append([Sample(GPU, at_s, {USED.name: 1})])
    for at_s in range(3605, 10_800, 10):
        history.append([Sample(GPU, at_s, {USED.name: 2})])
    pack_all(history)
    expected = dict.fromkeys(range(0, 7200, 10), 1) | dict.fromkeys(range(3605, 10800, 10), 2)
    assert read_points(history) == expected
    assert read_rollup(history, Level.HOUR, 0, 10_800) == plain_rollup(expected, 3600, 0, 10_800)


def test_what_waits_is_packed_as_time_goes_on(history):
    for at_s in range(0, 4 * 3600, 60):
        history.append([Sample(GPU, at_s, {USED.name: at_s % 1000}), Sample(OTHER, at_s, {})])
    ((ticks,),) = history._database.rows("SELECT count(*) FROM tick")
    assert ticks < 20
    assert history._database.rows("SELECT count(*) FROM due") == [(1,)]
    assert len(read_points(history)) == 240


def test_more_series_than_a_block_holds(history, pack_all):
    keys = [replace(GPU, key=f"GPU-{number:03d}") for number in range(300)]
    for at_s in (0, 60):
        history.append([Sample(key, at_s, {USED.name: number}) for number, key in enumerate(keys)])
    for _ in range(2):
        assert [series.points for series in history.read(USED, 0, 100)] == [((0, n), (60, n)) for n in range(300)]
        pack_all(history)
    assert history._database.rows("SELECT kind, used FROM block") == [("device", 128), ("device", 128), ("device", 44)]


def test_each_level_is_kept_for_its_own_time(history, pack_all):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in range(0, 3 * DAY_S, 600)])
    pack_all(history)
    deleted = history.prune(2 * DAY_S + 700, minutes_before_s=DAY_S + 30, hours_before_s=7200)
    assert deleted == 2 * DAY_S // 600
    assert min(read_points(history)) == 2 * DAY_S + 1200
    assert min(read_rollup(history, Level.MINUTE, 0, 3 * DAY_S)) == DAY_S + 600
    assert min(read_rollup(history, Level.HOUR, 0, 3 * DAY_S)) == 7200
    assert history.span() == (7200, 3 * DAY_S - 600)


def test_rollups_are_never_kept_shorter_than_samples(history, pack_all):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in range(0, DAY_S, 600)])
    pack_all(history)
    history.prune(3600, minutes_before_s=DAY_S, hours_before_s=DAY_S)
    assert min(read_rollup(history, Level.MINUTE, 0, DAY_S)) == min(read_points(history)) == 3600


def test_what_was_never_rolled_is_rolled_before_its_samples_go(history):
    """A sampler that stood still for long finds its last hour not rolled, and too old."""
    points = {at_s: at_s % 7 for at_s in range(0, 3600, 10)}
    history.append([Sample(GPU, at_s, {USED.name: value}) for at_s, value in points.items()])
    history.prune(DAY_S, minutes_before_s=0, hours_before_s=0)
    assert read_points(history) == {}
    assert read_rollup(history, Level.MINUTE, 0, 3600) == plain_rollup(points, 60, 0, 3600)


def test_what_comes_later_than_samples_are_kept_is_not_stored(history, pack_all):
    history.append([Sample(GPU, at_s, {USED.name: 5}) for at_s in range(0, 7200, 10)])
    pack_all(history)
    history.prune(3600, minutes_before_s=0, hours_before_s=0)
    assert history.append([Sample(GPU, 10, {USED.name: 999}), Sample(GPU, 7200, {USED.name: 5})]) == 1
    pack_all(history)
    assert read_rollup(history, Level.HOUR, 0, 3600) == {0: (5.0, 5.0, 5.0, 5.0, 360, 0)}


def test_sums_beyond_64_bits_have_a_mean(history, pack_all):
    energy = METRICS["energy_j"]
    huge = (1 << 62) + 12_345
    history.append([Sample(GPU, at_s, {"energy_j": huge}) for at_s in range(0, 600, 10)])
    for _ in range(2):
        (one,) = history.rollups(energy, Level.HOUR, 0, 3600)
        assert list(one.mean) == [pytest.approx(huge, rel=1e-12)]
        pack_all(history)


def test_a_series_that_was_forgotten_leaves_its_slot_empty(history, pack_all):
    history.append([Sample(GPU, 0, {USED.name: 1}), Sample(OTHER, 0, {USED.name: 2})])
    pack_all(history)
    with history._database.transaction() as connection:
        connection.execute("DELETE FROM series WHERE key = 'GPU-2'")
    history.append([Sample(replace(GPU, key="GPU-3"), 10, {USED.name: 3}), Sample(GPU, 10, {USED.name: 4})])
    assert [(series.key.key, series.points) for series in history.read(USED, 0, 100)] == [
        ("GPU-1", ((0.0, 1.0), (10.0, 4.0))),
        ("GPU-3", ((10.0, 3.0),)),
    ]


def test_single_samples_have_no_steps(history):
    with pytest.raises(ValueError, match="no steps"):
        list(history.rollups(USED, Level.RAW, 0, 10))
