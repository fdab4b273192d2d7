"""Who notices a step: the workload itself, and those who share its devices."""

from __future__ import annotations

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import BlastRadius
from gpualloc.model.workload import Workload


def disturbed(allocation: Allocation, workload: Workload, snapshot: Snapshot) -> BlastRadius:
    """The workload and its owner first, then who holds or uses a part of a device that it will share in time.

    MIG instances are isolated, so their neighbours are not disturbed. A process whose user is unknown shows by its pid.
    """
    shared = {grant.device for grant in allocation.grants if grant.share in (Share.TIME_SLICE, Share.MPS)}
    node = snapshot.node(allocation.node)
    workloads: set[str] = set()
    users: set[str] = set()
    for claim in node.claims if node else ():
        if claim.device in shared:
            workloads.add(claim.workload)
    for process in node.processes if node else ():
        if process.device in shared:
            users.add(process.user or f"pid {process.pid}")
            if process.workload is not None:
                workloads.add(process.workload)
    return BlastRadius(
        workloads=(workload.id, *sorted(workloads - {workload.id})),
        users=(workload.owner, *sorted(users - {workload.owner})),
    )
