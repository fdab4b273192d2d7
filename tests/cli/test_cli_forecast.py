"""`forecast --series` as scripts call it: the contract of its JSON, what people read, and every bad input."""

import gzip
import json
import math

import numpy as np
import pytest

from gpualloc.cli.app import main

SHADED = set("⢕⡪")
"""Every other dot of a character."""
HORIZONS = ("5m", "15m", "30m", "1h", "2h")


def demand(ticks=900, series=("a", "b"), capacity="64", step_s=300):
    """A CSV of demand that rests most of the time."""
    draw = np.random.default_rng(0)
    lines = ["time_s,series,value,capacity"]
    for name in series:
        value = 32
        for at, step in enumerate(draw.integers(-8, 9, ticks) * (draw.random(ticks) < 0.3)):
            value = int(np.clip(value + step, 8, 56))
            lines.append(f"{1_600_000_000 + step_s * at},{name},{value},{capacity}")
    return "\n".join(lines) + "\n"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Call `forecast --series FILE` on a text; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def called(text, *more):
        (tmp_path / "demand.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
        code = main(["forecast", "--series", "demand.csv", *more])
        out, err = capsys.readouterr()
        return code, out, err

    return called


def data_of(result):
    code, out, err = result
    assert code == 0, err
    document = json.loads(out)
    assert document["schema"] == "gpualloc.forecast/1"
    return document["data"]


def test_a_back_test_answers_what_scripts_rely_on(call):
    data = data_of(call(demand(), "--horizon", "2h", "--backtest", "--json"))
    for measure in ("mase", "pinball", "coverage90"):
        assert {"last", "chosen"} <= data[measure].keys()
        for by_horizon in data[measure].values():
            assert tuple(by_horizon) == HORIZONS
            assert all(isinstance(value, float) and value >= 0 for value in by_horizon.values())
    assert data["chosen_models"].keys() == {"a", "b"}
    assert tuple(data["chosen_models"]["a"]) == HORIZONS
    assert data["pinball_unit"] == "percent of capacity"
    assert data["mase_scale"] == "one day earlier"


def test_without_capacity_the_loss_is_in_the_unit_of_the_series(call):
    relative = data_of(call(demand(capacity="50"), "--backtest", "--json"))
    bare = data_of(call(demand(capacity=""), "--backtest", "--json"))
    assert bare["pinball_unit"] == "unit of the series"
    assert relative["pinball"]["last"]["2h"] == pytest.approx(2 * bare["pinball"]["last"]["2h"], rel=1e-3)


def test_days_ahead_are_scored_when_the_series_are_long_enough(call):
    data = data_of(call(demand(2000, series=("a",)), "--horizon", "24h", "--backtest", "--json"))
    assert tuple(data["mase"]["chosen"]) == (*HORIZONS, "6h", "12h", "24h")


def test_what_nothing_is_known_of_is_null(call):
    empty = "".join(f"{1_600_000_000 + 300 * at},gone,,64\n" for at in range(900))
    data = data_of(call(demand(series=("a",)) + empty, "--horizon", "5m", "--backtest", "--json"))
    assert data["chosen_models"]["gone"] == {"5m": None}
    assert data["mase"]["chosen"]["5m"] > 0
    data = data_of(call("time_s,series,value,capacity\n" + empty, "--horizon", "5m", "--backtest", "--json"))
    assert data["mase"]["chosen"] == {"5m": None}
    assert data["coverage90"]["last"] == {"5m": None}


def test_gzip_and_rows_in_another_order_are_read(call):
    head, *rows = demand().splitlines()
    one = data_of(call(demand(), "--backtest", "--json"))
    turned = sorted(rows, key=lambda row: row.split(",")[0], reverse=True)
    other = data_of(call(gzip.compress("\n".join([head, *turned]).encode()), "--backtest", "--json"))
    assert other["mase"]["last"] == pytest.approx(one["mase"]["last"])


def test_horizons_shorter_than_a_step_are_left_out(call):
    data = data_of(call(demand(step_s=1200), "--backtest", "--json"))
    assert tuple(data["mase"]["last"]) == ("15m", "30m", "1h", "2h")


def test_a_forecast_tells_bands_by_series_and_horizon(call):
    data = data_of(call(demand(), "--horizon", "1h", "--json"))
    told = data["series"]["a"]["forecast"]
    assert tuple(told) == ("5m", "15m", "30m", "1h")
    for band in told.values():
        assert 0 <= band["low"] <= band["median"] <= band["high"]
        assert band["model"]
    assert data["series"]["a"]["at_s"] == 1_600_000_000 + 300 * 899
    widths = [band["high"] - band["low"] for band in told.values()]
    assert widths[0] < widths[-1]


def test_people_see_a_chart_of_each_series_with_its_figures(call):
    code, out, _ = call(demand(), "--horizon", "1h")
    assert code == 0
    assert "a, capacity 64" in out
    assert SHADED & set(out)
    assert [line.split()[0] for line in out.split("b, capacity 64")[1].splitlines()[-6:-2]] == [
        "5m",
        "15m",
        "30m",
        "1h",
    ]
    assert max(map(len, out.splitlines())) <= 80


def test_people_see_a_table_for_each_measure(call):
    code, out, _ = call(demand(), "--backtest")
    assert code == 0
    assert out.count("chosen  ") == 3
    assert "pinball loss" in out
    assert max(map(len, out.splitlines())) <= 80


def test_one_model_can_be_asked_for(call):
    data = data_of(call(demand(), "--model", "last", "--horizon", "5m", "--json"))
    assert data["series"]["a"]["forecast"]["5m"]["model"] == "last"


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        (demand(100), ("--backtest",), "a back-test at a horizon of 24 steps needs 216"),
        (demand(), ("--horizon", "25h"), "24h at most"),
        (demand(), ("--horizon", "1m"), "no horizon is left"),
        (demand(), ("--horizon", "soon"), "is not a duration"),
        (demand(), ("--model", "nobody"), "there is no forecaster 'nobody'"),
        ("time_s,series,value\n0,a,1\n300,a,minus\n", (), 'demand.csv, line 3: value is "minus"'),
        (b"\x1f\x8bbroken", (), "gzip data are damaged"),
        (b"\xff\xfe", (), "not UTF-8"),
        ("", (), "is empty"),
    ],
)
def test_what_cannot_be_done_is_said(call, text, more, said):
    code, out, err = call(text, *more)
    assert (code, out) == (2, "")
    assert said in err


def test_a_file_that_is_not_there_is_told(call, capsys):
    assert main(["forecast", "--series", "nowhere.csv"]) == 2
    assert "nowhere.csv cannot be read" in capsys.readouterr().err


def test_a_name_cannot_paint_the_terminal(call):
    code, _, err = call(demand(series=("a\x1b[31m",)))
    assert code == 2
    assert "\x1b[31m" not in err


def test_numbers_are_finite(call):
    text = demand()
    told = json.loads(call(text, "--json")[1], parse_constant=pytest.fail)
    assert math.isfinite(told["data"]["series"]["a"]["forecast"]["2h"]["high"])
