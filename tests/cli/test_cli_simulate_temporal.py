"""`simulate temporal` as scripts and people call it."""

import json

import pytest

DAY = [0.9, 0.8, 0.7, 0.2, 0.1, 0.1]
ROWS = [
    "time_s,item,compute_ratio,memory_gib",
    *(f"{1800 * at},day,{use},20" for at, use in enumerate(DAY)),
    *(f"{1800 * at},night,{1 - use:.2f},30" for at, use in enumerate(DAY)),
    *(f"{1800 * at},batch,0.4,25" for at in range(2, 5)),
]


@pytest.fixture
def call(tmp_path, monkeypatch, run):
    """Call it in a folder with a demand file; other rows may be given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def called(*more, rows=ROWS):
        (tmp_path / "demand.csv").write_text("\n".join(rows) + "\n")
        return run("simulate", "temporal", "--demand", "demand.csv", "--gpu-memory-gib", "80", *more)

    return called


def data_of(ran):
    assert ran.code == 0, ran.err
    return json.loads(ran.out)["data"]


@pytest.mark.parametrize(
    ("policy", "gpus", "hours"),
    [("peak", 3, 9.0), ("lifetime", 3, 7.5), ("series", 2, 4.5), ("ts-dpbp", 2, 4.5), ("genetic", 2, 4.5)],
)
def test_it_answers_what_scripts_rely_on(call, policy, gpus, hours):
    data = data_of(call("--policy", policy, "--json"))
    assert (data["gpus_needed"], data["gpu_hours"]) == (gpus, hours)
    assert (data["moves"], data["overload_ratio"], data["violations"]) == (0, 0, [])
    assert (data["bound"], data["bound_kind"], data["bound_at_s"]) == (2, "volume", 3600)
    assert data.keys() == {
        "simulated", "policy", "gpus_needed", "gpu_hours", "moves", "overload_ratio", "overload_time_ratio",
        "violations", "complete", "bound", "bound_kind", "bound_at_s", "forecast", "plans", "seed", "items",
        "intervals", "gpu_memory_gib", "saved_ratio", "peers", "timeline", "why",
    }  # fmt: skip
    assert [peer["policy"] for peer in data["peers"]] == ["peak", "lifetime", "window-4h", "window-1h", "series"]
    assert [moment["gpus_on"] for moment in data["timeline"]][:1] == [3 if policy == "peak" else 1 if gpus == 2 else 2]


@pytest.mark.parametrize("name", ["last", "auto"])
def test_plans_from_a_forecast_are_charged_with_what_comes(call, name):
    data = data_of(call("--policy", "ts-dpbp", "--forecast", name, "--json"))
    assert (data["forecast"], data["violations"]) == (name, [])
    assert data["plans"] > 1
    assert 2 <= data["gpus_needed"] <= 3
    assert data["bound"] == 2
    assert data == data_of(call("--policy", "ts-dpbp", "--forecast", name, "--json"))


def test_moves_are_told_with_the_forecast_that_causes_them(call):
    rows = [ROWS[0]]
    for at in range(8):
        high = at >= 4
        rows += [f"{3600 * at},{name},{0.8 if high else 0.2},30" for name in ("a", "b")]
        rows += [f"{3600 * at},{name},{0.1 if high else 0.7},30" for name in ("c",)]
    data = data_of(call("--policy", "ts-dpbp", "--json", rows=rows))
    assert data["gpus_needed"] == 2
    assert data["moves"] == len(data["why"])
    for move in data["why"]:
        assert move.keys() == {"at_s", "item", "from", "to", "cause", "forecast_of", "when_s", "load"}


def test_people_see_a_chart_and_the_simpler_packings(call):
    text = call("--policy", "ts-dpbp").out
    assert "ts-dpbp, simulated: 3 items over 2h30m in 6 intervals" in text
    for word in ("peak", "lifetime", "window-1h", "GPUs on", "compute asked for", "no plan does with fewer than 2"):
        assert word in text


def test_a_deadline_gives_the_best_until_then(call):
    data = data_of(call("--policy", "ts-dpbp", "--deadline", "1ms", "--json"))
    assert data["violations"] == []
    assert data["gpus_needed"] <= 3


def test_one_moment_has_no_hours(call):
    rows = [ROWS[0], "0,a,0.5,10", "0,b,0.5,10"]
    data = data_of(call("--policy", "ts-dpbp", "--json", rows=rows))
    assert (data["gpus_needed"], data["gpu_hours"]) == (1, None)
    assert "n/a" in call("--policy", "ts-dpbp", rows=rows).out


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("0,huge,0.5,81", "huge needs 81 GiB at 0 s, more than the 80 of one GPU"),
        ("0,busy,1.5,8", "busy needs 1.5 GPU of compute at 0 s, more than the 1 of one GPU"),
    ],
)
def test_what_no_gpu_holds_is_infeasible_and_named(call, row, told):
    ran = call("--policy", "peak", "--json", rows=[*ROWS, row])
    assert ran.code == 4
    assert told in ran.err
    assert json.loads(ran.out)["errors"][0]["code"] == "infeasible"


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        (("--policy", "tsdpbp"), 2, "did you mean ts-dpbp?"),
        (("--policy", "peak", "--forecast", "last"), 2, "plans from no forecast"),
        (("--forecast", "lost"), 2, "no forecaster 'lost'"),
        (("--gpu-memory-gib", "0"), 2, "--gpu-memory-gib 0 is out of range"),
        (("--seed", "-1"), 2, "seed"),
        (("--deadline", "soon"), 2, "soon"),
    ],
)
def test_wrong_options_are_told(call, more, code, told):
    ran = call(*more)
    assert ran.code == code
    assert told in ran.err


def test_a_wrong_row_is_told_with_its_line(call):
    ran = call("--policy", "peak", rows=[*ROWS[:3], "0,day,0.1,1"])
    assert ran.code == 2
    assert "demand.csv, row 2 (line 4)" in ran.err
