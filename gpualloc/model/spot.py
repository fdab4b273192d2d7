"""Nodes that can be bought: to stay, or at a price that moves and with the risk that they are taken away."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from enum import StrEnum
from statistics import median

from msgspec import Struct, field


class Purchase(StrEnum):
    """How a node is bought."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"


class Price(Struct, frozen=True):
    """What a GPU in a zone cost from a moment on."""

    at_s: float
    """Epoch seconds."""
    per_gpu_hour: float
    interruptions_per_hour: float | None = None
    """How often a node there was taken away, per hour; None is unknown."""


class PriceHistory(Struct, frozen=True):
    """Spot prices by zone."""

    zones: Mapping[str, tuple[Price, ...]] = field(default_factory=dict)
    """Prices of each zone, oldest first, never none."""

    def latest(self, zone: str, at_s: float) -> Price | None:
        """The price in force in a zone at a moment; None before the first."""
        prices = self.zones[zone]
        count = bisect_right(prices, at_s, key=lambda price: price.at_s)
        return prices[count - 1] if count else None

    def usual(self, zone: str, at_s: float, over_s: float) -> float | None:
        """The median of the prices that came into force in the seconds before a moment; None when none did."""
        prices = [price.per_gpu_hour for price in self.zones[zone] if at_s - over_s <= price.at_s <= at_s]
        return median(prices) if prices else None


class Offer(Struct, frozen=True):
    """Nodes of one kind in one zone."""

    purchase: Purchase
    zone: str | None
    """None: any zone, as the one who sells likes."""
    per_gpu_hour: float | None
    """What is reckoned with, not what the next hour will cost; None is unknown."""
    interruptions_per_hour: float | None = None
    """None is unknown, or does not apply."""


class Lot(Struct, frozen=True):
    """Nodes to be taken of an offer."""

    offer: Offer
    nodes: int
    """0: only if what comes before cannot be had."""
