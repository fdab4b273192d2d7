"""Scaling policies over made-up demand: what prediction gains, what it may know, and what it may spend."""

import math
from array import array

import numpy as np
import pytest
from msgspec.structs import replace

from gpualloc.engine.scale_pilots import Budget
from gpualloc.engine.simulate_scale import ScaleTrial, simulate_scale
from gpualloc.model.forecast import Grid
from gpualloc.model.scaling import ScalingName, ScalingSettings, SpotRules
from gpualloc.model.spot import Price, PriceHistory

PRESET = ScalingSettings()
PREDICTIVE = replace(PRESET, policy=ScalingName.PREDICTIVE)
START_S = 1_588_262_400.0


def grid(*series, step_s=300.0):
    names = tuple(f"p{number}" for number in range(len(series)))
    flat = array("d", [value for one in series for value in one])
    return Grid(names, START_S, step_s, len(series[0]), flat)


def working_days(days, seed):
    """Jobs of 8 to 32 GPUs come by day and seldom by night, and stay for some hours."""
    random = np.random.default_rng(seed)
    ticks = days * 288
    demand = np.full(ticks, 4.0)
    for tick in range(ticks):
        by_day = 8 <= tick % 288 / 12 < 20
        if random.random() < (0.03 if by_day else 0.003):
            demand[tick : tick + int(random.exponential(30)) + 1] += random.choice([8, 8, 16, 32])
    return demand.tolist()


DEMAND = grid(working_days(12, 1), working_days(12, 2))


def test_prediction_has_capacity_sooner_for_the_same_gpu_hours():
    reactive = simulate_scale(ScaleTrial(DEMAND, PRESET)).figures
    predictive = simulate_scale(ScaleTrial(DEMAND, PREDICTIVE, match=PRESET)).figures
    assert predictive.time_to_capacity.count == reactive.time_to_capacity.count > 100
    assert predictive.time_to_capacity.mean_s < 0.7 * reactive.time_to_capacity.mean_s
    assert 0.93 * reactive.gpu_hours < predictive.gpu_hours < 1.01 * reactive.gpu_hours


def test_less_risk_is_less_waiting_and_more_gpu_hours():
    bold, careful = (
        simulate_scale(ScaleTrial(DEMAND, replace(PREDICTIVE, risk=risk))).figures for risk in (0.2, 0.005)
    )
    assert careful.time_to_capacity.mean_s < bold.time_to_capacity.mean_s
    assert careful.gpu_hours > bold.gpu_hours


@pytest.mark.parametrize("match", [None, PRESET])
@pytest.mark.parametrize("policy", [ScalingName.THRESHOLD, ScalingName.PREDICTIVE])
def test_nothing_after_a_tick_changes_what_was_decided_at_it(policy, match):
    whole, cut = np.array(working_days(6, 3)), 1000
    other = whole.copy()
    other[cut:] = other[cut:][::-1] * 0.5
    trial = ScaleTrial(grid(whole), replace(PREDICTIVE, policy=policy, max_nodes=40), bounded=True, match=match)
    one, two = (simulate_scale(replace(trial, demand=grid(values))).pools[0].played.nodes for values in (whole, other))
    assert one[: cut + 1] == two[: cut + 1]
    assert one != two


def test_equal_trials_come_out_equally():
    trial = ScaleTrial(DEMAND, PREDICTIVE, match=PRESET)
    assert simulate_scale(trial) == simulate_scale(trial)


def test_gaps_are_no_demand_that_fell():
    values = [40.0] * 100 + [math.nan] * 200 + [40.0] * 20
    result = simulate_scale(ScaleTrial(grid(values), PRESET)).pools[0]
    assert result.played.nodes[300] >= result.played.nodes[99]
    assert result.played.downs == 0
    assert result.figures.time_to_capacity.count == 0


def test_a_pool_of_which_nothing_is_known_stays_as_small_as_it_may():
    result = simulate_scale(ScaleTrial(grid([math.nan] * 50), replace(PREDICTIVE, min_nodes=2), match=PRESET))
    assert set(result.pools[0].played.nodes) == {2}
    assert result.levels(4)[0].demand_gpus is None


def test_the_ceiling_is_raised_unless_it_is_given():
    demand = grid([0.0] * 5 + [200.0] * 60)
    free, bounded = (simulate_scale(ScaleTrial(demand, PRESET, bounded=bounded)).pools[0] for bounded in (False, True))
    assert (free.settings.max_nodes, max(free.played.nodes)) == (25, 25)
    assert (bounded.settings.max_nodes, max(bounded.played.nodes)) == (10, 10)


def test_spot_nodes_are_bought_where_the_rules_allow():
    prices = PriceHistory({"a": (Price(START_S, 1.0, 0.0),), "b": (Price(START_S, 0.9, 5.0),)})
    trial = ScaleTrial(grid([0.0] * 5 + [64.0] * 60), PRESET, prices=prices, per_gpu_hour=3.0)
    dear = simulate_scale(trial)
    cheap = simulate_scale(replace(trial, settings=replace(PRESET, spot=SpotRules(max_interruptions_per_hour=0.1))))
    assert cheap.pools[0].played.nodes == dear.pools[0].played.nodes
    assert cheap.cost < dear.cost
    assert cheap.interruptions == 0
    risky = replace(trial, settings=replace(PRESET, spot=SpotRules()), prices=PriceHistory({"b": prices.zones["b"]}))
    assert simulate_scale(risky).interruptions > 0
    assert simulate_scale(risky) == simulate_scale(risky)


def test_a_budget_settles_where_as_much_is_spent():
    budget = Budget([10] * 1000, 2.0, 288.0)
    assert budget.caution(1) > 2.0
    for _ in range(288):
        budget.spend(10)
    assert budget.caution(288) == pytest.approx(2.0)
    for _ in range(288):
        budget.spend(30)
    assert budget.caution(576) == Budget.LEAST_CAUTION
