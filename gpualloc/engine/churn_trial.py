"""What a run with arrivals and departures begins with."""

from __future__ import annotations

from msgspec import Struct, field

from gpualloc.sim.traces.timetable import Timetable
from gpualloc.sim.traces.trace import Tasks, TraceNode


class MigrationBudget(Struct, frozen=True):
    """How much may be moved."""

    per_hour: int = 0
    """Moves in any hour of the trace's time; 0 moves nothing."""
    move_s: float = 30.0
    """How long a move takes: the moved task ends that much later."""


class ChurnTrial(Struct, frozen=True):
    """One cluster and its tasks with their times."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    times: Timetable
    load: float | None = None
    """The load to which the times were scaled; None: they are as recorded."""
    seed: int | None = None
    """With which the times were drawn, and what the policy may draw from."""
    profile: str | None = None
    """Name of the saved weights that the policy was given."""
    budget: MigrationBudget = field(default_factory=MigrationBudget)
    fixed: frozenset[int] = frozenset()
    """Rows of tasks that may not be moved."""
