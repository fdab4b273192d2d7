"""`gpualloc forecast` of our own series, over real databases."""

import json
from contextlib import closing

import pytest
from fakes.memory_context import MemoryFleet, memory_context
from fakes.sample_world import device
from msgspec.structs import replace

from gpualloc.cli.forecast_live import horizons_to
from gpualloc.forecast.registry import load
from gpualloc.model.audit import AuditEntry
from gpualloc.model.inventory import Node, NodeSpec, NodeState
from gpualloc.model.sample import Sample, SeriesKey, SeriesKind
from gpualloc.model.workload import Request, Workload, WorkloadState
from gpualloc.store.history import SqliteHistory
from gpualloc.store.paths import StatePaths
from gpualloc.store.state import SqliteJournal

BEGUN_S = 1_800_000_000
HOUR_S = 3600.0


class Clock:
    """Stands still until it is moved."""

    at_s = BEGUN_S + HOUR_S

    def now_s(self):
        return self.at_s


@pytest.fixture
def paths(tmp_path):
    return StatePaths(tmp_path / "state")


@pytest.fixture
def live(world, paths):
    """An empty state of one pool behind the command line, an hour after the beginning."""
    node = Node(NodeSpec("a1", "a", "ssh"), NodeState.OK, 0.0, devices=(device(0),))
    with closing(SqliteJournal(paths)) as journal, closing(SqliteHistory(paths)) as history:
        world.context = memory_context(
            fleet=MemoryFleet((node,)), journal=journal, history=history, clock=Clock(), forecaster=load("auto")
        )
        yield world.context


def submit(world, number, at_s, lasts_s=None, name="train", owner="ann"):
    ended_at_s = None if lasts_s is None else at_s + lasts_s
    state = WorkloadState.PENDING if lasts_s is None else WorkloadState.FINISHED
    work = Workload(
        f"w{number:08d}",
        name,
        owner,
        Request(("x",), env=(("TOKEN", "hunter2"),)),
        state,
        at_s,
        started_at_s=None if lasts_s is None else at_s,
        ended_at_s=ended_at_s,
    )
    world.journal.submit(work, AuditEntry(at_s, "submit", owner, work.id, None, {}))


def sample(world, at_s, ratio):
    key = SeriesKey(SeriesKind.DEVICE, "a1", "GPU-1")
    world.history.append([Sample(key, int(at_s), {"gpu_utilization_ratio": ratio})])


def answered(ran):
    assert ran.code == 0, ran.err
    document = json.loads(ran.out)
    assert document["schema"] == "gpualloc.forecast/1"
    return document["data"]


def a_day(world):
    """Work of an hour at every full hour of a day, and a sample every five minutes."""
    for number in range(24):
        submit(world, number, BEGUN_S + number * HOUR_S, 0.5 * HOUR_S, name=f"train-{number}")
    for at_s in range(0, 24 * 3600, 300):
        sample(world, BEGUN_S + at_s, at_s // 300 % 12 / 12)
    world.clock.at_s = BEGUN_S + 24 * HOUR_S


def test_an_empty_state_says_how_to_begin(run, live):
    ran = run("forecast")
    assert (ran.code, ran.err) == (0, "")
    assert "nothing was ever asked for" in ran.out
    assert answered(run("forecast", "--json"))["series"]["a"]["latest"] is None
    assert "was sampled yet" in run("forecast", "--metric", "power_w").out
    assert "no work came to its end yet" in run("forecast", "--metric", "run-time").out
    assert "nothing to score yet" in run("forecast", "--score").out


def test_demand_of_each_pool_is_what_is_told_first(run, live):
    a_day(live)
    data = answered(run("forecast", "--horizon", "2h", "--json"))
    assert (data["metric"], data["by"], data["unit"], data["simulated"]) == ("demand", "pool", "GPUs", False)
    assert list(data["series"]) == ["a"]
    told = data["series"]["a"]
    assert list(told["forecast"]) == ["5m", "15m", "30m", "1h", "2h"]
    assert all(one["low"] <= one["median"] <= one["high"] for one in told["forecast"].values())
    assert (told["latest"], told["known_s"]) == (0.0, 86_700.0)
    assert {value for _, value in told["points"]} == {0.0, 1.0}


def test_a_chart_with_its_band_and_its_figures(run, live):
    a_day(live)
    text = run("forecast", "--by", "tenant", "--horizon", "1h").out
    assert "demand by tenant" in text
    assert "shaded: where 90 of 100" in text
    assert all(word in text for word in ("ann", "now 2027", "5 %", "median", "95 %", "GPUs"))
    assert max(map(len, text.splitlines())) <= 80
    assert "hunter2" not in text


def test_readings_of_a_device_are_told_within_what_they_can_be(run, live):
    a_day(live)
    data = answered(run("forecast", "--metric", "gpu_utilization_ratio", "--device", "GPU-1", "--json"))
    assert list(data["series"]) == ["a1/GPU-1"]
    told = data["series"]["a1/GPU-1"]
    assert (told["capacity"], told["points"], data["by"]) == (1.0, None, "series")
    assert data["age_s"] == 300.0


def test_another_forecaster_may_be_asked(run, live):
    a_day(live)
    data = answered(run("forecast", "--model", "ewma", "--json"))
    assert data["forecaster"].startswith("ewma ")
    assert {one["model"] for one in data["series"]["a"]["forecast"].values()} == {"ewma"}


def test_models_can_be_scored_on_the_past_of_our_own(run, live):
    a_day(live)
    data = answered(run("forecast", "--backtest", "--horizon", "1h", "--json"))
    assert {"last", "chosen"} <= set(data["mase"])
    assert list(data["chosen_models"]) == ["a"]
    ran = run("forecast", "--backtest", "--horizon", "24h")
    assert ran.code == 2
    assert "a shorter --horizon" in ran.err


def test_what_is_unknown_is_named_with_its_reason(run, live):
    live.clock.at_s = BEGUN_S + 600.0
    submit(live, 1, BEGUN_S)
    text = run("forecast", "--horizon", "6h").out
    assert "nothing is told 5m ahead of a" in text
    assert "only 15m00s of the past is known, 1h50m are needed" in text.replace("\n ", "")
    assert "nothing was ever sampled" in text


def test_old_samples_are_said_to_be_old(run, live):
    a_day(live)
    live.clock.at_s += 3 * HOUR_S
    assert "the fleet was last sampled 3h05m ago" in run("forecast").out


def test_run_times_are_told_by_class(run, live):
    a_day(live)
    submit(live, 100, BEGUN_S, name="long one")
    data = answered(run("forecast", "--metric", "run-time", "--json"))
    (told,) = data["classes"]
    assert (told["owner"], told["label"], told["gpus"], told["ended"], told["median"]) == (
        "ann",
        "train",
        1,
        24,
        1800.0,
    )
    assert "30m00s" in run("forecast", "--metric", "run-time").out


def test_forecasts_are_scored_when_their_time_has_come(run, live):
    a_day(live)
    run("forecast", "--horizon", "1h")
    assert "too young to score" in run("forecast", "--score").out
    live.clock.at_s += 2 * HOUR_S
    sample(live, live.clock.at_s, 0.5)
    data = answered(run("forecast", "--score", "--json"))
    assert (data["kept"], data["early"], data["unknown"]) == (4, 0, 0)
    assert [one["horizon_s"] for one in data["scores"]] == [300, 900, 1800, 3600]
    assert {one["count"] for one in data["scores"]} == {1}
    assert {one["mae"] for one in data["scores"]} == {0.0}
    text = run("forecast", "--score", "--metric", "demand").out
    assert "demand by pool" in text
    assert "in band" in text
    assert max(map(len, text.splitlines())) <= 80
    assert "nothing to score yet" in run("forecast", "--score", "--metric", "power_w").out


def test_run_times_are_scored_by_what_would_have_been_told(run, live):
    assert "nothing to score yet" in run("forecast", "--score", "--metric", "run-time").out
    a_day(live)
    (told,) = answered(run("forecast", "--score", "--metric", "run-time", "--json"))["scores"]
    assert (told["metric"], told["horizon_s"], told["count"], told["mae"]) == ("run-time", None, 5, 0.0)
    assert "as it would have been told" in run("forecast", "--score", "--metric", "run-time").out


def test_where_nothing_can_be_written_the_forecast_is_told_all_the_same(run, live, world, paths):
    a_day(live)
    live.history._database._obstacle = "it is a test"
    ran = run("forecast", "--json")
    assert answered(ran)["series"]
    assert "not kept to be scored" in json.loads(ran.out)["messages"][0]


def test_simulated_is_said(run, world, live):
    world.context = replace(live, simulated=True)
    assert "simulated" in run("forecast").out
    assert "simulated" in run("forecast", "--score").out
    assert answered(run("forecast", "--json"))["simulated"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--metric", "gpu_utilisation"], "did you mean gpu_utilization_ratio"),
        (["--pool", "b"], "there is no pool 'b'"),
        (["--by", "colour"], "pool, tenant, profile, all"),
        (["--horizon", "soon"], "not a duration"),
        (["--metric", "run-time", "--pool", "a"], "leave the other options out"),
        (["--metric", "power_w", "--node", "zz1"], "zz1"),
        (["--metric", "power_w", "--by", "tenant"], "only demand and arrivals"),
        (["--model", "quantile"], "did you mean quantiles?"),
        (["--backtest"], "nothing of demand is recorded yet"),
        (["--backtest", "--metric", "run-time"], "no series that a back-test"),
        (["--score", "--pool", "a"], "--score takes --metric"),
        (["--series", "x.csv", "--pool", "a"], "--series is about a file"),
        (["--series", "x.csv", "--score"], "--series is about a file"),
    ],
)
def test_what_cannot_be_told_is_refused_with_exit_code_2(run, live, arguments, words):
    ran = run("forecast", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err


def test_horizons_lead_up_to_the_one_asked_for():
    assert horizons_to(300.0) == [300.0]
    assert horizons_to(5400.0) == [300.0, 900.0, 1800.0, 3600.0, 5400.0]
    assert horizons_to(60.0) == [60.0]
