"""What came of scaling policies on a recorded demand."""

from __future__ import annotations

import numpy as np
from msgspec import Struct

from gpualloc.model.scaling import ScalingSettings
from gpualloc.sim.scaling import Played
from gpualloc.sim.scaling_figures import ScaleFigures, together


class PoolResult(Struct, frozen=True):
    """One pool under one policy."""

    name: str
    settings: ScalingSettings
    """With the bounds that held."""
    demand: tuple[float, ...]
    """GPUs at each tick; NaN is unknown."""
    played: Played
    figures: ScaleFigures


class Level(Struct, frozen=True):
    """All pools together over a part of the time."""

    at_s: float
    demand_gpus: float | None
    """None where it is unknown all the time."""
    capacity_gpus: float


class ScaleResult(Struct, frozen=True):
    """All pools under one policy."""

    policy: str
    gpus_per_node: int
    provision_s: float
    risk: float | None
    """Chance of a shortfall that was taken; None: does not apply, or as large as the spending allowed."""
    spends_as: str | None
    """Policy whose GPU-hours were matched; None: none was."""
    slo_s: float
    """Longest time to capacity that is no miss."""
    start_s: float
    step_s: float
    pools: tuple[PoolResult, ...]

    @property
    def figures(self) -> ScaleFigures:
        """Of all pools together."""
        return together(pool.figures for pool in self.pools)

    @property
    def ups(self) -> int:
        """Times that nodes were ordered."""
        return sum(pool.played.ups for pool in self.pools)

    @property
    def downs(self) -> int:
        """Times that nodes were given back."""
        return sum(pool.played.downs for pool in self.pools)

    @property
    def interruptions(self) -> int:
        """Nodes that were taken away."""
        return sum(pool.played.interruptions for pool in self.pools)

    @property
    def cost(self) -> float | None:
        """In the currency of the prices; None where one is not known."""
        costs = [pool.played.cost for pool in self.pools if pool.played.cost is not None]
        return sum(costs) if len(costs) == len(self.pools) else None

    def levels(self, count: int) -> tuple[Level, ...]:
        """Demand and capacity in at most so many equal parts of the time."""
        demand = np.array([pool.demand for pool in self.pools]).sum(axis=0)
        capacity = np.array([pool.played.nodes for pool in self.pools]).sum(axis=0) * self.gpus_per_node
        edges = np.unique(np.linspace(0, len(demand), min(count, len(demand)) + 1).astype(int))
        found = []
        for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            part = demand[first:last]
            known = part[~np.isnan(part)]
            mean = float(known.mean()) if len(known) else None
            found.append(Level(self.start_s + first * self.step_s, mean, float(capacity[first:last].mean())))
        return tuple(found)
