"""What is expected of our own series, as text and as JSON: what is unknown is named, and foreign text does no harm."""

import json
import math
from array import array

import pytest
from fakes.sample_world import HOSTILE
from msgspec.structs import replace

from gpualloc.forecast.run_times import ClassRunTime, RunTime
from gpualloc.model.forecast import Forecasts, Grid
from gpualloc.model.foresight import ANY_POOL, By, Foresight, Score, Scored, Subject
from gpualloc.views.foresight import foresight_data, foresight_text, notes
from gpualloc.views.look import Look
from gpualloc.views.run_times import run_times_data, run_times_text
from gpualloc.views.score import score_data, score_text
from gpualloc.views.text import cells

NOW_S = 1_800_000_000
NAN = math.nan
DEMAND = Subject("demand", By.POOL)


def foresight(rows, told, subject=DEMAND, age_s=10.0, horizons=(1, 12), unit="GPUs", capacity=()):
    """Series by name with what is told of each at each horizon: a band of 1 around a median, or None."""
    ticks = len(next(iter(rows.values()), ()))
    grid = Grid(
        tuple(rows),
        NOW_S - (ticks - 1) * 300,
        300,
        ticks,
        array("d", [value for row in rows.values() for value in row]),
        capacity,
    )
    values, models = array("d"), []
    for name in rows:
        for median in told[name]:
            values.extend((NAN,) * 3 if median is None else (median - 1, median, median + 1))
        models.append(tuple("" if median is None else "last" for median in told[name]))
    return Foresight(subject, unit, grid, Forecasts(horizons, values, tuple(models)), age_s, "auto 1")


def test_json_has_null_for_what_is_unknown():
    seen = foresight({"a": [NAN, 2.0, NAN], "b": [0.0, 0.0, 3.0]}, {"a": (None, None), "b": (3.0, None)})
    data = json.loads(json.dumps(foresight_data(seen, simulated=True), allow_nan=False))
    first, second = data["series"].values()
    assert (first["latest"], first["known_s"], second["latest"], second["known_s"]) == (None, 600.0, 3.0, 900.0)
    assert first["points"] == [[NOW_S - 600, None], [NOW_S - 300, 2.0], [NOW_S, None]]
    assert second["forecast"] == {"5m": {"low": 2.0, "median": 3.0, "high": 4.0, "model": "last"}, "1h": None}
    assert (data["simulated"], data["at_s"], data["age_s"], data["forecaster"]) == (True, NOW_S, 10.0, "auto 1")


def test_what_is_unknown_is_grouped_by_its_reason():
    known, gone, short = [1.0] * 9, [1.0] * 8 + [NAN], [NAN] * 8 + [1.0]
    rows = {"a": known, "b": [NAN] * 9, "c": gone, "d": short, "e": short, "f": known}
    told = {"a": (1.0, 1.0), "b": (None, None), "c": (None, None), "d": (1.0, None), "e": (1.0, None), "f": (1.0, None)}
    assert notes(foresight(rows, told)) == [
        "nothing is told 5m ahead of b: nothing is known of the past",
        "nothing is told 5m ahead of c: the latest value is not known",
        "nothing is told 1h ahead of d, e and 1 more: only 5m00s to 45m00s of the past is known",
    ]


def test_how_much_of_the_past_is_needed_is_said_where_the_forecaster_says_it():
    seen = replace(foresight({"a": [1.0] * 9}, {"a": (1.0, None)}), least_s=(None, 9900.0))
    assert notes(seen) == ["nothing is told 1h ahead of a: only 45m00s of the past is known, 2h45m are needed"]
    gaps = replace(seen, least_s=(None, 600.0))
    assert notes(gaps) == ["nothing is told 1h ahead of a: only 45m00s of the past is known"]


@pytest.mark.parametrize(
    ("age_s", "words"), [(None, ["nothing was ever sampled"]), (900.0, []), (7200.0, ["last sampled 2h00m ago"])]
)
def test_how_old_the_samples_are_is_said_when_it_matters(age_s, words):
    said = notes(foresight({"a": [1.0]}, {"a": (1.0, 1.0)}, age_s=age_s))
    assert len(said) == len(words)
    assert all(word in line for word, line in zip(words, said, strict=True))


def test_the_pool_of_what_fits_several_is_explained():
    assert any("several pools" in note for note in notes(foresight({ANY_POOL: [1.0]}, {ANY_POOL: (1.0, 1.0)})))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_text_fits_and_foreign_names_do_no_harm(width):
    rows = {HOSTILE: [1.0] * 30, "x" * 300: [NAN] * 30}
    told = {HOSTILE: (1.0, 2.0), "x" * 300: (None, None)}
    text = foresight_text(foresight(rows, told, capacity=(8.0, None)), Look(width), simulated=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "simulated" in text
    assert "shaded: where 90 of 100" in text
    assert width < 80 or max(map(cells, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("subject", "head"),
    [
        (DEMAND, "demand by pool"),
        (Subject("demand", By.ALL, "a100"), "demand of everything, pool a100"),
        (Subject("arrivals", By.PROFILE), "arrivals in 5m by profile"),
        (Subject("power_w", By.SERIES), "power_w"),
    ],
)
def test_the_head_says_what_it_is(subject, head):
    text = foresight_text(foresight({"a": [1.0] * 3}, {"a": (1.0, 1.0)}, subject), Look(), simulated=False)
    assert text.splitlines()[0] == head


@pytest.mark.parametrize(
    ("subject", "words"), [(DEMAND, "gpualloc submit"), (Subject("power_w", By.SERIES), "gpualloc sample --every 10s")]
)
def test_nothing_at_all_says_how_to_begin(subject, words):
    text = foresight_text(foresight({}, {}, subject, age_s=None), Look(), simulated=False)
    assert words in text.replace("\n  ", " ")


RUN = ClassRunTime("ann", "train", 8, RunTime(60.0, 3600.0, None, 90_000.0, 20, 3, 40))


def test_a_run_time_that_cannot_be_told_is_longer_than_the_longest_seen():
    assert "> 1d01h" in run_times_text([RUN], Look(), simulated=False)
    (told,) = run_times_data([RUN], simulated=False)["classes"]
    assert (told["median"], told["high"], told["ended"], told["open"]) == (3600.0, None, 20, 3)


def test_owners_and_names_are_foreign_text():
    text = run_times_text([ClassRunTime(HOSTILE, HOSTILE, 1, RUN.run_time)], Look(), simulated=True)
    assert "\x1b" not in text
    assert "simulated" in text


SCORE = Score(DEMAND, 600, "last", 10, 2, 1.25, None, None, 0.5, 0.875)


def test_scores_without_a_naive_row_have_none():
    scored = Scored((SCORE,), 12, 1, 1)
    (told,) = score_data(scored, simulated=False)["scores"]
    assert (told["mae"], told["mae_last"], told["ratio"], told["coverage90"]) == (1.25, None, None, 0.875)
    text = score_text(scored, Look(), simulated=False)
    assert "n/a" in text
    assert "88 %" in text
    assert "not compared yet: 1 forecast, " in text
    assert "never to be compared: 1 forecast, " in text


def test_nothing_scored_yet_says_why():
    assert "too young to score" in score_text(Scored((), 3, 3, 0), Look(), simulated=False)
    assert "never to be compared: 3 forecasts" in score_text(Scored((), 3, 0, 3), Look(), simulated=False)
