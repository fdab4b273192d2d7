"""How well the size of a pool followed its demand.

A *rise* is a tick at which the demand takes more nodes than at the tick before. Its time to capacity is how long it
takes until the nodes in service hold the demand, or the demand fell back to what they hold; 0 where they held it at
once. Rises are the same for every policy, so that their mean compares policies. A *shortfall* is a time without a break
in which the demand is above the capacity; a policy that spares all short ones has a high mean of few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HOUR_S = 3600.0
_EPSILON = 1e-9
"""GPUs; demand is a mean over a tick and may be off by rounding."""

Floats = NDArray[np.float64]


class Times(Struct, frozen=True):
    """Of several times, in seconds."""

    count: int
    mean_s: float
    """0 when there are none."""
    p95_s: float
    longest_s: float


class ScaleFigures(Struct, frozen=True):
    """Figures of one pool, or of several together."""

    gpu_hours: float
    demand_gpu_hours: float
    unmet_gpu_hours: float
    """What the demand was above the capacity, over time."""
    rises: tuple[float, ...]
    """Time to capacity of each rise, seconds."""
    shortfalls: tuple[float, ...]
    """Length of each shortfall, seconds."""

    @property
    def time_to_capacity(self) -> Times:
        """Over all rises."""
        return times(self.rises)

    def misses(self, slo_s: float) -> int:
        """Rises that waited longer than that for capacity."""
        return sum(rise > slo_s for rise in self.rises)

    @property
    def shortfall(self) -> Times:
        """Over all shortfalls."""
        return times(self.shortfalls)


def figures(demand: Sequence[float], nodes: Sequence[int], gpus_per_node: int, step_s: float) -> ScaleFigures:
    """The figures of one pool.

    Args:
        demand: GPUs at each tick; NaN is unknown: no rise, no shortfall, nothing unmet.
        nodes: in service at each tick.
        gpus_per_node: GPUs of each.
        step_s: seconds between ticks.
    """
    wanted = np.asarray(demand, dtype=np.float64)
    capacity = np.asarray(nodes, dtype=np.float64) * gpus_per_node
    above = np.nan_to_num(wanted - capacity, nan=0.0)
    short = above > _EPSILON
    hours = step_s / HOUR_S
    return ScaleFigures(
        gpu_hours=float(capacity.sum()) * hours,
        demand_gpu_hours=float(np.nansum(wanted)) * hours,
        unmet_gpu_hours=float(above[short].sum()) * hours,
        rises=tuple(_rises(wanted, capacity, short, gpus_per_node, step_s)),
        shortfalls=tuple(float(length) * step_s for length in _runs(short)),
    )


def together(several: Iterable[ScaleFigures]) -> ScaleFigures:
    """The figures of several pools as one."""
    each = tuple(several)
    return ScaleFigures(
        sum(one.gpu_hours for one in each),
        sum(one.demand_gpu_hours for one in each),
        sum(one.unmet_gpu_hours for one in each),
        tuple(rise for one in each for rise in one.rises),
        tuple(shortfall for one in each for shortfall in one.shortfalls),
    )


def times(seconds: Sequence[float]) -> Times:
    """How many, their mean, the 95 % quantile and the longest."""
    if not seconds:
        return Times(0, 0.0, 0.0, 0.0)
    return Times(len(seconds), float(np.mean(seconds)), float(np.quantile(seconds, 0.95)), float(max(seconds)))


def _rises(
    wanted: Floats, capacity: Floats, short: NDArray[np.bool_], gpus_per_node: int, step_s: float
) -> Iterable[float]:
    taken = np.ceil(wanted / gpus_per_node - _EPSILON)
    with np.errstate(invalid="ignore"):
        risen = np.flatnonzero(taken[1:] > taken[:-1]) + 1
    for first in risen.tolist():
        tick = first
        while tick < len(wanted) and short[tick] and capacity[tick] < wanted[first] - _EPSILON:
            tick += 1
        yield (tick - first) * step_s


def _runs(short: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Lengths of the unbroken times, in ticks."""
    edges = np.diff(np.concatenate(([0], short.astype(np.int8), [0])))
    lengths: NDArray[np.intp] = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return lengths
