"""When nodes tell: spread over the period, and away from the border of two ticks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.adapters.streaming.pace import Pace

EVERY = st.sampled_from([0.5, 1.0, 2.0, 10.0, 30.0, 60.0])
NOW = st.floats(1.7e9, 2.0e9)


@given(EVERY, NOW, st.text("abcdefgh0123-", min_size=1, max_size=12))
def test_the_next_telling_is_soon_and_in_the_middle_of_a_tick(every_s, now_s, node):
    pace = Pace(every_s)
    delay_s = pace.delay_s(node, now_s)
    assert every_s / 2 <= delay_s <= 1.5 * every_s + 1e-3
    phase = (now_s + delay_s) / every_s % 1
    assert 0.1 <= phase <= 0.7
    assert not pace.drifted(now_s + delay_s)
    assert not pace.drifted(now_s + delay_s + 0.1 * every_s), "what is a little late still belongs to its tick"


@given(EVERY, NOW)
def test_what_lies_at_a_border_has_drifted(every_s, now_s):
    pace = Pace(every_s)
    border_s = now_s // every_s * every_s
    assert pace.drifted(border_s + 0.01 * every_s)
    assert pace.drifted(border_s + 0.97 * every_s)


def test_nodes_are_spread_over_the_period():
    pace = Pace(10.0)
    phases = sorted((pace.delay_s(f"gpu{number:04}", 1.7e9) % 10.0) for number in range(1000))
    assert all(later - earlier < 0.5 for earlier, later in pairwise(phases))


def test_silence_is_noticed_before_it_is_given_up_on():
    for every_s in (0.5, 1.0, 10.0, 60.0):
        pace = Pace(every_s)
        assert every_s < pace.stale_s < pace.dead_s
