"""The further the load is above what it should be, the more nodes at once."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.policies.scaling.pool import Standing, Wish


class Step(Struct, frozen=True):
    """Nodes by the load that is passed; down one at a time."""

    steps: tuple[tuple[float, int], ...]
    """(load, nodes to add), loads ascending."""
    down_ratio: float
    """Down to this load a node is given back; below the first step."""

    @property
    def name(self) -> str:
        """`step`."""
        return "step"

    def wish(self, standing: Standing) -> Wish:
        """As many more as the highest step that is passed says."""
        load = standing.load() or 0.0
        passed = [(ratio, nodes) for ratio, nodes in self.steps if load >= ratio]
        if passed:
            ratio, nodes = passed[-1]
            return Wish(standing.nodes + nodes, f"load {load:.0%} is at or above {ratio:.0%}")
        if load <= self.down_ratio and standing.nodes > 0:
            return Wish(standing.nodes - 1, f"load {load:.0%} is at or below {self.down_ratio:.0%}")
        return Wish(standing.nodes, f"load {load:.0%} is between {self.down_ratio:.0%} and {self.steps[0][0]:.0%}")
