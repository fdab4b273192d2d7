"""Of a moment that which was kept comes back, wherever it lies by now; and moments are found, whatever lies between."""

from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.model.sample import Level, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

GPU = SeriesKey(SeriesKind.DEVICE, "n1", "GPU-1")
OTHER = replace(GPU, node="n2", key="GPU-2")
NODE = SeriesKey(SeriesKind.NODE, "n1", "")
START_S = 1_790_000_000 // 86_400 * 86_400
KNOWN = {"power_w": 301.25, "temperature_c": 61.0}


@contextmanager
def opened():
    with TemporaryDirectory() as folder, closing(SqliteHistory(StatePaths(Path(folder)))) as history:
        yield history


@pytest.fixture
def history(paths):
    with closing(SqliteHistory(paths)) as history:
        yield history


def found(history, at_s, reach_s):
    """{series: (when, its known values)}, and the level."""
    kept = history.moment(at_s, reach_s)
    assert len({sample.series for sample in kept.samples}) == len(kept.samples)
    known = {
        sample.series: (sample.at_s, {name: value for name, value in sample.values.items() if value is not None})
        for sample in kept.samples
    }
    return known, kept.level


TICKS = st.dictionaries(
    st.integers(0, 4000).map(lambda at: START_S + at),
    st.dictionaries(
        st.sampled_from([GPU, OTHER, NODE]),
        st.one_of(st.none(), st.integers(0, 700)),
        min_size=1,
    ),
    min_size=1,
    max_size=12,
)
NAME = {SeriesKind.DEVICE: "power_w", SeriesKind.NODE: "disk_used_mib"}


@settings(max_examples=60, deadline=None)
@given(TICKS, st.integers(-100, 4200), st.integers(0, 2000), st.booleans())
def test_it_is_what_a_plain_loop_finds(pack_all, ticks, at, reach_s, packed):
    at_s = START_S + at
    plain = {}
    for taken_s in sorted(ticks):
        if at_s - reach_s <= taken_s <= at_s:
            for key, value in ticks[taken_s].items():
                plain[key] = (taken_s, {} if value is None else {NAME[key.kind]: float(value)})
    with opened() as history:
        for taken_s, values in ticks.items():
            history.append([Sample(key, taken_s, {NAME[key.kind]: value}) for key, value in values.items()])
        if packed:
            pack_all(history)
        assert found(history, at_s, reach_s) == (plain, Level.RAW)
        before, after = [one for one in ticks if one < at_s], [one for one in ticks if one > at_s]
        assert history.neighbours(at_s) == (max(before, default=None), min(after, default=None))


def test_what_was_not_learnt_is_unknown_and_never_zero(history):
    history.append([Sample(GPU, START_S, {"power_w": None}), Sample(OTHER, START_S, {"power_w": 0.0})])
    by_series = {sample.series: sample.values for sample in history.moment(START_S, 0).samples}
    assert by_series[GPU].get("power_w") is None
    assert by_series[OTHER]["power_w"] == 0.0
    assert "temperature_c" not in by_series[OTHER] or by_series[OTHER]["temperature_c"] is None


def test_between_two_chunks_the_newest_counts(history, pack_all):
    history.append([Sample(key, START_S + 890, KNOWN) for key in (GPU, OTHER)])
    history.append([Sample(GPU, START_S + 900, {"power_w": 5.0})])
    for _ in range(2):
        known, _ = found(history, START_S + 905, 30)
        assert known == {GPU: (START_S + 900, {"power_w": 5.0}), OTHER: (START_S + 890, KNOWN)}
        pack_all(history)


@pytest.mark.parametrize(
    ("minutes_kept", "level", "since_s"), [(True, Level.MINUTE, START_S + 60), (False, Level.HOUR, START_S)]
)
def test_where_samples_are_gone_it_is_the_mean_of_the_step(history, minutes_kept, level, since_s):
    later_s = START_S + 7200
    for at in (60, 70, 80):
        history.append([Sample(GPU, START_S + at, {"power_w": float(at), "temperature_c": None})])
    history.append([Sample(GPU, later_s, KNOWN)])
    history.prune(later_s, minutes_before_s=None if not minutes_kept else START_S, hours_before_s=START_S)
    assert found(history, START_S + 100, 0) == ({GPU: (since_s, {"power_w": 70.0})}, level)
    assert found(history, later_s + 5, 10) == ({GPU: (later_s, KNOWN)}, Level.RAW)
    assert history.neighbours(later_s) == (since_s, None)
    assert history.neighbours(since_s) == (None, later_s)
    assert history.neighbours(START_S - 1) == (None, since_s)


@pytest.mark.parametrize(("begins_s", "level"), [(START_S, Level.MINUTE), (START_S + 3600, Level.HOUR)])
def test_of_each_series_the_newest_step_counts(history, begins_s, level):
    """Two that are in one block, of which one came later and told of more."""
    step_s = level.step_s
    history.append([Sample(GPU, begins_s, {"power_w": 1.0})])
    both = {"power_w": 2.0, "temperature_c": 50.0}
    history.append([Sample(OTHER, begins_s + step_s, both), Sample(NODE, begins_s + step_s, {})])
    later_s = START_S + 86_400
    history.append([Sample(NODE, later_s, {})])
    minutes_s = START_S if level is Level.MINUTE else later_s
    history.prune(later_s, minutes_before_s=minutes_s, hours_before_s=START_S)
    at_s = begins_s + step_s + 5
    assert found(history, at_s, 2 * step_s) == (
        {GPU: (begins_s, {"power_w": 1.0}), OTHER: (begins_s + step_s, both), NODE: (begins_s + step_s, {})},
        level,
    )
    assert GPU not in found(history, at_s, 0)[0]


def test_a_long_gap_is_stepped_over(history, pack_all):
    history.append([Sample(GPU, START_S, KNOWN)])
    history.append([Sample(GPU, START_S + 30 * 86_400, KNOWN)])
    pack_all(history)
    assert history.neighbours(START_S + 1000) == (START_S, START_S + 30 * 86_400)
    assert history.neighbours(START_S) == (None, START_S + 30 * 86_400)


def test_of_nothing_there_is_nothing(history):
    assert found(history, START_S, 30) == ({}, Level.RAW)
    assert history.neighbours(START_S) == (None, None)
