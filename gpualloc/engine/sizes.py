"""Running work whose request is far from its use, for those who would change it."""

from __future__ import annotations

from gpualloc.engine.assess_reading import read
from gpualloc.engine.assess_sizes import Judged, judged
from gpualloc.engine.context import Context
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import WorkloadState


def sizes(ctx: Context, snapshot: Snapshot, asked_s: float) -> tuple[Judged, ...]:
    """What would have been enough for running workloads, by id; those that are right, or not known, are left out.

    Args:
        ctx: the ports; nothing is written.
        snapshot: what is seen now.
        asked_s: how far back their use is looked at, seconds.
    """
    reading = read(ctx, snapshot, asked_s)
    far = judged(reading.rows, reading.past.stays, reading.past.memory_mib, reading.ticks)
    running = (one for one in far if one.workload.state is WorkloadState.RUNNING)
    return tuple(sorted(running, key=lambda one: one.workload.id))
