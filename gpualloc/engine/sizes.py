"""Running work whose request is far from its use, for those who would change it."""

from __future__ import annotations

from gpualloc.engine.assess_reading import read
from gpualloc.engine.assess_sizes import judged, sized
from gpualloc.engine.context import Context
from gpualloc.model.assessment import Sized
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import WorkloadState

LOOK_BACK_S = 86_400.0
"""How far back the use of running work is looked at."""


def sizes(ctx: Context, snapshot: Snapshot) -> tuple[Sized, ...]:
    """What would have been enough for running work, by id; what is right, or not known, is left out. Writes nothing."""
    reading = read(ctx, snapshot, LOOK_BACK_S)
    far = judged(reading.rows, reading.past.stays, reading.past.memory_mib, reading.ticks)
    running = (one for one in far if one.workload.state is WorkloadState.RUNNING)
    return tuple(sized(one, reading.ticks) for one in sorted(running, key=lambda one: one.workload.id))
