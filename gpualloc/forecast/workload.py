"""What is known of one workload over time."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.forecast.phases import Phases
from gpualloc.forecast.profile import Demand
from gpualloc.model.forecast import Grid
from gpualloc.model.workload import Workload


class WorkloadPhases(Struct, frozen=True):
    """What is known of a workload over time."""

    workload: Workload
    grid: Grid
    """What was sampled of it, on all its nodes together."""
    from_start: bool
    """Whether the grid begins when it was started."""
    found: Phases
    demand: tuple[Demand, ...]
    """What is expected of it from the last sample on, if it runs on; empty for work that ended."""
    others: int
    """How many earlier runs of its owner under its name were looked at."""
