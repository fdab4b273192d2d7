"""How far running work says it is, as the nodes tell it."""

from __future__ import annotations

from collections.abc import Iterable

from gpualloc.model.inventory import Node
from gpualloc.model.progress import Progress
from gpualloc.model.workload import Workload, WorkloadState


def progress_of(workloads: Iterable[Workload], nodes: Iterable[Node]) -> dict[str, Progress]:
    """By workload id the progress of work that runs or is suspended and tells any; of a gang that of rank 0."""
    told = {
        (node.name, record.workload, record.attempt): record.progress
        for node in nodes
        for record in node.workloads
        if record.progress is not None
    }
    found = {}
    for workload in workloads:
        if workload.allocation is not None and workload.state in (WorkloadState.RUNNING, WorkloadState.SUSPENDED):
            progress = told.get((workload.allocation.node, workload.id, workload.attempt))
            if progress is not None:
                found[workload.id] = progress
    return found
