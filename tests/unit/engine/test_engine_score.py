"""Scores against plain sums."""

import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.engine.score import pinball, scores_of
from gpualloc.model.forecast import Band
from gpualloc.model.foresight import By, KeptForecast, Subject

SUBJECT = Subject("demand", By.POOL)
NUMBER = st.floats(-100, 100)
KEPT = st.builds(
    lambda edges, last, horizon_s, model, series: KeptForecast(
        SUBJECT, series, 1000, 300, horizon_s, model, Band(*sorted(edges)), last
    ),
    st.tuples(NUMBER, NUMBER, NUMBER),
    st.none() | NUMBER,
    st.sampled_from([300, 600]),
    st.sampled_from(["last", "ewma"]),
    st.sampled_from(["a", "b"]),
)


@settings(deadline=None)
@given(st.lists(st.tuples(KEPT, NUMBER), max_size=30))
def test_each_row_is_the_mean_of_its_forecasts(pairs):
    scores = scores_of(pairs)
    models = {horizon_s: {one.model for one, _ in pairs if one.horizon_s == horizon_s} for horizon_s in (300, 600)}
    assert [(one.horizon_s, one.model) for one in scores] == [
        (horizon_s, model)
        for horizon_s, found in models.items()
        for model in [*(["chosen"] if len(found) > 1 else []), *sorted(found)]
    ]
    for one in scores:
        group = [
            (kept, came)
            for kept, came in pairs
            if kept.horizon_s == one.horizon_s and one.model in (kept.model, "chosen")
        ]
        assert one.count == len(group)
        assert one.series == len({kept.series for kept, _ in group})
        assert one.error == pytest.approx(statistics.fmean(abs(kept.band.median - came) for kept, came in group))
        assert one.pinball == pytest.approx(statistics.fmean(pinball(kept.band, came) for kept, came in group))
        inside = [kept.band.low <= came <= kept.band.high for kept, came in group]
        assert one.covered == pytest.approx(statistics.fmean(inside))
        naive = [abs(kept.last - came) for kept, came in group if kept.last is not None]
        assert one.last_error == (pytest.approx(statistics.fmean(naive)) if naive else None)


def test_the_ratio_is_taken_where_both_are_known():
    band = Band(0.0, 1.0, 2.0)
    beside = KeptForecast(SUBJECT, "a", 0, 300, 300, "m", band, 3.0)
    alone = KeptForecast(SUBJECT, "a", 300, 300, 300, "m", band, None)
    (score,) = scores_of([(beside, 2.0), (alone, 101.0)])
    assert (score.error, score.last_error, score.ratio) == (50.5, 1.0, 1.0)


def test_a_naive_row_that_was_always_right_has_no_ratio():
    (score,) = scores_of([(KeptForecast(SUBJECT, "a", 0, 300, 300, "m", Band(0.0, 1.0, 2.0), 2.0), 2.0)])
    assert (score.last_error, score.ratio) == (0.0, None)


@settings(deadline=None)
@given(NUMBER, NUMBER)
def test_the_pinball_loss_of_a_point_is_half_its_error(edge, came):
    assert pinball(Band(edge, edge, edge), came) == pytest.approx(abs(edge - came) / 2, abs=1e-9)
