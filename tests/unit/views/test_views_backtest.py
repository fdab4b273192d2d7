"""The tables of a back-test: naive first, chosen last, null where nothing is known."""

import numpy as np

from gpualloc.forecast.backtest import BackTest, Score
from gpualloc.views.backtest import backtest_data, backtest_text
from gpualloc.views.look import Look


def score(*loss):
    values = np.array(loss)
    return Score(values, values * 2, values / 10, np.full(len(loss), 5.0))


def found(capacity=(100.0, 50.0), seasonal=True, stride=1):
    scores = {"last": (score(1.0, 2.0),), "chosen": (score(0.5, np.nan),)}
    return BackTest(
        names=("a", "b"),
        horizons=(1,),
        scores=scores,
        chosen=(("spread", ""),),
        naive_error=np.array([4.0, np.nan]),
        seasonal=seasonal,
        capacity=np.array(capacity),
        step_s=300.0,
        test_ticks=288,
        stride=stride,
    )


def test_figures_are_means_over_the_series_of_which_they_are_known():
    data = backtest_data(found(), ["5m"])
    assert data["mase"] == {"last": {"5m": 0.5}, "chosen": {"5m": 0.25}}
    assert data["pinball"] == {"last": {"5m": 2.5}, "chosen": {"5m": 0.5}}
    assert data["coverage90"] == {"last": {"5m": 85.0}, "chosen": {"5m": 95.0}}
    assert data["chosen_models"] == {"a": {"5m": "spread"}, "b": {"5m": None}}
    assert (data["pinball_unit"], data["mase_scale"], data["test_s"]) == (
        "percent of capacity",
        "one day earlier",
        86400.0,
    )


def test_without_every_capacity_the_loss_stays_in_the_unit_of_the_series():
    data = backtest_data(found(capacity=(100.0, np.nan)), ["5m"])
    assert data["pinball"]["last"] == {"5m": 1.5}
    assert data["pinball_unit"] == "unit of the series"
    assert "in the unit of the series" in backtest_text(found(capacity=(100.0, np.nan)), ["5m"], Look())


def test_what_nothing_is_known_of_is_n_a_and_never_a_number():
    unknown = found()
    unknown.scores["chosen"][0].missed[:] = np.nan
    assert backtest_data(unknown, ["5m"])["coverage90"]["chosen"] == {"5m": None}
    assert "n/a" in backtest_text(unknown, ["5m"], Look())


def test_people_read_what_was_scored_and_what_was_chosen():
    text = backtest_text(found(seasonal=False, stride=4), ["5m"], Look())
    assert text.splitlines()[0] == "2 series, the last 1d00h of them, from every 4th step"
    assert "the value one step earlier" in text
    assert text.splitlines()[-1] == "   5m  spread 1, nothing can be told 1"
