"""As many nodes as a timetable says."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.model.scaling import Hours
from gpualloc.policies.scaling.pool import Standing, Wish


class Scheduled(Struct, frozen=True):
    """The first hours that hold count; outside of them the pool is as small as the demand lets it be."""

    hours: tuple[Hours, ...]

    @property
    def name(self) -> str:
        """`scheduled`."""
        return "scheduled"

    def wish(self, standing: Standing) -> Wish:
        """The nodes of the timetable, and never fewer than the demand takes."""
        taken = standing.needed(standing.demand_gpus or 0.0)
        nodes = next((hours.nodes for hours in self.hours if hours.hold(standing.at_s)), 0)
        if taken > nodes:
            return Wish(taken, f"{nodes} by the timetable, and the demand takes more")
        return Wish(nodes, "the timetable says so")
