"""`simulate scale` as scripts and people call it."""

import gzip
import json

import pytest

SERIES = "time_s,series,value,capacity\n" + "".join(
    f"{300 * tick},{name},{value},64\n"
    for tick in range(600)
    for name, value in (("a", 8 if tick % 100 < 50 else 40), ("b", 4))
)
ALONE = "time_s,demand\n" + "".join(f"{300 * tick},{8 if tick < 20 else 60}\n" for tick in range(60))


@pytest.fixture
def call(tmp_path, monkeypatch, run):
    """Call `simulate scale` in a folder with files of demand."""
    (tmp_path / "series.csv").write_text(SERIES)
    (tmp_path / "alone.csv").write_text(ALONE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return lambda *more: run("simulate", "scale", *more)


def data_of(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["data"]


@pytest.mark.parametrize("policy", ["reactive", "predictive", "threshold", "step", "target-tracking"])
def test_it_answers_what_scripts_rely_on(call, policy):
    data = data_of(call("--demand", "alone.csv", "--policy", policy, "--provision", "300s", "--json"))
    assert data.keys() == {
        "simulated", "policy", "gpus_per_node", "provision_s", "risk", "spends_as", "gpu_hours", "demand_gpu_hours",
        "unmet_gpu_hours", "time_to_capacity_s", "slo_s", "slo_misses", "shortfalls", "scale_ups", "scale_downs",
        "interruptions", "cost", "pools", "timeline",
    }  # fmt: skip
    assert data["time_to_capacity_s"].keys() == {"mean", "p95", "longest", "rises"}
    assert (data["simulated"], data["policy"], data["provision_s"], data["cost"]) == (True, policy, 300.0, None)
    assert data["spends_as"] == ("reactive" if policy == "predictive" else None)
    assert data["demand_gpu_hours"] == pytest.approx((20 * 8 + 40 * 60) / 12)
    assert data["time_to_capacity_s"]["rises"] == 1
    assert data["time_to_capacity_s"]["mean"] > 0
    assert data["scale_ups"] > 0
    assert len(data["timeline"]) == 60


def test_the_time_to_capacity_by_hand(call):
    """From 2 nodes to 8 one at a time, each decision a tick before its node: the eighth serves in the sixth tick."""
    data = data_of(call("--demand", "alone.csv", "--policy", "reactive", "--json"))
    assert data["time_to_capacity_s"]["mean"] == 1800.0
    later = data_of(call("--demand", "alone.csv", "--policy", "reactive", "--provision", "15m", "--json"))
    assert later["time_to_capacity_s"]["mean"] == 2400.0
    assert (later["slo_s"], later["slo_misses"]) == (300.0, 1)
    assert data_of(call("--demand", "alone.csv", "--policy", "reactive", "--slo", "30m", "--json"))["slo_misses"] == 0
    at_once = data_of(call("--demand", "alone.csv", "--policy", "target-tracking", "--provision", "15m", "--json"))
    assert at_once["time_to_capacity_s"]["mean"] == 900.0


def test_series_are_pools_of_their_own_unless_they_are_summed(call):
    alone = data_of(call("--demand", "series.csv", "--policy", "reactive", "--json"))
    assert [pool["name"] for pool in alone["pools"]] == ["a", "b"]
    assert alone["gpu_hours"] == pytest.approx(sum(pool["gpu_hours"] for pool in alone["pools"]))
    summed = data_of(call("--demand", "series.csv", "--policy", "reactive", "--sum", "--json"))
    assert [pool["name"] for pool in summed["pools"]] == ["sum"]
    assert summed["demand_gpu_hours"] == pytest.approx(alone["demand_gpu_hours"])


@pytest.mark.parametrize("column", ["demand", "gpus", "value"])
@pytest.mark.parametrize("packed", [False, True])
def test_one_series_may_be_named_in_other_ways(call, tmp_path, column, packed):
    text = ALONE.replace("demand", column).replace("\n", "\r\n").encode()
    (tmp_path / "other.csv").write_bytes(gzip.compress(b"\n" + text) if packed else text)
    one, other = (data_of(call("--demand", name, "--policy", "step", "--json")) for name in ("alone.csv", "other.csv"))
    assert one == other


def test_policies_are_compared(call):
    ran = call("--demand", "series.csv", "--policy", "reactive", "--policy", "predictive", "--json")
    data = data_of(ran)
    assert [result["policy"] for result in data["policies"]] == ["reactive", "predictive"]
    (against,) = data["against_first"]
    assert (against["policy"], against["first"]) == ("predictive", "reactive")
    assert against.keys() == {"policy", "first", "sooner_pct", "gpu_hours_pct", "unmet_less_pct"}
    assert abs(against["gpu_hours_pct"]) < 20


def test_the_answer_fits_a_usual_terminal(call):
    ran = call("--demand", "series.csv", "--policy", "reactive", "--policy", "predictive")
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert len(lines) < 24
    assert max(map(len, lines)) <= 80
    assert "simulated" in lines[0]
    assert [line.split()[0] for line in lines[2:4]] == ["reactive", "predictive"]


def test_spot_prices_are_bought_by(call, tmp_path):
    (tmp_path / "prices.csv").write_text("time_s,zone,price,interruptions_per_hour\n0,z1,1,2\n0,z2,1.5,0\n")
    arguments = ("--demand", "alone.csv", "--policy", "reactive", "--price", "3", "--json")
    dear = data_of(call(*arguments))
    cheap, again = (data_of(call(*arguments, "--prices", "prices.csv", "--seed", "4")) for _ in range(2))
    assert dear["cost"] == pytest.approx(3 * dear["gpu_hours"])
    assert cheap["cost"] < dear["cost"]
    assert cheap == again


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--policy", "clever"), "reactive"),
        (("--policy", "scheduled"), "cannot be simulated"),
        (("--policy", "reactive", "--provision", "soon"), "soon"),
        (("--policy", "reactive", "--gpus-per-node", "0"), "out of range"),
        (("--policy", "reactive", "--min", "5", "--max", "4"), "above"),
        (("--policy", "reactive", "--max", "none"), "whole number"),
        (("--policy", "predictive", "--risk", "1"), "out of range"),
        (("--policy", "predictive", "--risk", "nan"), "usable"),
        (("--policy", "reactive", "--price", "-1"), "below 0"),
        (("--policy", "reactive", "--seed", "x"), "--seed"),
    ],
)
def test_what_has_no_meaning_is_refused(call, arguments, said):
    ran = call("--demand", "alone.csv", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("time_s,demand\n", "no rows"),
        ("time_s,demand\n0,1\n", "two times"),
        ("time_s,demand\n0,1\n300,much\n", "line 3"),
        ("time_s,demand\n\n0,1\n300,-1\n", "line 4"),
        ("time_s,demand\n0,1\nsoon,1\n", "line 3"),
        ("time_s,demand\n0,1\n300,1,2\n", "line 3"),
        ("time_s,demand\n0,1\n0,2\n", "line 3"),
        ("when,demand\n0,1\n", "time_s"),
        ("time_s,series,value,colour\n0,a,1,red\n", "colour"),
        ("time_s,demand\n0,1\n300,inf\n", "line 3"),
    ],
)
def test_a_broken_file_is_told_with_its_line(call, tmp_path, text, said):
    (tmp_path / "broken.csv").write_text(text)
    ran = call("--demand", "broken.csv", "--policy", "reactive")
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "broken.csv" in ran.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("time_s,zone,price\n0,z,x\n", "line 2"),
        ("time_s,zone,price\n0,z,1\n0,z,2\n", "line 3"),
        ("time_s,zone\n0,z\n", "price"),
        ("time_s,zone,price,interruptions_per_hour\n0,z,1,-1\n", "line 2"),
    ],
)
def test_broken_prices_are_told_with_their_line(call, tmp_path, text, said):
    (tmp_path / "prices.csv").write_text(text)
    ran = call("--demand", "alone.csv", "--policy", "reactive", "--prices", "prices.csv")
    assert ran.code == 2
    assert said in ran.err


def test_a_file_that_is_not_there_is_told(call):
    ran = call("--demand", "none.csv", "--policy", "reactive")
    assert ran.code == 2
    assert "none.csv" in ran.err
