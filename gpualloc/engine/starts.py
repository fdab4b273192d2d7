"""When waiting work is likely to start, by what work of its kind took before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gpualloc.engine.context import Context
from gpualloc.engine.plan import problem_of
from gpualloc.engine.run_times import label_of, run_times
from gpualloc.engine.start_delay import Queue, latest_end_s
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import Workload


def predicted_starts(ctx: Context, snapshot: Snapshot, workloads: Sequence[Workload]) -> Mapping[str, float]:
    """When each workload that waits is likely to start, epoch seconds, by id, if nothing else is submitted.

    Running work is taken to end at the median of what work of its class took that had run as long, and at its
    `--at-most` at the latest. The time of the snapshot says that it could start at once. Work of which nobody can tell
    is left out: nothing is known to end that it waits for.
    """
    classes = run_times(ctx)

    def end_of(workload: Workload, began_s: float) -> float | None:
        latest_s = latest_end_s(workload, began_s)
        ran_s = max(0.0, snapshot.at_s - began_s)
        told = classes.expect(workload.owner, label_of(workload.name), workload.request.gpus, ran_s)
        if told is None or told.median is None:
            return latest_s
        return min(began_s + told.median, latest_s if latest_s is not None else began_s + told.median)

    problem = problem_of(ctx, workloads, snapshot)
    queue = Queue(problem, ctx.policy, workloads, end_of)
    waiting = {workload.id for workload in problem.requests}
    return {identity: at_s for identity, at_s in queue.starts().items() if identity in waiting}
