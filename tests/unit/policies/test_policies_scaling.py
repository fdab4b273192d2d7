"""Scaling policies: a pool's standing in, a move out; the bounds and cool-downs hold whatever a policy wishes."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gpualloc.model.scaling import Hours, ScalingName, ScalingSettings
from gpualloc.policies.scaling.pool import Rules, Standing, decide
from gpualloc.policies.scaling.predictive import Predictive
from gpualloc.policies.scaling.registry import policy_of, rules_of
from gpualloc.policies.scaling.scheduled import Scheduled
from gpualloc.policies.scaling.step import Step
from gpualloc.policies.scaling.target import Target
from gpualloc.policies.scaling.threshold import Threshold

MONDAY_S = 4 * 86_400  # 1970-01-05
STEPS = ((0.7, 1), (0.85, 2), (1.0, 4))
POLICIES = [policy_of(ScalingSettings(policy=name)) for name in ScalingName]


def standing(demand, nodes=4, **more):
    return Standing(at_s=more.pop("at_s", 10_000.0), nodes=nodes, gpus_per_node=8, demand_gpus=demand, **more)


@pytest.mark.parametrize(
    ("policy", "demand", "nodes"),
    [
        (Threshold(0.7, 0.3), 22.4, 5),
        (Threshold(0.7, 0.3), 22.3, 4),
        (Threshold(0.7, 0.3), 320, 5),
        (Threshold(0.7, 0.3), 9.6, 3),
        (Threshold(0.7, 0.3), 9.7, 4),
        (Step(STEPS, 0.3), 22.4, 5),
        (Step(STEPS, 0.3), 27.2, 6),
        (Step(STEPS, 0.3), 320, 8),
        (Step(STEPS, 0.3), 20, 4),
        (Step(STEPS, 0.3), 2, 3),
        (Target(0.7), 22.4, 4),
        (Target(0.7), 22.5, 5),
        (Target(0.7), 0, 0),
        (Target(0.5), 320, 80),
    ],
)
def test_a_load_asks_for_nodes(policy, demand, nodes):
    assert policy.wish(standing(demand)).nodes == nodes


def test_busy_cpus_are_a_load_too():
    assert Threshold(0.7, 0.3).wish(standing(1, cpu_ratio=0.8)).nodes == 5
    assert Target(0.7).wish(standing(1, cpu_ratio=0.9)).nodes == 6


def test_an_empty_pool_grows_when_work_waits():
    assert Threshold(0.7, 0.3).wish(standing(3, nodes=0)).nodes == 1
    assert Threshold(0.7, 0.3).wish(standing(0, nodes=0)).nodes == 0


@pytest.mark.parametrize(
    ("soon", "later", "nodes"),
    [(40, 40, 5), (32, 60, 4), (20, 30, 4), (10, 20, 3), (2, 3, 2), (None, None, 3), (50, None, 3)],
)
def test_prediction_grows_for_soon_and_shrinks_for_later(soon, later, nodes):
    policy = Predictive(Target(0.7))
    assert policy.wish(standing(16, soon_gpus=soon, later_gpus=later)).nodes == nodes


@pytest.mark.parametrize(
    ("at_s", "nodes"),
    [
        (MONDAY_S + 7.9 * 3600, 1),
        (MONDAY_S + 8 * 3600, 6),
        (MONDAY_S + 20 * 3600, 1),
        (MONDAY_S + 23 * 3600, 1),
        (MONDAY_S + 4 * 86_400 + 23 * 3600, 3),
        (MONDAY_S + 5 * 86_400 + 3600, 3),
        (MONDAY_S + 5 * 86_400 + 7 * 3600, 1),
        (MONDAY_S + 6 * 86_400 + 12 * 3600, 1),
    ],
)
def test_a_timetable_is_kept_over_midnight_and_weeks(at_s, nodes):
    work, friday_night = Hours((0, 1, 2, 3, 4), 8 * 3600, 20 * 3600, 6), Hours((4,), 22 * 3600, 6 * 3600, 3)
    assert Scheduled((work, friday_night)).wish(standing(5, at_s=at_s + 7 * 86_400 * 52)).nodes == nodes


def test_the_demand_counts_more_than_the_timetable():
    assert Scheduled(()).wish(standing(17)).nodes == 3


amounts = st.floats(0, 2000)
moments = st.none() | st.floats(0, 10_000)
standings = st.builds(
    Standing,
    at_s=st.just(10_000.0),
    nodes=st.integers(0, 60),
    gpus_per_node=st.integers(1, 16),
    demand_gpus=st.none() | amounts,
    complete=st.booleans(),
    cpu_ratio=st.none() | st.floats(0, 1),
    soon_gpus=st.none() | amounts,
    later_gpus=st.none() | amounts,
    grown_at_s=moments,
    shrunk_at_s=moments,
)
policies = st.sampled_from(POLICIES)


@st.composite
def all_rules(draw):
    least = draw(st.integers(0, 20))
    most = draw(st.integers(max(least, 1), 60))
    times = [draw(st.floats(0, 5000)) for _ in range(3)]
    return Rules(least, most, *times)


@given(standings, all_rules(), policies)
def test_a_pool_stays_between_its_bounds(pool, rules, policy):
    after = pool.nodes + decide(pool, rules, policy).nodes
    assert min(pool.nodes, rules.min_nodes) <= after <= max(pool.nodes, rules.max_nodes)


@given(standings, all_rules(), policies)
def test_cool_downs_are_never_violated(pool, rules, policy):
    move = decide(pool, rules, policy)
    grown_s = math.inf if pool.grown_at_s is None else pool.at_s - pool.grown_at_s
    shrunk_s = math.inf if pool.shrunk_at_s is None else pool.at_s - pool.shrunk_at_s
    if move.nodes > 0:
        assert grown_s >= rules.up_cooldown_s
    if move.nodes < 0:
        assert min(grown_s, shrunk_s) >= rules.down_cooldown_s
        assert grown_s >= rules.warmup_s


@given(standings, all_rules(), policies)
def test_what_is_unknown_never_makes_a_pool_smaller(pool, rules, policy):
    assume(pool.demand_gpus is None or not pool.complete)
    assert decide(pool, rules, policy).nodes >= 0


@given(standings, all_rules(), policies)
def test_equal_standings_are_answered_equally(pool, rules, policy):
    assert decide(pool, rules, policy) == decide(pool, rules, policy)
    assert decide(pool, rules, policy).why


@given(standings, all_rules())
def test_prediction_never_leaves_fewer_nodes_than_the_demand_takes(pool, rules):
    assume(pool.demand_gpus is not None)
    move = decide(pool, rules, policy_of(ScalingSettings(policy=ScalingName.PREDICTIVE)))
    if move.nodes < 0:
        assert pool.nodes + move.nodes >= min(pool.needed(pool.demand_gpus), rules.max_nodes)


def test_the_settings_become_rules_and_a_policy():
    settings = ScalingSettings(ScalingName.STEP, 2, 7, 0.8, 0.2, 11.0, 12.0, 13.0, steps=((0.8, 3),))
    assert rules_of(settings) == Rules(2, 7, 11.0, 12.0, 13.0)
    assert policy_of(settings) == Step(((0.8, 3),), 0.2)
    assert {policy.name for policy in POLICIES} == {name.value for name in ScalingName}
