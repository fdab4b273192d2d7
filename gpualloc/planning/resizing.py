"""The step that gives running work more or fewer devices of its node, and the one that takes it back. Pure."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Grant, Share
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import BlastRadius, Step, StepKind, StepReason
from gpualloc.model.workload import Workload
from gpualloc.planning.target import target_text


def with_devices(allocation: Allocation, devices: Collection[str]) -> Allocation:
    """The allocation on whole devices: those it has keep their order, others come after them."""
    kept = [grant for grant in allocation.grants if grant.device in devices]
    had = {grant.device for grant in kept}
    added = [Grant(device, Share.EXCLUSIVE) for device in devices if device not in had]
    return replace(allocation, grants=(*kept, *added))


def resize_steps(workload: Workload, to: Allocation, snapshot: Snapshot, why: str) -> tuple[Step, ...]:
    """The step by which running work gets the devices of the allocation; none when it has no place."""
    before = workload.allocation
    if before is None:
        return ()
    more = len(to.grants) > len(before.grants)
    step = Step(
        seq=1,
        kind=StepKind.RESIZE,
        node=to.node,
        workload=workload.id,
        target=target_text(to, snapshot),
        reason=StepReason.REBALANCE,
        detail=f"{'up' if more else 'down'} from {len(before.grants)} to {len(to.grants)} GPUs; {why}",
        allocation=to,
        attempt=workload.attempt,
        revision=workload.revision,
        blast_radius=BlastRadius((workload.id,), (workload.owner,)),
        devices_before=tuple(grant.device for grant in before.grants),
    )
    return (step,)


def taken_back(step: Step) -> Step:
    """The step with what the work had before as what it brings about."""
    assert step.allocation is not None  # a resize has one
    grants = tuple(Grant(device, Share.EXCLUSIVE) for device in step.devices_before)
    return replace(step, allocation=replace(step.allocation, grants=grants), devices_before=tuple(_devices(step)))


def given_up(step: Step) -> tuple[str, ...]:
    """UUIDs that work gives up by the step; empty for all but a resize."""
    after = _devices(step)
    return tuple(device for device in step.devices_before if device not in after) if _resizes(step) else ()


def added(step: Step) -> tuple[str, ...]:
    """UUIDs that work gets by the step beside those that it has; empty for all but a resize."""
    return tuple(device for device in _devices(step) if device not in step.devices_before) if _resizes(step) else ()


def _resizes(step: Step) -> bool:
    return step.kind is StepKind.RESIZE


def _devices(step: Step) -> list[str]:
    return [grant.device for grant in step.allocation.grants] if step.allocation is not None else []
