"""From which offers nodes are bought."""

from hypothesis import given
from hypothesis import strategies as st

from gpualloc.model.scaling import SpotRules
from gpualloc.model.spot import Lot, Offer, Price, PriceHistory, Purchase
from gpualloc.policies.scaling.offers import lots, refusal, spot_offers

STAYS = Offer(Purchase.ON_DEMAND, None, 3.0)


def spot(zone, price, often=0.0):
    return Offer(Purchase.SPOT, zone, price, often)


def test_without_rules_nodes_stay():
    assert lots(4, [spot("a", 1.0)], STAYS, None) == (Lot(STAYS, 4),)


def test_the_cheapest_zone_is_first_and_what_stays_is_last():
    offers = [spot("a", 1.2), spot("b", 1.0)]
    assert lots(3, offers, STAYS, SpotRules()) == (Lot(offers[1], 3), Lot(STAYS, 0))


def test_interruptions_cost_their_hour_again():
    offers = [spot("a", 1.2, 0.0), spot("b", 1.0, 0.5)]
    assert lots(1, offers, STAYS, SpotRules())[0].offer.zone == "a"


def test_zones_are_filled_evenly():
    offers = [spot("a", 1.0), spot("b", 1.1), spot("c", 1.2)]
    bought = lots(7, offers, STAYS, SpotRules(spread=1), {"a": 2})
    assert {lot.offer.zone: lot.nodes for lot in bought} == {"a": 1, "b": 3, "c": 3, None: 0}


def test_why_an_offer_is_not_taken():
    rules = SpotRules(max_interruptions_per_hour=0.1)
    assert refusal(spot("a", 1.0, 0.1), STAYS, rules) is None
    assert "0.2 interruptions" in refusal(spot("a", 1.0, 0.2), STAYS, rules)
    assert "not known" in refusal(spot("a", 1.0, None), STAYS, rules)
    assert refusal(spot("a", 1.0, None), STAYS, SpotRules()) is None
    assert "no less" in refusal(spot("a", 3.0), STAYS, SpotRules())
    assert "price" in refusal(spot("a", None), STAYS, SpotRules())
    assert lots(2, [spot("a", 5.0)], STAYS, rules) == (Lot(STAYS, 2),)


def test_a_zone_that_is_cheap_for_an_hour_is_not_cheap():
    day = 86_400.0
    dear = tuple(Price(hour * 3600.0, 2.0) for hour in range(47))
    prices = PriceHistory(
        {"a": (*dear, Price(47 * 3600.0, 0.5)), "b": (Price(0.0, 1.0, 0.2),), "c": (Price(9e9, 1.0),)}
    )
    assert spot_offers(prices, 2 * day) == (spot("a", 2.0, None), spot("b", 1.0, 0.2))
    assert [offer.zone for offer in spot_offers(prices, -1.0)] == []


@given(
    st.integers(1, 30),
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.floats(0, 5), st.none() | st.floats(0, 2)), unique_by=lambda o: o[0]
    ),
    st.none() | st.floats(0, 1),
    st.none() | st.integers(1, 4),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)),
)
def test_exactly_as_many_as_asked_for_and_never_beyond_the_ceiling(count, offers, ceiling, spread, held):
    rules = SpotRules(ceiling, spread)
    bought = lots(count, [spot(*offer) for offer in offers], STAYS, rules, held)
    assert sum(lot.nodes for lot in bought) == count
    assert bought[-1].offer == STAYS
    zones = [lot.offer.zone for lot in bought]
    assert len(zones) == len(set(zones))
    for lot in bought[:-1]:
        assert lot.offer.per_gpu_hour < 3.0
        assert ceiling is None or lot.offer.interruptions_per_hour <= ceiling
