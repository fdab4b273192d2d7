"""The steps that suspend a workload and give its devices back, and that bring it back on devices claimed anew."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation
from gpualloc.model.gang import living_parts
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import BlastRadius, Step, StepKind, StepReason
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.target import target_text


def suspend_steps(workload: Workload, snapshot: Snapshot, reason: StepReason = StepReason.OPERATOR) -> tuple[Step, ...]:
    """The steps that suspend a running workload; none when it has no place.

    Its devices are given back once their memory is free: others may have them while it stands still.
    """
    if workload.allocation is None:
        return ()
    kinds = [
        (StepKind.SUSPEND, f"work of {workload.owner} stands still, its GPU memory on the host"),
        (StepKind.UNCLAIM, "its GPUs are free for others until it is resumed"),
    ]
    return _chain(workload, workload.allocation, kinds, snapshot, reason)


def resume_steps(
    workload: Workload, allocation: Allocation, snapshot: Snapshot, reason: StepReason = StepReason.OPERATOR
) -> tuple[Step, ...]:
    """The steps that resume a suspended workload as the allocation says."""
    before = workload.allocation.grants if workload.allocation else ()
    moved = [grant.device for grant in before] != [grant.device for grant in allocation.grants]
    kinds = [
        (StepKind.CLAIM, "it needs its GPUs again" if not moved else "it goes on elsewhere on its node"),
        (StepKind.RESUME, f"work of {workload.owner} goes on"),
    ]
    steps = _chain(workload, allocation, kinds, snapshot, reason)
    return tuple(replace(step, devices_before=tuple(grant.device for grant in before)) for step in steps)


def moved_to(allocation: Allocation, devices: Sequence[str]) -> Allocation:
    """The allocation on other devices, in the order of its grants; as many are given."""
    grants = zip(allocation.grants, devices, strict=True)
    return replace(allocation, grants=tuple(replace(grant, device=device) for grant, device in grants))


def still_held(workload: Workload) -> tuple[Allocation, ...]:
    """What a workload holds of its nodes: while it is suspended, memory of the host, and no devices or CPUs."""
    held = living_parts(workload)
    if workload.state is not WorkloadState.SUSPENDED:
        return held
    return tuple(replace(part, grants=(), cpus=None, cpuset=None) for part in held)


def _chain(
    workload: Workload,
    allocation: Allocation,
    kinds: Sequence[tuple[StepKind, str]],
    snapshot: Snapshot,
    reason: StepReason,
) -> tuple[Step, ...]:
    return tuple(
        Step(
            seq=seq,
            kind=kind,
            node=allocation.node,
            workload=workload.id,
            target=target_text(allocation, snapshot),
            reason=reason,
            detail=detail,
            allocation=None if kind is StepKind.UNCLAIM else allocation,
            attempt=workload.attempt,
            revision=workload.revision,
            needs=(seq - 1,) if seq > 1 else (),
            blast_radius=BlastRadius((workload.id,), (workload.owner,)),
        )
        for seq, (kind, detail) in enumerate(kinds, start=1)
    )
