"""As many nodes as bring the load to a target."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.policies.scaling.pool import Standing, Wish


class Target(Struct, frozen=True):
    """Target tracking."""

    ratio: float
    """The load to have, above 0."""

    @property
    def name(self) -> str:
        """`target-tracking`."""
        return "target-tracking"

    def wish(self, standing: Standing) -> Wish:
        """The fewest nodes whose load is not above the target."""
        nodes = standing.needed((standing.demand_gpus or 0.0) / self.ratio)
        by_cpu = standing.needed(standing.nodes * standing.gpus_per_node * (standing.cpu_ratio or 0.0) / self.ratio)
        return Wish(max(nodes, by_cpu), f"a load of {self.ratio:.0%} at a demand of {standing.demand_gpus or 0:g} GPUs")
