"""The simulated pool and its figures, against a plain loop and by hand."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.spot import Lot, Offer, Price, PriceHistory, Purchase
from gpualloc.sim.scaling import PoolTrial, play
from gpualloc.sim.scaling_figures import figures, together

STAYS = Offer(Purchase.ON_DEMAND, None, 2.0)
SPOT = Offer(Purchase.SPOT, "a", 1.0, 0.5)


class Script:
    """Changes the pool as it is told, tick by tick."""

    def __init__(self, changes, offer=STAYS):
        self.changes = changes
        self.offer = offer
        self.states = []

    def change(self, state):
        self.states.append(state)
        return self.changes.get(state.tick, 0)

    def buy(self, count, at_s, held):
        assert isinstance(held, Counter)
        return (Lot(self.offer, count),)


def trial(demand, **more):
    return PoolTrial(**{
        "demand": demand, "start_s": 0.0, "step_s": 300.0, "gpus_per_node": 8, "provision_s": 600.0,
        "first_nodes": 1, "per_gpu_hour": 2.0, **more,
    })  # fmt: skip


def test_nodes_come_after_their_delay_and_go_at_once():
    script = Script({1: 2, 5: -1, 6: -9})
    played = play(trial([1.0] * 9), script)
    assert played.nodes == [1, 1, 1, 3, 3, 3, 2, 0, 0]
    assert (played.ups, played.downs, played.interruptions) == (1, 2, 0)
    assert [state.nodes for state in script.states] == [1, 1, 3, 3, 3, 3, 2, 0, 0]
    assert (script.states[4].grown_at_s, script.states[4].shrunk_at_s, script.states[6].shrunk_at_s) == (
        300,
        None,
        1500,
    )
    assert played.cost == pytest.approx(sum(played.nodes) * 8 * 2.0 / 12)


@pytest.mark.parametrize(("provision_s", "ticks"), [(0, 1), (299, 1), (300, 1), (301, 2), (900, 3)])
def test_a_decision_rests_on_the_tick_before(provision_s, ticks):
    assert play(trial([1.0] * 9, provision_s=provision_s), Script({0: 1})).nodes == [1] * ticks + [2] * (9 - ticks)


def test_a_node_on_its_way_is_not_given_back():
    played = play(trial([1.0] * 5), Script({0: 3, 1: -4}))
    assert played.nodes == [1, 1, 3, 3, 3]


def test_spot_nodes_are_taken_away_as_the_seed_draws():
    prices = PriceHistory({"a": (Price(0.0, 1.0, 4.0),)})
    given_trial = trial([1.0] * 200, prices=prices, first_nodes=0)
    first, again, other = (
        play(trial([1.0] * 200, prices=prices, first_nodes=0, seed=seed), Script({0: 20}, SPOT)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.nodes != other.nodes
    assert first.interruptions == 20 - first.nodes[-1] > 10
    assert first.cost == pytest.approx(sum(first.nodes) * 8 / 12)
    steady = play(given_trial, Script({0: 20}))
    assert steady.interruptions == 0


def test_a_price_that_is_not_known_makes_the_cost_unknown():
    assert play(trial([1.0] * 3, per_gpu_hour=None), Script({}, Offer(Purchase.ON_DEMAND, None, None))).cost is None


def test_what_is_dearest_goes_first():
    prices = PriceHistory({"a": (Price(0.0, 1.0, 0.0),)})
    played = play(trial([1.0] * 6, prices=prices, first_nodes=2), Script({0: 2, 3: -2}, SPOT))
    assert played.nodes == [2, 2, 4, 4, 2, 2]
    assert played.cost == pytest.approx((2 * 2 + 2 * 2 + 2 * (2 + 1) * 2 + 2 * 2 * 1) * 8 / 12)


def plain(demand, nodes, per_node, step_s):
    """The definitions of docs/scaling.md, word by word."""
    unmet = sum(max(0.0, d - n * per_node) for d, n in zip(demand, nodes, strict=True) if not math.isnan(d))
    rises, shortfalls, short = [], [], 0
    for tick, now in enumerate(demand):
        above = not math.isnan(now) and now > nodes[tick] * per_node + 1e-9
        if above:
            short += 1
        elif short:
            shortfalls.append(short * step_s)
            short = 0
        before = demand[tick - 1] if tick else math.nan
        if math.isnan(now) or math.isnan(before):
            continue
        if math.ceil(now / per_node - 1e-9) > math.ceil(before / per_node - 1e-9):
            wait = 0
            for later in range(tick, len(demand)):
                capacity = nodes[later] * per_node
                fell_back = math.isnan(demand[later]) or demand[later] <= capacity + 1e-9
                if capacity >= now - 1e-9 or fell_back:
                    break
                wait += step_s
            rises.append(wait)
    if short:
        shortfalls.append(short * step_s)
    return sum(nodes) * per_node * step_s / 3600, unmet * step_s / 3600, rises, shortfalls


@given(
    st.lists(st.tuples(st.just(math.nan) | st.integers(0, 60).map(float), st.integers(0, 8)), min_size=1, max_size=60),
    st.integers(1, 8),
)
def test_the_figures_are_those_of_a_plain_loop(ticks, per_node):
    demand, nodes = [tick[0] for tick in ticks], [tick[1] for tick in ticks]
    found = figures(demand, nodes, per_node, 300.0)
    hours, unmet, rises, shortfalls = plain(demand, nodes, per_node, 300.0)
    assert found.gpu_hours == pytest.approx(hours)
    assert found.unmet_gpu_hours == pytest.approx(unmet)
    assert list(found.rises) == rises
    assert list(found.shortfalls) == shortfalls


def test_the_figures_by_hand():
    found = figures([8, 20, 20, 20, 4], [1, 1, 2, 3, 3], 8, 600.0)
    assert found.time_to_capacity.mean_s == 1200
    assert (found.shortfall.count, found.shortfall.longest_s) == (1, 1200)
    assert found.unmet_gpu_hours == pytest.approx((12 + 4) / 6)
    both = together([found, figures([0, 8], [1, 1], 8, 600.0)])
    assert (both.time_to_capacity.count, both.time_to_capacity.mean_s, both.time_to_capacity.p95_s) == (2, 600, 1140)
    assert (together([]).time_to_capacity.count, together([]).shortfall.mean_s) == (0, 0.0)
