"""Plans that bring MIG layouts about by an operator's word, and the layouts as they are."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.engine.execute import find_workload
from gpualloc.engine.plan import plan_of
from gpualloc.errors import InfeasibleError, UsageError
from gpualloc.model.inventory import Device, Node, Snapshot
from gpualloc.model.mig import Layout, Place, layout_of, layout_text
from gpualloc.model.plan import Plan, Step, StepReason
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.giving_way import Way, eviction_steps, way_out
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.partition import Partition, obstacles, partition_steps


class Wish(Struct, frozen=True):
    """A device and the layout it is to have."""

    node: Node
    device: Device
    target: Layout | None
    """None is MIG mode off."""


def layout_of_device(device: Device) -> Layout | None:
    """The layout the device has, as far as the driver tells where instances lie; None when MIG mode is off."""
    if not device.mig_enabled:
        return None
    return layout_of(
        Place(instance.profile, instance.start) for instance in device.mig_instances if instance.start is not None
    )


def layout_plan(ctx: Context, wishes: Sequence[Wish], snapshot: Snapshot, *, drain: bool = False) -> Plan:
    """Plan the layouts; a device that has its layout already needs no step.

    Args:
        ctx: the ports.
        wishes: each device at most once.
        snapshot: what was just seen.
        drain: end or suspend gpualloc's own work that is in the way.

    Raises:
        UsageError: a layout that the device cannot have, or a device wished for twice.
        InfeasibleError: something in use would have to go, or the node is not ours to change.
    """
    seen: set[str] = set()
    groups: list[tuple[Step, ...]] = []
    known: dict[str, Workload] = {}
    for wish in wishes:
        if wish.device.uuid in seen:
            raise UsageError(f"device {wish.device.uuid} is given two layouts")
        seen.add(wish.device.uuid)
        in_the_way = _in_the_way(ctx, wish, drain=drain)
        known.update((workload.id, workload) for workload in in_the_way)
        groups.append(_steps(wish, in_the_way, snapshot))
    return plan_of(ctx, ordered(joined(*groups)), tuple(known.values()), snapshot)


def _in_the_way(ctx: Context, wish: Wish, *, drain: bool) -> list[Workload]:
    """The workloads to be ended first; refuses when that was not asked for, or is not ours to do."""
    if not wish.node.manageable:
        owners = ", ".join(wish.node.other_controllers) or "manage = false"
        raise InfeasibleError(
            f"{wish.node.name} may only be looked at ({owners})",
            hint="pools.NAME.manage = true lets gpualloc change it",
            node=wish.node.name,
        )
    stuck = obstacles(wish.node, wish.device, wish.target)
    if stuck and not drain:
        raise InfeasibleError(
            f"{_told(wish)} is in use by {', '.join(stuck)}, which would have to go",
            hint="--drain ends or suspends them first; or keep their instances in the layout",
            node=wish.node.name,
        )
    found = [find_workload(ctx, identity) for identity in stuck]
    ours = [work for work in found if work is not None and work.state is WorkloadState.RUNNING]
    foreign = sorted(set(stuck) - {work.id for work in ours})
    if foreign:
        raise InfeasibleError(
            f"{_told(wish)} is claimed by {', '.join(foreign)}, which is not running work of this gpualloc",
            hint="release it where it was submitted",
            node=wish.node.name,
        )
    staying = [work.id for work in ours if work.request.gang or way_out(work, wish.node)[0].way is Way.STAY]
    if staying:
        raise InfeasibleError(
            f"{_told(wish)} is in use by {', '.join(staying)}, which never gives way or is a gang",
            hint="it ends by itself, or by: gpualloc release ID",
            node=wish.node.name,
        )
    return ours


def _steps(wish: Wish, in_the_way: Sequence[Workload], snapshot: Snapshot) -> tuple[Step, ...]:
    """The work in the way gives way, then the layout changes."""
    detail = f"layout {layout_text(wish.target) or 'without instances'}"
    partition = Partition(wish.node, wish.device, wish.target, StepReason.OPERATOR, detail)
    ends = eviction_steps(in_the_way, snapshot, detail)
    changes = partition_steps(partition, drained=bool(in_the_way))
    together = joined(ends, changes)
    if not ends or not changes:
        return together
    first = together[len(ends)]
    return tuple(
        replace(step, needs=tuple(end.seq for end in together[: len(ends)])) if step is first else step
        for step in together
    )


def _told(wish: Wish) -> str:
    return f"GPU {wish.device.index} of {wish.node.name} ({wish.device.uuid})"
