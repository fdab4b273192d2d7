"""gpualloc's own recorded history as a trace: today's nodes, and all work there was, strangers' processes too.

What was seen but never asked for becomes work as well: a process that is no workload of ours counts as one whole GPU,
or the part of its memory that it has when others run there too, from when it was first seen to when it was last seen.
Where nobody looked, nothing is made up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.history_nodes import HistoryNodes, history_nodes
from gpualloc.engine.history_strangers import Stranger, processes_seen, use_seen
from gpualloc.engine.observe import observe
from gpualloc.errors import BrokenInputError
from gpualloc.model.allocation import Share
from gpualloc.model.enforcement import Sighting
from gpualloc.model.inventory import Node, Snapshot
from gpualloc.model.sample import METRICS, Series, SeriesKind
from gpualloc.model.shapes import GPU_MILLI, Shape
from gpualloc.model.workload import Preemption, Request, Workload
from gpualloc.policies.filters import matches_model
from gpualloc.sim.traces.trace import Tasks, TraceNode, TraceTask, gather

SOURCE = "the recorded history"
"""How errors name it."""
_USED = "gpu_memory_used_mib"


class HistoryTrace(Struct, frozen=True):
    """A trace made of history."""

    nodes: tuple[TraceNode, ...]
    tasks: Tasks
    fixed: frozenset[int]
    """Rows of tasks that gpualloc may not move: strangers' processes, and work that never gives way."""
    strangers: int
    """How many of the tasks are strangers' processes."""
    messages: tuple[str, ...]
    """What the trace cannot say of the history, one sentence each."""


def history_trace(ctx: Context, progress: Callable[[Node], None] | None = None) -> HistoryTrace:
    """Look at the fleet, and read all that is remembered.

    Raises:
        UnreachableError: no node answered.
        BrokenInputError: there is too little to make a trace of.
    """
    snapshot = observe(ctx, progress=progress)
    used = tuple(ctx.history.read(METRICS[_USED], 0.0, snapshot.at_s + 1))
    return trace_of(snapshot, ctx.journal.workloads(), ctx.journal.sightings(), used)


def trace_of(
    snapshot: Snapshot, workloads: Sequence[Workload], sightings: Sequence[Sighting] = (), used: Sequence[Series] = ()
) -> HistoryTrace:
    """The trace of a history. Pure.

    A workload arrives when it was submitted and stays as long as it ran, so that what it waited then does not count as
    use; one that runs still has run until now. Times count from the first arrival.

    Args:
        snapshot: the fleet; its nodes become the nodes, emptied.
        workloads: all that were ever asked for.
        sightings: processes seen on devices they were not given.
        used: sampled GPU memory in use, of devices and workloads.

    Raises:
        BrokenInputError: no node that answered has a GPU and tells its CPUs and memory, or there was no work.
    """
    nodes = history_nodes(snapshot)
    if not any(node.gpus for node in nodes.nodes):
        raise BrokenInputError(
            f"{SOURCE}: no node that answered has a GPU and tells its CPUs and memory",
            hint="`gpualloc nodes` shows how they stand",
        )
    ours = [(workload, _shape(workload.request, nodes)) for workload in workloads]
    known = [(workload, shape) for workload, shape in ours if shape is not None]
    devices = [series for series in used if series.key.kind is SeriesKind.DEVICE]
    seen = processes_seen(snapshot, sightings)
    strangers = [*seen, *use_seen(snapshot, workloads, devices, seen)]
    if not known and not strangers:
        raise BrokenInputError(
            f"{SOURCE}: there is no work in it that this fleet could hold",
            hint="work that was submitted, and processes that `gpualloc sample` saw, make a trace",
        )
    return _gathered(snapshot, nodes, known, strangers, len(ours) - len(known))


def _gathered(
    snapshot: Snapshot,
    nodes: HistoryNodes,
    known: Sequence[tuple[Workload, Shape]],
    strangers: Sequence[Stranger],
    unknown: int,
) -> HistoryTrace:
    begin_s = min([work.submitted_at_s for work, _ in known] + [one.from_s for one in strangers])
    ours = [(*_times(work, snapshot.at_s), work.id, shape, _fixed(work)) for work, shape in known]
    theirs = [(one.from_s, one.to_s, one.name, _share_of(one), True) for one in strangers]
    rows = sorted([*ours, *theirs], key=lambda row: (row[0], row[2]))
    tasks = gather(
        (
            TraceTask(number, name, shape, arrives_s - begin_s, None if leaves_s is None else leaves_s - begin_s)
            for number, (arrives_s, leaves_s, name, shape, _) in enumerate(rows)
        ),
        SOURCE,
    )
    fixed = frozenset(number for number, row in enumerate(rows) if row[4])
    return HistoryTrace(nodes.nodes, tasks, fixed, len(theirs), (*nodes.messages, *_told(known, unknown, len(theirs))))


def _fixed(workload: Workload) -> bool:
    return workload.request.preempt is not Preemption.SUSPEND


def _times(workload: Workload, now_s: float) -> tuple[float, float | None]:
    """When it came, and when it would have left had it not waited; None when it never ran, or nobody knows."""
    begun_s = workload.started_at_s
    ended_s = workload.ended_at_s if workload.state.ended else now_s
    if begun_s is None or ended_s is None:
        return workload.submitted_at_s, None
    return workload.submitted_at_s, workload.submitted_at_s + max(0.0, ended_s - begun_s)


def _shape(request: Request, nodes: HistoryNodes) -> Shape | None:
    """What it takes; None when no node has a model that would do."""
    cpu_milli, memory_mib = round((request.cpus or 0.0) * GPU_MILLI), request.memory_mib or 0
    if not request.gpus:
        return Shape(cpu_milli, memory_mib, 0, 0)
    models = _models(request, nodes)
    if not models:
        return None
    if request.share is Share.MIG:
        part = max(nodes.instance_milli(model, request.mig_profile, request.gpu_memory_mib) for model in models)
        gpus, milli = 1, min(GPU_MILLI, part * request.gpus)
    else:
        gpus, milli = request.gpus, max(1, round((request.fraction or 1.0) * GPU_MILLI))
        if gpus > 1 and milli < GPU_MILLI:
            gpus, milli = 1, min(GPU_MILLI, gpus * milli)
    return Shape(cpu_milli, memory_mib, gpus, milli, () if len(models) == len(nodes.memory_mib) else models)


def _models(request: Request, nodes: HistoryNodes) -> tuple[str, ...]:
    """The models of the fleet that would do, for their name and their memory."""
    need_mib = request.gpu_memory_mib or 0
    return tuple(
        model
        for model, memory_mib in nodes.memory_mib.items()
        if (request.gpu_model is None or matches_model(model, request.gpu_model))
        and (memory_mib is None or memory_mib >= need_mib)
        and (request.share is not Share.MIG or nodes.partitioned(model, request.mig_profile))
    )


def _share_of(one: Stranger) -> Shape:
    return Shape(0, 0, 1, one.milli, (one.model,))


def _told(known: Sequence[tuple[Workload, Shape]], unknown: int, strangers: int) -> list[str]:
    told = []
    if unknown:
        told.append(f"{unknown} workloads asked for GPUs that no node has now; they are left out")
    shares = sum(work.request.gpus > 1 and work.request.fraction is not None for work, _ in known)
    if shares:
        told.append(f"{shares} workloads shared several GPUs; they count as one part of one GPU")
    bound = sum(bool(work.request.nodes or work.request.labels or work.request.near) for work, _ in known)
    if bound:
        told.append(f"{bound} workloads asked for certain nodes; the trace lets them go anywhere")
    if any(work.request.share is Share.MIG for work, _ in known):
        told.append("MIG instances count as the part of a GPU that their memory is")
    if strangers:
        told.append(f"{strangers} tasks are processes or memory in use that gpualloc did not start")
    return told
