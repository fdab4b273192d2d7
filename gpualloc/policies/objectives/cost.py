"""Money: a node that is in use costs what it costs in any case, an empty one with a price begins to cost."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gpualloc.model.rates import price_of
from gpualloc.policies.objectives.aim import Aim, Scores, worse_if_unknown
from gpualloc.policies.room import NodeRoom


class Cost(Aim):
    """Nodes in use and those that cost nothing before empty ones; then the lower price of a GPU-hour.

    A price that nobody told counts as more than any that was.
    """

    def __init__(self, rooms: Collection[NodeRoom]) -> None:
        self.prices: Mapping[str, float | None] = {room.node.name: price_of(room.node) for room in rooms}
        """Price of a GPU-hour by node; None when nobody told it."""

    def of_node(self, room: NodeRoom) -> Scores:
        """Whether the node begins to cost something, and its price."""
        price = self.prices[room.node.name]
        return float(price != 0 and not room.in_use), *worse_if_unknown(price)

    def words(self, room: NodeRoom) -> str:
        """Whether the node is in use, and its price."""
        price = self.prices[room.node.name]
        told = "no price told" if price is None else f"{price:.2f} per GPU-hour"
        return f"{'in use' if room.in_use else 'empty'}, {told}"
