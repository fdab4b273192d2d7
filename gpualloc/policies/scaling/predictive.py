"""Ready for what demand may rise to while a node is on its way, and slow to give back what may be wanted again."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.policies.scaling.pool import ScalingPolicy, Standing, Wish


class Predictive(Struct, frozen=True):
    """Up for what is to be expected soon, down only when nothing until the forecast horizon stands against it.

    What is to be expected is in the standing (`soon_gpus`, `later_gpus`), with the risk taken already in it.
    """

    otherwise: ScalingPolicy
    """Decides while too little is known of the pool's past."""

    @property
    def name(self) -> str:
        """`predictive`."""
        return "predictive"

    def wish(self, standing: Standing) -> Wish:
        """As many as the demand to be expected takes."""
        if standing.soon_gpus is None or standing.later_gpus is None:
            other = self.otherwise.wish(standing)
            return Wish(other.nodes, f"{other.why}; too little is known of the past to look ahead")
        now_gpus = standing.demand_gpus or 0.0
        soon_gpus, later_gpus = max(now_gpus, standing.soon_gpus), max(now_gpus, standing.later_gpus)
        soon, later = standing.needed(soon_gpus), standing.needed(later_gpus)
        if soon >= standing.nodes:
            return Wish(soon, f"demand may rise from {now_gpus:g} to {soon_gpus:.1f} GPUs before a new node serves")
        if max(soon, later) < standing.nodes:
            return Wish(max(soon, later), f"demand is not expected above {later_gpus:.1f} GPUs until the horizon")
        return Wish(standing.nodes, f"demand may rise again to {later_gpus:.1f} GPUs until the horizon")
