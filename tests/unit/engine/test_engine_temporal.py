"""Plans over time played: what is known when, and what is charged."""

import itertools

import numpy as np
import pytest

from gpualloc.engine.temporal import POLICIES, TemporalTrial, simulate_temporal
from gpualloc.errors import InfeasibleError, NotFoundError, UsageError
from gpualloc.forecast.auto import Auto
from gpualloc.forecast.single import last
from gpualloc.sim.traces.demand import Demand

CLOCK = itertools.count().__next__


def demand_of(compute, memory, step_s=600.0):
    """Demand with a row for everything that is not NaN."""
    compute = np.array(compute, float)
    count, intervals = compute.shape
    alive = ~np.isnan(compute)
    return Demand(
        source="drawn",
        items=tuple(f"i{number:02}" for number in range(count)),
        times_s=np.arange(intervals) * step_s,
        lasts_s=np.full(intervals, step_s),
        alive=alive,
        compute=compute,
        memory=np.where(alive, np.array(memory, float).reshape(-1, 1), np.nan),
    )


def drawn(seed, items=14, intervals=20):
    numbers = np.random.default_rng(seed)
    peak = numbers.uniform(0, intervals, items)
    compute = 0.1 + 0.3 * (1 + np.cos(2 * np.pi * (np.arange(intervals)[None] - peak[:, None]) / intervals))
    compute[numbers.random(items) < 0.3, : intervals // 3] = np.nan
    return demand_of(np.round(compute, 3), numbers.uniform(5, 30, items))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", [0, 1])
def test_no_policy_breaks_memory_or_overloads_what_it_knows(policy, seed):
    result = simulate_temporal(TemporalTrial(drawn(seed), 80.0, policy), CLOCK)
    for one in (result.played, *result.peers):
        assert one.verdict.violations == ()
        assert one.verdict.overload_ratio == 0
        assert one.verdict.needed >= result.bound
    assert len(result.moves) == result.played.verdict.moves or policy.startswith("window")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_search_needs_no_more_than_its_peers(seed):
    result = simulate_temporal(TemporalTrial(drawn(seed), 80.0, "ts-dpbp"), CLOCK)
    assert result.played.verdict.needed <= min(peer.verdict.needed for peer in result.peers)
    assert result.played.verdict.needed <= result.bound + 1


@pytest.mark.parametrize("forecaster", [last(), Auto()], ids=["last", "auto"])
def test_plans_from_a_forecast_hold_memory_and_tell_their_moves(forecaster):
    result = simulate_temporal(TemporalTrial(drawn(4), 80.0, "ts-dpbp", forecaster=forecaster), CLOCK)
    assert result.played.verdict.violations == ()
    assert result.forecast == forecaster.name
    assert result.plans > 1
    assert len(result.moves) == result.played.verdict.moves


def test_what_comes_later_is_of_no_account_for_a_plan_from_a_forecast():
    # the peaks, which are asked for beforehand, lie in the first interval
    early = np.full((8, 60), 0.15)
    early[:, 0] = 0.9
    other = early.copy()
    early[:, 40:] = 0.6
    on = [
        simulate_temporal(
            TemporalTrial(demand_of(compute, [20.0] * 8), 80.0, "ts-dpbp", forecaster=last()), CLOCK
        ).played.verdict.on.tolist()
        for compute in (early, other)
    ]
    assert on[0][:41] == on[1][:41]
    assert on[0] != on[1]


def test_overload_is_charged_when_demand_rises_unforeseen():
    compute = np.full((2, 60), 0.2)
    compute[:, 0] = 0.8  # what they ask for at most
    compute[:, 40:] = 0.8
    result = simulate_temporal(
        TemporalTrial(demand_of(compute, [20.0, 20.0]), 80.0, "ts-dpbp", forecaster=last()), CLOCK
    )
    assert 0 < result.played.verdict.overload_ratio < 0.2
    assert result.played.verdict.on[[0, 39, -1]].tolist() == [2, 1, 2]


def test_what_is_wrong_is_refused():
    with pytest.raises(NotFoundError, match="no temporal policy 'best'"):
        simulate_temporal(TemporalTrial(drawn(0), 80.0, "best"), CLOCK)
    with pytest.raises(UsageError, match="knows the demand beforehand"):
        simulate_temporal(TemporalTrial(drawn(0), 80.0, "peak", forecaster=last()), CLOCK)
    with pytest.raises(InfeasibleError, match=r"i01 needs 30 GiB at 0 s, more than the 20 of one GPU; so does 1 other"):
        simulate_temporal(TemporalTrial(demand_of([[0.1]] * 3, [10, 30, 40]), 20.0, "peak"), CLOCK)
