"""From which offers nodes are bought: spot where it is cheap, steady and spread over zones, else to stay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from gpualloc.model.scaling import SpotRules
from gpualloc.model.spot import Lot, Offer, PriceHistory, Purchase

USUAL_OVER_S = 7 * 86_400.0
"""How much of the price history says what is usual."""


def spot_offers(prices: PriceHistory, at_s: float) -> tuple[Offer, ...]:
    """An offer for each zone that has a price at that moment, by zone.

    Reckoned with the greater of the price now and the usual one: a zone that is cheap for an hour is not cheap.
    """
    found = []
    for zone in sorted(prices.zones):
        latest = prices.latest(zone, at_s)
        if latest is not None:
            usual = prices.usual(zone, at_s, USUAL_OVER_S)
            price = max(latest.per_gpu_hour, usual or 0.0)
            found.append(Offer(Purchase.SPOT, zone, price, latest.interruptions_per_hour))
    return tuple(found)


def lots(
    count: int,
    offers: Sequence[Offer],
    on_demand: Offer,
    rules: SpotRules | None,
    held: Mapping[str, int] | None = None,
) -> tuple[Lot, ...]:
    """Which offers the nodes are to be bought from, in the order in which to try.

    Args:
        count: nodes to buy, above 0.
        offers: those of spot nodes.
        on_demand: the offer of nodes that stay; what is left is bought there, and what spot cannot deliver.
        rules: when spot is good enough; None: never.
        held: nodes in each zone now.
    """
    good = [] if rules is None else [offer for offer in offers if refusal(offer, on_demand, rules) is None]
    ranked = sorted(good, key=_cost)
    taken: Counter[Offer] = Counter()
    zones = Counter({offer.zone or "": (held or {}).get(offer.zone or "", 0) for offer in ranked})
    for _ in range(count if rules is not None and ranked else 0):
        fewest = min(zones.values())
        spread = rules.spread if rules is not None else None
        chosen = next(each for each in ranked if spread is None or zones[each.zone or ""] < fewest + max(spread, 1))
        taken[chosen] += 1
        zones[chosen.zone or ""] += 1
    bought = [Lot(offer, taken[offer]) for offer in ranked if taken[offer]]
    return (*bought, Lot(on_demand, count - taken.total()))


def refusal(offer: Offer, on_demand: Offer, rules: SpotRules) -> str | None:
    """Why an offer of spot nodes is not taken; None when it may be."""
    ceiling, often = rules.max_interruptions_per_hour, offer.interruptions_per_hour
    if offer.per_gpu_hour is None:
        return "its price is not known"
    if on_demand.per_gpu_hour is not None and offer.per_gpu_hour >= on_demand.per_gpu_hour:
        return f"{offer.per_gpu_hour:g} is no less than {on_demand.per_gpu_hour:g} for a node that stays"
    if ceiling is not None and often is None:
        return "how often nodes are taken away there is not known"
    if ceiling is not None and often is not None and often > ceiling:
        return f"{often:g} interruptions per hour, and at most {ceiling:g} are allowed"
    return None


def _cost(offer: Offer) -> tuple[float, float, str]:
    """Cheapest first; of equal ones the steadier, then by name. A node that is taken away costs its hour again."""
    often = offer.interruptions_per_hour or 0.0
    return (offer.per_gpu_hour or 0.0) * (1.0 + often), often, offer.zone or ""
