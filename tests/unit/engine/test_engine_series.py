"""The past of one device for a chart, over a real database: how finely it is read, gaps, and what was seen since."""

from contextlib import closing
from itertools import pairwise

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gpualloc.engine.context import Settings
from gpualloc.engine.series import PER_COLUMN, Past, Reading, grain_of, joined, past_of
from gpualloc.errors import NotFoundError
from gpualloc.model.sample import METRICS, Level, Sample, SeriesKey, SeriesKind
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths

NOW_S = 1_800_000_000
KEY = SeriesKey(SeriesKind.DEVICE, "a1", "GPU-1")
POWER = "power_w"
DAY_S = 86_400


class Clock:
    """Stands still."""

    def now_s(self):
        return float(NOW_S)


@pytest.fixture
def world(tmp_path):
    """A real history, and a clock."""
    with closing(SqliteHistory(StatePaths(tmp_path / "state"))) as history:
        yield memory_context(fleet=MemoryFleet(()), history=history, clock=Clock())


def sample(world, *points, key=KEY):
    for at_s, value in points:
        world.history.append([Sample(key, at_s, {POWER: value})])


def power(world, since_s, columns, until_s=NOW_S, key=KEY):
    return past_of(world, key, [POWER], since_s=since_s, until_s=until_s, columns=columns)[POWER]


def test_a_short_time_is_read_as_it_was_sampled(world):
    sample(world, (NOW_S - 30, 100.0), (NOW_S - 20, None), (NOW_S - 10, 300.0))
    sample(world, (NOW_S - 10, 7.0), key=replace(KEY, key="GPU-2"))
    past = power(world, NOW_S - 60, 100)
    assert (past.level, past.step_s) == (Level.RAW, 10.0)
    assert past.readings == (
        Reading(NOW_S - 30, 100.0, 100.0, 100.0),
        Reading(NOW_S - 20, None, None, None),
        Reading(NOW_S - 10, 300.0, 300.0, 300.0),
    )


def test_the_node_itself_has_a_past_too(world):
    key = SeriesKey(SeriesKind.NODE, "a1", "")
    world.history.append([Sample(key, NOW_S - 10, {"cpu_utilization_ratio": 0.25})])
    found = past_of(world, key, ["cpu_utilization_ratio"], since_s=NOW_S - 60, until_s=NOW_S, columns=80)
    assert [one.mean for one in found["cpu_utilization_ratio"].readings] == [0.25]


def test_a_long_time_is_read_by_steps_with_their_lowest_and_highest(world):
    begin_s = NOW_S // 3600 * 3600 - 12 * 3600
    sample(world, *((begin_s + 60 * at, float(at % 10)) for at in range(120)))
    past = power(world, begin_s, 36, begin_s + 12 * 3600)
    assert (past.level, past.step_s) == (Level.MINUTE, 600.0)
    assert past.readings[0] == Reading(begin_s, 0.0, pytest.approx(4.5), 9.0)
    assert [one.at_s for one in past.readings] == [begin_s + 600.0 * at for at in range(12)]


def test_steps_are_weighed_by_what_is_known_of_them(world):
    begin_s = NOW_S // 3600 * 3600 - 4 * 3600
    sample(world, (begin_s, 100.0), (begin_s + 60, 200.0), (begin_s + 70, 200.0), (begin_s + 120, None))
    sample(world, (begin_s + 1800, None))
    past = power(world, begin_s, 8, begin_s + 4 * 3600)
    assert past.step_s == 900.0
    assert past.readings[0] == Reading(begin_s, 100.0, pytest.approx(500 / 3), 200.0)
    assert past.readings[-1] == Reading(begin_s + 1800, None, None, None)


def test_where_nothing_was_sampled_a_gap_begins(world):
    sample(world, *((NOW_S - 300 + 10 * at, 100.0) for at in (*range(10), *range(20, 30))))
    past = power(world, NOW_S - 300, 100)
    assert [one.at_s for one in past.readings if one.mean is None] == [NOW_S - 200]
    assert len(past.readings) == 21


def test_what_is_sampled_once_in_five_minutes_has_no_gaps(world):
    sample(world, *((NOW_S - 7200 + 300 * at, 100.0) for at in range(24)))
    for columns in (300, 40):
        past = power(world, NOW_S - 7200, columns)
        assert past.level is (Level.RAW if columns == 300 else Level.MINUTE)
        assert all(one.mean == 100.0 for one in past.readings)


def test_a_reading_that_reaches_into_the_time_is_there(world):
    sample(world, (NOW_S - 65, 100.0))
    assert len(power(world, NOW_S - 60, 100).readings) == 1
    assert power(world, NOW_S - 50, 100).readings == ()


@pytest.mark.parametrize(
    ("age_s", "span_s", "columns", "found"),
    [
        (3600, 3600, 90, (Level.RAW, 10.0)),
        (3600, 3600, 89, (Level.MINUTE, 60.0)),
        (DAY_S, DAY_S, 100, (Level.MINUTE, 480.0)),
        (20 * DAY_S, 600, 100, (Level.MINUTE, 60.0)),
        (30 * DAY_S, 30 * DAY_S, 100, (Level.HOUR, 14_400.0)),
        (40 * DAY_S, 600, 100, (Level.HOUR, 3600.0)),
        (365 * DAY_S, 365 * DAY_S, 200, (Level.HOUR, 82_800.0 - 3600)),
    ],
)
def test_how_finely_a_time_is_read(world, age_s, span_s, columns, found):
    since_s = NOW_S - age_s
    assert grain_of(world, since_s, since_s + span_s, columns) == found


@given(st.floats(1, 400 * DAY_S), st.floats(0, 1), st.integers(1, 300), st.floats(1, 600))
def test_never_are_more_readings_read_than_a_chart_can_show(age_s, part, columns, every_s):
    world = memory_context(fleet=MemoryFleet(()), clock=Clock(), settings=Settings(sample_every_s=every_s))
    since_s, span_s = NOW_S - age_s, age_s * part
    level, step_s = grain_of(world, since_s, since_s + span_s, columns)
    assert span_s / step_s <= PER_COLUMN * columns + 1e-6 or span_s < 1
    assert level is Level.RAW or step_s % level.step_s == 0


def test_a_metric_that_is_not_kept_is_refused(world):
    with pytest.raises(NotFoundError, match="powr_w"):
        past_of(world, KEY, ["powr_w"], since_s=NOW_S - 60, until_s=NOW_S, columns=80)


def stored(*values, level=Level.RAW, step_s=10.0):
    readings = tuple(Reading(NOW_S + step_s * at, value, value, value) for at, value in enumerate(values))
    return Past(KEY, METRICS[POWER], level, step_s, readings)


def told(past):
    return [(one.at_s - NOW_S, one.low, one.mean, one.high) for one in past.readings]


def test_what_was_seen_since_stands_behind_what_is_stored_without_doubles():
    live = [(NOW_S + 2.0 * at, 300.0 + at) for at in range(13)]
    found = told(joined(stored(100.0, 200.0), live))
    assert [at for at, *_ in found] == [0, 10, 20, 22, 24]
    assert found[2] == (20, 310.0, 310.0, 310.0)
    assert joined(stored(100.0), []) == stored(100.0)
    assert joined(stored(100.0), [(NOW_S + 7.0, 1.0)]) == stored(100.0)
    assert [at for at, *_ in told(joined(stored(), live[:2]))] == [0, 2]


def test_what_was_seen_is_put_together_where_steps_are_drawn():
    live = [(NOW_S + 60.0 + 10 * at, None if at == 1 else float(at)) for at in range(12)]
    found = told(joined(stored(5.0, level=Level.MINUTE, step_s=60.0), live))
    assert found == [
        (0, 5.0, 5.0, 5.0),
        (60, 0.0, pytest.approx(14 / 5), 5.0),
        (120, 6.0, pytest.approx(8.5), 11.0),
        (170, *[11.0] * 3),
    ]


def test_the_latest_reading_is_told_beside_the_step_that_it_is_in():
    past = stored(5.0, level=Level.MINUTE, step_s=60.0)
    assert told(joined(past, [(NOW_S - 5.0, 1.0), (NOW_S + 30.0, None)]))[1:] == [(30, None, None, None)]
    assert told(joined(past, [(NOW_S - 5.0, 1.0)])) == told(past)


def test_a_step_in_which_nothing_was_sampled_is_a_gap(world):
    begin_s = NOW_S // 3600 * 3600 - 12 * 3600
    sample(world, *((begin_s + 60 * at, 1.0) for at in range(720) if not 100 <= at < 120))
    past = power(world, begin_s, 36, begin_s + 12 * 3600)
    assert [one.at_s - begin_s for one in past.readings if one.mean is None] == [6000.0]


def test_between_the_store_and_what_was_seen_there_can_be_a_gap():
    found = told(
        joined(stored(100.0), [(NOW_S + 500.0, 1.0), (NOW_S + 502.0, 1.0), (NOW_S + 504.0, 1.0), (NOW_S + 600.0, 1.0)])
    )
    assert [(at, mean) for at, _, mean, _ in found] == [
        (0, 100.0),
        (10, None),
        (500, 1.0),
        (502, 1.0),
        (504, 1.0),
        (506, None),
        (600, 1.0),
    ]


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1000)), max_size=30),
    st.lists(st.tuples(st.integers(-100, 2000), st.one_of(st.none(), st.floats(0, 1000))), max_size=60),
    st.sampled_from([(Level.RAW, 10.0), (Level.MINUTE, 60.0), (Level.MINUTE, 300.0), (Level.HOUR, 3600.0)]),
)
def test_joined_readings_rise_in_time_and_invent_nothing(values, newer, grain):
    level, step_s = grain
    live = sorted((NOW_S + at, value) for at, value in dict(newer).items())
    past = stored(*values, level=level, step_s=step_s)
    found = joined(past, live)
    assert found.readings[: len(values)] == past.readings
    assert all(later.at_s > earlier.at_s for earlier, later in pairwise(found.readings))
    known = {value for _, value in live if value is not None}
    for reading in found.readings[len(values) :]:
        assert reading.mean is None or {reading.low, reading.high} <= known
        assert reading.mean is None or reading.low - 1e-9 <= reading.mean <= reading.high + 1e-9
