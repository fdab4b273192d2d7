"""How work gives way on its node: suspended, saved and stopped, stopped, or not at all. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from gpualloc.model.allocation import Share
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.workload import Preemption, Workload
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.steps import release_steps
from gpualloc.planning.suspension import suspend_steps

SUSPEND_FROM_DRIVER = 570
"""First driver branch whose checkpoint interface is used."""
HEADROOM_RATIO = 1.1
"""Free host memory wanted, as a multiple of the GPU memory that moves there."""


class Way(StrEnum):
    """What is done to work that has to give way; the words are part of the JSON contract."""

    SUSPEND = "suspend"
    """Its GPU memory moves to host memory; the process lives on, on its node."""
    CHECKPOINT = "checkpoint"
    """Its checkpoint hook, then TERM and KILL; it waits again."""
    STOP = "stop"
    """TERM and KILL; it waits again."""
    STAY = "stay"
    """Nothing: only a release ends it."""


_FIRST = (StepKind.SUSPEND, StepKind.STOP)
"""Kinds of the steps by which work gives way; the others tidy up behind them."""


class WayOut(Struct, frozen=True):
    """One way in which a workload could give way."""

    way: Way
    why: str
    """Why it is this one and none that would disturb less, in words."""


class Concerned(Struct, frozen=True):
    """Work on a node or device that is drained, and how it would give way, or did."""

    workload: Workload
    """As it stands now."""
    way_out: WayOut | None
    """The gentlest way; None for suspended work, and where the node does not answer."""


def way_out(workload: Workload, node: Node) -> tuple[WayOut, ...]:
    """The ways that the workload allows and the node can do, the gentlest first; never empty.

    What decides is what the workload asked for (`request.preempt`): each way allows those that follow it.
    """
    preempt = workload.request.preempt
    if preempt is Preemption.NEVER:
        return (WayOut(Way.STAY, "it asked never to give way"),)
    ways = []
    why = f"it asked to be stopped ({preempt.value})"
    if preempt is Preemption.SUSPEND:
        obstacle = no_suspension(workload, node)
        if obstacle is None:
            ways.append(WayOut(Way.SUSPEND, "its GPU memory fits the host, the process lives on"))
        why = f"it cannot be suspended: {obstacle}" if obstacle else "if it cannot be suspended after all"
    if preempt is not Preemption.STOP and _saves_itself(workload):
        ways.append(
            WayOut(Way.CHECKPOINT, "it asked for its checkpoint hook" if preempt is Preemption.CHECKPOINT else why)
        )
    elif preempt is Preemption.CHECKPOINT:
        why = "it has no checkpoint hook"
    return (*ways, WayOut(Way.STOP, why))


def no_suspension(workload: Workload, node: Node) -> str | None:
    """Why the workload cannot be suspended on its node, as far as that is known from outside; None when it can."""
    grants = workload.allocation.grants if workload.allocation else ()
    if workload.request.gang:
        return "it is a gang, whose members would wait for each other"
    if not grants:
        return "it has no GPU"
    if node.state is not NodeState.OK:
        return f"{node.name} does not answer"
    shared = {grant.share for grant in grants} & {Share.MIG, Share.MPS}
    if shared:
        return f"the driver cannot suspend work on {' and '.join(sorted(shared)).upper()}"
    branch = (node.driver_version or "").partition(".")[0]
    if not branch.isdigit() or int(branch) < SUSPEND_FROM_DRIVER:
        return f"driver {node.driver_version or 'of unknown version'}; {SUSPEND_FROM_DRIVER} is needed"
    return _no_host_memory(workload, node)


def eviction_steps(
    workloads: Sequence[Workload], snapshot: Snapshot, detail: str, *, not_by: Collection[Way] = ()
) -> tuple[Step, ...]:
    """The steps that make running work give way, each by its gentlest way; work that stays gets none.

    Args:
        workloads: running work, on nodes of the snapshot.
        snapshot: the nodes as they were seen.
        detail: why they have to, as a sentence.
        not_by: ways that were tried and refused.
    """
    chains = [_steps(workload, snapshot, detail, not_by) for workload in workloads]
    return ordered(joined(*chains))


def _steps(workload: Workload, snapshot: Snapshot, detail: str, not_by: Collection[Way]) -> tuple[Step, ...]:
    node = snapshot.node(workload.allocation.node) if workload.allocation else None
    ways = [] if node is None else [each for each in way_out(workload, node) if each.way not in not_by]
    if not ways or ways[0].way is Way.STAY:
        return ()
    saves = ways[0].way is Way.CHECKPOINT
    if ways[0].way is Way.SUSPEND:
        steps = suspend_steps(workload, snapshot, StepReason.DRAIN)
    else:
        steps = release_steps([workload], StepReason.DRAIN)
    return tuple(
        replace(step, checkpoint=saves, detail=f"{detail}; {ways[0].why}") if step.kind in _FIRST else step
        for step in steps
    )


def _saves_itself(workload: Workload) -> bool:
    return workload.request.checkpoint_signal is not None or bool(workload.request.checkpoint_command)


def _no_host_memory(workload: Workload, node: Node) -> str | None:
    used = [each.gpu_memory_used_mib for each in node.processes if each.workload == workload.id]
    free_mib = node.host.memory_available_mib
    if free_mib is None or None in used:
        return "how much memory would have to move, or is free for it, is not known"
    need_mib = math.ceil(sum(mib for mib in used if mib is not None) * HEADROOM_RATIO)
    return None if free_mib >= need_mib else f"{need_mib} MiB of host memory are needed, {free_mib} MiB are free"
