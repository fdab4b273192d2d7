"""Looking ahead over real databases: what the forecaster is given, what is unknown, and what is kept of it."""

import math
from array import array
from contextlib import closing

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from fakes.sample_world import device
from msgspec.structs import replace

from gpualloc.engine.context import Settings
from gpualloc.engine.foresee import PAST_S, foresee, least_ticks, remember
from gpualloc.engine.score import score, scores_by_series
from gpualloc.errors import NotFoundError, UsageError
from gpualloc.forecast.registry import load
from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.audit import AuditEntry
from gpualloc.model.forecast import Forecasts, Grid
from gpualloc.model.foresight import ANY_POOL, By, Subject
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

BEGUN_S = 1_800_000_000
STEP_S = 300
USE = "gpu_utilization_ratio"


class LastValue:
    """Tells the last value with a band of 1 around it, and nothing where that is unknown or the horizon too long."""

    name = "last"
    version = "7"

    def __init__(self, most_ticks=1000):
        self.most_ticks = most_ticks
        self.grids = []

    def forecast(self, grid, horizons):
        self.grids.append(grid)
        values, models = array("d"), []
        for row in range(len(grid.names)):
            last = grid.values[(row + 1) * grid.ticks - 1]
            told = [not math.isnan(last) and horizon <= self.most_ticks for horizon in horizons]
            for yes in told:
                values.extend((last - 1, last, last + 1) if yes else (math.nan,) * 3)
            models.append(tuple("last" if yes else "" for yes in told))
        return Forecasts(tuple(horizons), values, tuple(models))


class Clock:
    """Stands still until it is moved."""

    def __init__(self, at_s):
        self.at_s = at_s

    def now_s(self):
        return self.at_s


@pytest.fixture
def world(tmp_path):
    """Two pools of one node each, real databases, and a clock at an hour after the beginning."""
    nodes = [Node(NodeSpec(f"{pool}1", pool, "ssh"), NodeState.OK, 0.0, devices=(device(0),)) for pool in ("a", "b")]
    paths = StatePaths(tmp_path / "state")
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        yield memory_context(
            fleet=MemoryFleet(tuple(nodes)),
            journal=journal,
            history=history,
            clock=Clock(BEGUN_S + 3600.0),
            forecaster=LastValue(),
        )


def submit(world, number, at_s, state=WorkloadState.PENDING, **changes):
    request = Request(("x",), nodes=("a1",))
    work = Workload(f"w{number:08d}", "x", "ann", request, state, float(at_s), **changes)
    world.journal.submit(work, AuditEntry(float(at_s), "submit", "ann", work.id, None, {}))


def sample(world, at_s, ratio, node="a1", uuid="GPU-1", **values):
    key = SeriesKey(SeriesKind.DEVICE, node, uuid)
    world.history.append([Sample(key, at_s, {USE: ratio, **values})])


def row(grid, name):
    place = grid.names.index(name)
    values = grid.values[place * grid.ticks : (place + 1) * grid.ticks]
    return [None if math.isnan(value) else value for value in values]


def test_demand_is_known_since_the_state_exists_and_up_to_now(world):
    submit(world, 1, BEGUN_S)
    submit(world, 2, BEGUN_S + 3599)
    seen = foresee(world, "demand", [3600.0])
    assert (seen.grid.end_s, seen.grid.step_s, seen.grid.ticks) == (BEGUN_S + 3600, STEP_S, 13)
    assert row(seen.grid, "a") == [1.0] * 12 + [2.0]
    assert row(seen.grid, "b") == [0.0] * 13
    assert (seen.unit, seen.forecaster, seen.horizons_s) == ("GPUs", "last 7", (3600.0,))
    assert seen.forecasts.band(0, 0).median == seen.latest(0) == 2.0


def running(world, number, at_s, node="a1"):
    """Work that was started at once and runs still."""
    allocation = Allocation(f"w{number:08d}", node, (Grant("GPU-1", Share.EXCLUSIVE),))
    submit(world, number, at_s, allocation=allocation, started_at_s=float(at_s), state=WorkloadState.RUNNING)


def seen_running(world, number, at_s, node="a1"):
    world.history.append([Sample(SeriesKey(SeriesKind.WORKLOAD, node, f"w{number:08d}"), at_s, {})])


def test_demand_is_unknown_where_running_work_was_not_seen_for_long(world):
    running(world, 1, BEGUN_S)
    submit(world, 2, BEGUN_S)
    seen_running(world, 1, BEGUN_S + 1800)
    # The node was looked at later, and the work was not there: it ended, and the books do not know it yet.
    sample(world, BEGUN_S + 3590, 0.5)
    seen = foresee(world, "demand", [300.0])
    assert row(seen.grid, "a") == [2.0] * 10 + [None] * 3
    assert row(seen.grid, "b") == [0.0] * 13
    assert (seen.age_s, seen.latest(0), seen.forecasts.band(0, 0)) == (10.0, None, None)
    assert None not in row(foresee(world, "arrivals", [300.0]).grid, "a")
    seen_running(world, 1, BEGUN_S + 2700)
    assert row(foresee(world, "demand", [300.0]).grid, "a") == [2.0] * 13


def test_a_gang_is_seen_while_one_of_its_members_is(world):
    running(world, 1, BEGUN_S)
    seen_running(world, 1, BEGUN_S + 600)
    seen_running(world, 1, BEGUN_S + 3000, "b1")
    assert foresee(world, "demand", [300.0]).latest(0) == 1.0


def test_work_that_was_just_started_runs_although_nobody_looked_since(world):
    running(world, 1, BEGUN_S + 3000)
    assert row(foresee(world, "demand", [300.0]).grid, "a")[-3:] == [1.0, 1.0, 1.0]


def test_before_anything_was_asked_for_nothing_is_told(world):
    seen = foresee(world, "demand", [300.0])
    assert seen.grid.ticks == 0
    assert [seen.latest(place) for place in range(2)] == [None, None]
    assert [seen.forecasts.band(place, 0) for place in range(2)] == [None, None]
    assert world.forecaster.grids == []
    assert remember(world, seen) == 0


def test_of_an_old_state_the_last_two_weeks_are_given(world):
    submit(world, 1, BEGUN_S)
    world.clock.at_s = BEGUN_S + 10.0 * PAST_S
    seen = foresee(world, "arrivals", [300.0])
    assert seen.grid.start_s == world.clock.at_s - PAST_S
    assert row(seen.grid, "a") == [0.0] * (PAST_S // STEP_S + 1)


def test_readings_end_with_the_last_whole_step_and_unsampled_steps_are_gaps(world):
    for at_s in (0, 10, 290):
        sample(world, BEGUN_S + at_s, 0.5)
    sample(world, BEGUN_S + 900, 0.0)
    sample(world, BEGUN_S + 1200, 0.9)
    world.clock.at_s = BEGUN_S + 1300.0
    seen = foresee(world, USE, [300.0])
    assert (seen.grid.end_s, seen.age_s, seen.grid.capacity) == (BEGUN_S + 1200, 100.0, (1.0,))
    assert row(seen.grid, "a1/GPU-1") == [0.5, None, None, 0.0]
    assert (seen.known_s(0), seen.latest(0)) == (1200.0, 0.0)


def test_what_was_sampled_last_long_ago_is_unknown_now(world):
    sample(world, BEGUN_S, 0.5)
    seen = foresee(world, USE, [300.0])
    assert (seen.age_s, seen.latest(0), seen.forecasts.band(0, 0)) == (3600.0, None, None)
    assert foresee(world, USE, [300.0], node="b1").grid.names == ()


def test_readings_are_chosen_by_pool_node_and_device(world):
    for node, uuid in (("a1", "GPU-1"), ("a1", "GPU-2"), ("b1", "GPU-3"), ("gone", "GPU-4")):
        sample(world, BEGUN_S + 3000, 0.5, node, uuid)

    def names(**chosen):
        return foresee(world, USE, [300.0], **chosen).grid.names

    assert names() == ("a1/GPU-1", "a1/GPU-2", "b1/GPU-3", "gone/GPU-4")
    assert names(pool="a") == ("a1/GPU-1", "a1/GPU-2")
    assert names(node="gone") == ("gone/GPU-4",)
    assert names(pool="a", node="b1") == ()
    assert names(device="GPU-3") == ("b1/GPU-3",)


def test_nothing_is_expected_below_0_or_above_what_is_there(world):
    sample(world, BEGUN_S + 3300, 0.25)
    band = foresee(world, USE, [300.0]).forecasts.band(0, 0)
    assert (band.low, band.median, band.high) == (0.0, 0.25, 1.0)
    submit(world, 1, BEGUN_S)
    seen = foresee(world, "demand", [300.0])
    assert [seen.forecasts.band(place, 0).low for place in (0, 1)] == [0.0, 0.0]
    assert [seen.forecasts.band(place, 0).high for place in (0, 1)] == [2.0, 1.0]


def test_the_memory_of_a_device_is_its_capacity(world):
    sample(world, BEGUN_S + 3000, 0.5, gpu_memory_used_mib=10, gpu_memory_total_mib=80_000)
    sample(world, BEGUN_S + 3300, 0.5, gpu_memory_used_mib=20, gpu_memory_total_mib=80_000)
    sample(world, BEGUN_S + 3300, 0.5, "b1", "GPU-2", gpu_memory_used_mib=20)
    assert foresee(world, "gpu_memory_used_mib", [300.0]).grid.capacity == (80_000.0, None)
    assert foresee(world, "power_w", [300.0]).grid.capacity == ()


@pytest.mark.parametrize(
    ("horizons", "step_s", "ticks"),
    [([300.0, 3600.0], 300, (1, 12)), ([60.0, 90.0], 60, (1, 2)), ([1.0], 10, (1,)), ([299.0, 301.0], 299, (1, 2))],
)
def test_the_step_is_as_fine_as_the_shortest_horizon_asks(world, horizons, step_s, ticks):
    submit(world, 1, BEGUN_S)
    seen = foresee(replace(world, settings=Settings(sample_every_s=10.0)), "demand", horizons)
    assert (seen.grid.step_s, seen.forecasts.horizons) == (step_s, ticks)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("demnad", [300.0], {}), NotFoundError, "did you mean demand"),
        (("demand", [300.0], {"pool": "aa"}), NotFoundError, "did you mean a?"),
        (("demand", [300.0], {"node": "a1"}), UsageError, "--pool chooses"),
        (("demand", [300.0], {"by": By.SERIES}), UsageError, ""),
        ((USE, [300.0], {"by": By.TENANT}), UsageError, ""),
        (("demand", [], {}), UsageError, ""),
        (("demand", [0.0], {}), UsageError, ""),
    ],
)
def test_what_cannot_be_looked_ahead_at_is_refused(world, arguments, error, words):
    what, horizons, options = arguments
    with pytest.raises(error) as caught:
        foresee(world, what, horizons, **options)
    assert words in (caught.value.hint or "")


@pytest.mark.parametrize(("horizon", "least"), [(1, 22), (12, 33), (72, 93)])
def test_what_auto_says_that_it_needs_is_what_it_needs(horizon, least):
    rising = array("d", [float(at * at % 17) for at in range(least)])
    assert least_ticks(load("auto"), horizon) == least
    told = [
        load("auto").forecast(Grid(("a",), 0, STEP_S, ticks, rising[:ticks]), [horizon]).band(0, 0)
        for ticks in (least - 1, least)
    ]
    assert told[0] is None
    assert told[1] is not None


def test_a_forecaster_need_not_say_what_it_needs(world):
    submit(world, 1, BEGUN_S)
    assert foresee(world, "demand", [300.0]).least_s == (None,)
    assert foresee(world, "demand", [300.0, 3600.0], forecaster=load("auto")).least_s == (22 * 300.0, 33 * 300.0)


def test_each_horizon_is_kept_a_few_times_while_it_passes(world):
    submit(world, 1, BEGUN_S)
    for minute in range(60):
        world.clock.at_s = BEGUN_S + 3600.0 + 60 * minute
        remember(world, foresee(world, "demand", [300.0, 7200.0], pool="a"))
    kept = world.history.kept("demand")
    made = {
        horizon_s: [one.made_at_s - BEGUN_S for one in kept if one.horizon_s == horizon_s] for horizon_s in (300, 7200)
    }
    assert made == {300: list(range(3600, 7200, 300)), 7200: [3600, 5400]}
    assert {(one.series, one.model, one.last, one.step_s) for one in kept} == {("a", "last", 1.0, 300)}


def test_each_device_is_kept_however_they_were_looked_at(world):
    sample(world, BEGUN_S + 3300, 0.5)
    sample(world, BEGUN_S + 3300, 0.5, "b1", "GPU-2")
    for chosen in ({"node": "a1"}, {"node": "b1"}, {}):
        remember(world, foresee(world, USE, [300.0], **chosen))
    assert [one.series for one in world.history.kept()] == ["a1/GPU-1", "b1/GPU-2"]


def test_when_the_clock_was_set_back_forecasts_are_kept_again(world):
    submit(world, 1, BEGUN_S)
    remember(world, foresee(world, "demand", [300.0], pool="a"))
    world.clock.at_s -= 1800
    remember(world, foresee(world, "demand", [300.0], pool="a"))
    assert [one.made_at_s - BEGUN_S for one in world.history.kept()] == [1800, 3600]


def test_what_nothing_was_told_of_is_not_kept(world):
    submit(world, 1, BEGUN_S)
    limited = replace(world, forecaster=LastValue(most_ticks=1))
    remember(limited, foresee(limited, "demand", [300.0, 600.0]))
    assert {(one.series, one.horizon_s) for one in world.history.kept()} == {("a", 300), ("b", 300)}


def test_demand_is_scored_with_what_the_books_tell_later(world):
    submit(world, 1, BEGUN_S)
    remember(world, foresee(world, "demand", [600.0]))
    submit(world, 2, BEGUN_S + 3900)
    world.clock.at_s = BEGUN_S + 4300.0
    assert (score(world).kept, score(world).early, score(world).scores) == (2, 2, ())
    sample(world, BEGUN_S + 4290, 0.5)
    found = score(world)
    (told,) = found.scores
    assert (found.early, found.unknown) == (0, 0)
    assert (told.subject, told.horizon_s, told.model) == (Subject("demand", By.POOL), 600, "last")
    # Pool a: 1 was told and 2 came; pool b: 0 and 0.
    assert (told.count, told.series, told.error, told.last_error, told.ratio) == (2, 2, 0.5, 0.5, 1.0)
    assert told.covered == 1.0
    assert told.pinball == pytest.approx(((0.1 + 0.5 + 0.0) / 3 + (0.0 + 0.0 + 0.05) / 3) / 2)


def test_demand_is_not_scored_before_the_books_can_tell(world):
    running(world, 1, BEGUN_S)
    seen_running(world, 1, BEGUN_S + 3600)
    remember(world, foresee(world, "demand", [1800.0], pool="a"))
    world.clock.at_s = BEGUN_S + 9000.0
    sample(world, BEGUN_S + 9000, 0.5)
    assert (score(world).early, score(world).unknown, score(world).scores) == (1, 0, ())
    seen_running(world, 1, BEGUN_S + 9000)
    (told,) = score(world).scores
    assert (told.count, told.error) == (1, 0.0)


def test_readings_are_scored_with_what_was_sampled_later(world):
    sample(world, BEGUN_S + 3300, 0.5)
    sample(world, BEGUN_S + 3300, 0.5, "b1", "GPU-2")
    remember(world, foresee(world, USE, [300.0, 600.0]))
    sample(world, BEGUN_S + 3600, 0.9)
    sample(world, BEGUN_S + 4000, 0.7)
    sample(world, BEGUN_S + 4300, None)
    found = score(world, USE)
    assert [(one.horizon_s, one.count, one.error) for one in found.scores] == [
        (300, 1, pytest.approx(0.4)),
        (600, 1, pytest.approx(0.2)),
    ]
    assert (found.kept, found.early, found.unknown) == (4, 0, 2)
    assert score(world, "demand").kept == 0


def test_each_series_is_scored_by_itself(world):
    sample(world, BEGUN_S + 3300, 0.5)
    sample(world, BEGUN_S + 3300, 0.5, "b1", "GPU-2")
    seen = foresee(world, USE, [300.0])
    remember(world, seen)
    remember(world, foresee(world, USE, [300.0], pool="a"))
    sample(world, BEGUN_S + 3600, 0.9)
    sample(world, BEGUN_S + 3600, 0.7, "b1", "GPU-2")
    sample(world, BEGUN_S + 3900, None)
    found = scores_by_series(world, seen.subject)
    assert {name: [(one.horizon_s, one.count, one.error) for one in scores] for name, scores in found.items()} == {
        "a1/GPU-1": [(300, 1, pytest.approx(0.4))],
        "b1/GPU-2": [(300, 1, pytest.approx(0.2))],
    }
    assert scores_by_series(world, replace(seen.subject, what="demand")) == {}


def test_arrivals_of_profiles_are_scored_too(world):
    submit(world, 1, BEGUN_S)
    submit(world, 2, BEGUN_S + 3500)
    remember(world, foresee(world, "arrivals", [300.0], by=By.PROFILE))
    sample(world, BEGUN_S + 5000, 0.5)
    (told,) = score(world).scores
    assert (told.subject.by, told.count, told.error) == (By.PROFILE, 1, 1.0)


def test_work_that_fits_several_pools_has_a_series_of_its_own(world):
    submit(world, 1, BEGUN_S)
    work = Workload("w00000002", "x", "ann", Request(("x",)), WorkloadState.PENDING, float(BEGUN_S))
    world.journal.submit(work, AuditEntry(float(BEGUN_S), "submit", "ann", work.id, None, {}))
    assert foresee(world, "demand", [300.0]).grid.names == (ANY_POOL, "a", "b")
