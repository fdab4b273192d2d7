"""Who notices a step: the workload itself, and those who share its devices."""

from __future__ import annotations

from collections.abc import Sequence

from gpualloc.model.allocation import Allocation, Share
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import DEVICE_KINDS, BlastRadius, Step, StepKind, StepReason
from gpualloc.model.workload import Workload

DISTURBING_KINDS = DEVICE_KINDS | {StepKind.STOP, StepKind.SUSPEND, StepKind.RESIZE, StepKind.SIGNAL}
"""Steps that those in their blast radius notice as a loss."""

_NAMED = (StepReason.RELEASE, StepReason.OPERATOR, StepReason.DRAIN, StepReason.GANG, StepReason.UNDO)
"""Reasons of steps whose victims an operator named, or that are lost already."""


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


def noticed(step: Step) -> bool:
    """Whether somebody is disturbed by the step."""
    radius = step.blast_radius
    return step.kind in DISTURBING_KINDS and bool(radius.workloads or radius.users or radius.resets)


def unnamed_victims(steps: Sequence[Step]) -> tuple[str, ...]:
    """What the steps disturb without an operator having named it: workloads, foreign processes, devices that are reset.

    Work that the same steps start does not count.
    """
    started = {step.workload for step in steps if step.kind is StepKind.START}
    victims: dict[str, None] = {}
    for step in steps:
        if step.kind not in DISTURBING_KINDS or step.reason in _NAMED:
            continue
        workloads = [*([step.workload] if step.workload else []), *step.blast_radius.workloads]
        victims.update({f"workload {workload}": None for workload in workloads if workload not in started})
        if step.process is not None:
            victims[f"process {step.process.pid} on {step.node}"] = None
        victims.update({f"{device} on {step.node} (reset)": None for device in step.blast_radius.resets})
    return tuple(victims)
