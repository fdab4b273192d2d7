"""Money: a node that is in use costs what it costs in any case, an empty one with a price begins to cost."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from gpualloc.policies.board import Board, Flags, Ints
from gpualloc.policies.objectives.aim import Aim, Scores, ranks, worse_if_unknown
from gpualloc.policies.objectives.facts import price_of
from gpualloc.policies.options import Options
from gpualloc.policies.packer import Burden
from gpualloc.policies.room import NodeRoom


class Cost(Aim):
    """Nodes in use and those that cost nothing before empty ones; then the lower price of a GPU-hour.

    A price that nobody told counts as more than any that was.
    """

    def __init__(self, rooms: Collection[NodeRoom]) -> None:
        self._prices = {room.node.name: price_of(room.node) for room in rooms}

    def burden(self, board: Board) -> Burden:
        """What it has against places on the board."""
        prices = [self._prices[name] for name in board.names]
        places, count = ranks(prices)
        priced: Flags = np.array([price != 0 for price in prices], np.bool_)

        def rate(options: Options) -> Ints:
            begins = priced[options.rows] & ~board.used[options.rows]
            found: Ints = begins * count + places[options.rows]
            return found

        return rate

    def of_node(self, room: NodeRoom) -> Scores:
        """Whether the node begins to cost something, and its price."""
        price = self._prices[room.node.name]
        return float(price != 0 and not room.in_use), *worse_if_unknown(price)

    def words(self, room: NodeRoom) -> str:
        """Whether the node is in use, and its price."""
        price = self._prices[room.node.name]
        told = "no price told" if price is None else f"{price:.2f} per GPU-hour"
        return f"{'in use' if room.in_use else 'empty'}, {told}"
