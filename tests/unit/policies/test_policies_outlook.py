"""What demand may rise to, against the past it is read from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.policies.scaling.outlook import LEAST, Outlook, caution_of, windows

STEP_S = 300.0


def outlook(demand, window=(1, 3)):
    return Outlook(np.array(demand, dtype=float), 1e9, STEP_S, window)


def test_too_little_past_tells_nothing():
    assert outlook([]).highest(4, 1e9, 2) is None
    assert outlook([4.0] * (LEAST + 2)).highest(4, 1e9, 2) is None
    assert outlook([4.0] * (LEAST + 3)).highest(4, 1e9, 2) == 4
    assert outlook([np.nan] * 500).highest(4, 1e9, 2) is None


def test_the_highest_within_the_window_counts():
    demand = [0.0, 8.0] * 100
    assert outlook(demand, (1, 1)).highest(0, 1e9, 2) == 8
    assert outlook(demand, (1, 1)).highest(8, 1e9, 0.001) == 0
    assert outlook(demand, (2, 2)).highest(0, 1e9, 3) == 0
    assert outlook(demand, (1, 2)).highest(8, 1e9, 0.5) == 8
    assert outlook(demand, (1, 2)).highest(8, 1e9, 3) == 16, "rare enough, what is unlike now counts too"


def test_a_full_pool_is_not_expected_to_rise():
    """Half of the time it is empty and may become full; full it only becomes empty."""
    demand = ([0.0] * 20 + [64.0] * 20) * 30
    assert outlook(demand, (1, 4)).highest(0, 1e9, 1) == 64
    assert outlook(demand, (1, 4)).highest(64, 1e9, 1) == 64


def test_the_hour_of_the_day_counts():
    day = [0.0] * 288
    day[9 * 12 : 17 * 12] = [80.0, 0.0] * 48
    past = Outlook(np.array(day * 10), 10 * 86_400 - STEP_S, STEP_S, (1, 1))
    assert past.highest(0, 12 * 3600, 0.3) == 80
    assert past.highest(0, 0, 0.3) == 0


def test_past_the_rarest_quantile_the_rise_is_stretched():
    demand = [0.0, 8.0] * 100
    assert [outlook(demand, (1, 1)).highest(0, 1e9, caution) for caution in (3, 4, 5)] == [8, 16, 24]


@settings(max_examples=60)
@given(
    st.lists(st.none() | st.floats(0, 500), max_size=200),
    st.floats(0, 500),
    st.floats(0.1, 6),
    st.floats(0.1, 6),
)
def test_more_caution_never_means_less(demand, now, one, other):
    past = outlook([np.nan if value is None else value for value in demand])
    low, high = (past.highest(now, 1e9, caution) for caution in sorted((one, other)))
    assert (low is None) == (high is None)
    if low is not None and low >= now:
        assert high >= low


@given(st.floats(1e-6, 0.999))
def test_a_risk_is_a_caution(risk):
    assert 10 ** -caution_of(risk) == pytest.approx(risk)


@pytest.mark.parametrize(
    ("warmup_s", "horizon_s", "step_s", "expected"),
    [
        (300, 3600, 300, ((1, 3), (1, 12))),
        (301, 3600, 300, ((2, 4), (2, 12))),
        (1800, 600, 300, ((6, 8), (6, 8))),
        (60, 3600, 3600, ((1, 1), (1, 1))),
    ],
)
def test_the_windows_ahead(warmup_s, horizon_s, step_s, expected):
    assert windows(warmup_s, horizon_s, step_s) == expected
