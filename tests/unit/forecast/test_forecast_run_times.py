"""Run times by class: censoring, shrinkage, and what cannot be told."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpualloc.forecast.run_times import PastRun, RunTimes


def run(seconds, ended=True, user="ann", label="train", gpus=1):
    return PastRun(user, label, gpus, float(seconds), ended)


def expected(runs, elapsed_s=0.0, user="ann", label="train", gpus=1):
    found = RunTimes(runs).expect(user, label, gpus, elapsed_s)
    return found.low, found.median, found.high


@pytest.mark.parametrize(("count", "low", "high"), [(18, 0, None), (19, 1, 19), (20, 1, 20), (99, 5, 95), (100, 5, 96)])
def test_the_edges_are_those_ranks_between_which_a_new_run_lies_in_90_of_100_cases(count, low, high):
    assert expected([run(seconds) for seconds in range(1, count + 1)]) == (low, -(-count // 2), high)


@pytest.mark.parametrize("count", [19, 40])
def test_the_band_holds_what_it_promises(count):
    rng = random.Random(7)
    inside = 0
    for _ in range(400):
        runs = [run(rng.lognormvariate(8, 1.5)) for _ in range(count)]
        low, _, high = expected(runs)
        inside += low <= rng.lognormvariate(8, 1.5) <= high
    assert 0.87 <= inside / 400 <= 0.96


def test_nothing_is_told_before_any_run_ended():
    assert RunTimes([]).expect("ann", "train", 1) is None
    assert RunTimes([run(50, ended=False)]).expect("ann", "train", 1) is None


def test_work_that_still_runs_makes_run_times_longer_and_not_shorter():
    over = [run(seconds) for seconds in (10, 20, 30, 40)]
    still = [run(35, ended=False) for _ in range(4)]
    assert expected(over)[1] == 20
    # By hand: 7/8, 6/8, 5/8 survive the first three; 4 of 5 are censored before the last.
    assert expected(over + still) == (0, 40, None)


def test_beyond_what_was_seen_nothing_is_made_up():
    found = RunTimes([run(10), run(20), run(90, ended=False), run(95, ended=False)]).expect("ann", "train", 1)
    assert (found.low, found.median, found.high, found.longest_s) == (0, 20, None, 95)
    assert (found.ended, found.open, found.alike) == (2, 2, 2)


def test_a_class_of_its_own_is_drawn_towards_the_others_until_it_has_runs():
    others = [run(1000, user="bob", label="serve", gpus=gpus) for gpus in [1, 8] * 20]
    assert expected(others)[1] == 1000
    for own, median in ((1, 1000), (30, 10)):
        assert expected([*others, *[run(10)] * own])[1] == median


def test_the_nearer_class_counts_more():
    far = [run(1000, user="bob", gpus=8)] * 50
    near = [run(10, user="ann", label="other")] * 50
    assert expected([*far, *near])[1] == 10


def test_what_has_run_for_a_while_runs_at_least_so_long():
    runs = [run(seconds) for seconds in range(1, 101)]
    low, median, high = expected(runs, elapsed_s=60.0)
    assert (low, median, high) == (61, 80, 99)
    assert expected(runs, elapsed_s=500.0) == (500.0, None, None)


RUNS = st.lists(
    st.builds(
        run,
        st.integers(0, 1000),
        st.booleans(),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["x", "y"]),
        st.sampled_from([1, 8]),
    ),
    min_size=1,
    max_size=30,
)


@settings(deadline=None)
@given(RUNS, st.integers(0, 1000))
def test_quantiles_ascend_and_are_run_times_that_were_seen(runs, elapsed_s):
    told = RunTimes(runs)
    for found in (told.expect(*each, elapsed_s) for each in told.classes()):
        if found is None:
            assert not any(one.ended for one in runs)
            continue
        quantiles = [value for value in (found.low, found.median, found.high) if value is not None]
        assert all(one <= other for one, other in pairwise(quantiles))
        seen = {one.seconds for one in runs if one.ended} | {elapsed_s}
        assert all(value in seen and value >= elapsed_s for value in quantiles)
        assert (found.low, found.median, found.high)[: len(quantiles)] == tuple(quantiles)


@settings(deadline=None)
@given(RUNS)
def test_the_order_of_runs_does_not_matter(runs):
    there, back = RunTimes(runs), RunTimes(runs[::-1])
    assert [there.expect(*each) for each in there.classes()] == [back.expect(*each) for each in back.classes()]
