"""One node more above a load, one less below another: the reactive preset."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.policies.scaling.pool import Standing, Wish


class Threshold(Struct, frozen=True):
    """One node at a time. The load counts work that waits and nodes on their way."""

    up_ratio: float
    """From this load on a node is added; above 0."""
    down_ratio: float
    """Down to this load a node is given back; below `up_ratio`."""

    @property
    def name(self) -> str:
        """`threshold`."""
        return "threshold"

    def wish(self, standing: Standing) -> Wish:
        """One more, one less, or as many as there are."""
        load = standing.load() or 0.0
        if load >= self.up_ratio:
            return Wish(standing.nodes + 1, f"load {load:.0%} is at or above {self.up_ratio:.0%}")
        if load <= self.down_ratio and standing.nodes > 0:
            return Wish(standing.nodes - 1, f"load {load:.0%} is at or below {self.down_ratio:.0%}")
        return Wish(standing.nodes, f"load {load:.0%} is between {self.down_ratio:.0%} and {self.up_ratio:.0%}")
