"""From allocations to steps: claim, limit, start; and back: stop, unclaim, unlimit."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, Hold, Share
from gpualloc.model.gang import falling, held_on, living_parts, members_of
from gpualloc.model.inventory import Snapshot
from gpualloc.model.plan import BlastRadius, ProcessTarget, Step, StepKind, StepReason
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.blast import disturbed
from gpualloc.planning.order import joined, ordered
from gpualloc.planning.target import limits_text, target_text


def steps_for(
    allocations: Sequence[Allocation], workloads: Mapping[str, Workload], snapshot: Snapshot
) -> tuple[Step, ...]:
    """The steps that bring the allocations about, workload after workload in the order decided.

    Args:
        allocations: new allocations, in the order in which they were decided.
        workloads: the allocated workloads by id.
        snapshot: what the nodes looked like when it was decided.
    """
    chains = [_start_chain(allocation, workloads[allocation.workload], snapshot) for allocation in allocations]
    return ordered(joined(*chains))


def release_steps(
    workloads: Sequence[Workload], reason: StepReason = StepReason.RELEASE, nodes: Collection[str] | None = None
) -> tuple[Step, ...]:
    """The steps that end the workloads and give back what they hold, on all nodes or those named.

    Those that hold nothing need none.
    """
    return ordered(joined(*(chain for workload in workloads for chain in _stop_chains(workload, reason, nodes))))


def gang_end_steps(workloads: Iterable[Workload], snapshot: Snapshot) -> tuple[Step, ...]:
    """The steps that end the members which are left of gangs that failed or were ended, on the nodes that answer."""
    reached = {node.name for node in snapshot.reached}
    chains = [
        chain
        for workload in workloads
        if falling(members_of(workload)) is not None
        for chain in _stop_chains(workload, StepReason.GANG, reached)
    ]
    return ordered(joined(*chains))


def cleanup_steps(snapshot: Snapshot, workloads: Iterable[Workload], controller: str) -> tuple[Step, ...]:
    """The steps that take back our claims on manageable nodes for work that does not belong there any more.

    A pending workload's claim stays: an apply may be under way, and an interrupted one is recovered by its journal.
    Work that ended may be left out of `workloads`.
    """
    known = {workload.id: workload for workload in workloads}
    steps = []
    for node in sorted(snapshot.nodes, key=lambda node: node.name):
        ours = {claim.workload for claim in node.claims if claim.controller == controller and node.manageable}
        for workload in sorted(ours):
            if not _belongs(known.get(workload), node.name):
                steps.append((_cleanup_step(workload, known.get(workload), node.name),))
    return ordered(joined(*steps))


def _start_chain(allocation: Allocation, workload: Workload, snapshot: Snapshot) -> tuple[Step, ...]:
    """Everything that is given, then the start; of a gang what is given to all members before any of them starts."""

    def chain_of(kinds: Sequence[tuple[StepKind, str]], part: Allocation) -> tuple[Step, ...]:
        return giving_chain(kinds, part, workload, snapshot, reason=StepReason.WAITING)

    start = (StepKind.START, f"start {workload.attempt + 1}, as {workload.owner}")
    if allocation.gang is None:
        return chain_of([*_given(allocation, workload, snapshot), start], allocation)
    given = [chain_of(_given(part, workload, snapshot), part) for part in allocation.parts]
    starts = [chain_of([start], part) for part in allocation.parts]
    return _in_line([step for chain in (*given, *starts) for step in chain])


def _given(allocation: Allocation, workload: Workload, snapshot: Snapshot) -> list[tuple[StepKind, str]]:
    """What is done on one node before the work starts there."""
    kinds = []
    if allocation.grants:
        kinds.append((StepKind.CLAIM, f"work of {workload.owner} waits, and this is free"))
    if limits_text(allocation):
        kinds.append((StepKind.LIMIT, f"it asked for {limits_text(allocation)}"))
    elif _isolates(snapshot, allocation.node):
        kinds.append((StepKind.LIMIT, "it reaches the GPUs it was given and no others"))
    if any(grant.share is Share.MPS for grant in allocation.grants):
        kinds.append((StepKind.MPS_START, f"{workload.owner} has an MPS daemon on it"))
    return kinds


def _in_line(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps numbered from 1, each needing the one before."""
    return tuple(replace(step, seq=seq, needs=(seq - 1,) if seq > 1 else ()) for seq, step in enumerate(steps, start=1))


def giving_chain(
    kinds: Sequence[tuple[StepKind, str]],
    allocation: Allocation,
    workload: Workload,
    snapshot: Snapshot,
    *,
    reason: StepReason,
    process: ProcessTarget | None = None,
) -> tuple[Step, ...]:
    """Steps that bring an allocation about, each needing the one before; `kinds` are kinds with their details."""
    blast_radius = disturbed(allocation, workload, snapshot)
    return tuple(
        Step(
            seq=seq,
            kind=kind,
            node=allocation.node,
            workload=workload.id,
            target=target_text(allocation, snapshot),
            reason=reason,
            detail=detail,
            allocation=allocation,
            attempt=workload.attempt + 1,
            revision=workload.revision,
            needs=(seq - 1,) if seq > 1 else (),
            blast_radius=blast_radius,
            process=process,
        )
        for seq, (kind, detail) in enumerate(kinds, start=1)
    )


def _isolates(snapshot: Snapshot, node: str) -> bool:
    found = snapshot.node(node)
    return found is not None and bool(found.devices) and found.cgroup.isolation is not None


def _stop_chains(workload: Workload, reason: StepReason, nodes: Collection[str] | None) -> list[tuple[Step, ...]]:
    """One chain for each node, of all or of those named, with something of it that has not ended."""
    if workload.state not in (WorkloadState.RUNNING, WorkloadState.SUSPENDED):
        return []
    parts = [part for part in living_parts(workload) if nodes is None or part.node in nodes]
    return [_stop_chain(part, workload, reason) for part in parts]


def _stop_chain(allocation: Allocation, workload: Workload, reason: StepReason) -> tuple[Step, ...]:
    kinds = [(StepKind.STOP, f"work of {workload.owner} ends")]
    if allocation.grants:
        kinds.append((StepKind.UNCLAIM, "its GPUs are no longer needed"))
    if any(grant.share is Share.MPS for grant in allocation.grants):
        kinds.append((StepKind.MPS_STOP, "its MPS daemon is no longer needed"))
    if limits_text(allocation) or held_on(workload, allocation.node).gpu is Hold.HARD:
        kinds.append((StepKind.UNLIMIT, "its control group is no longer needed"))
    return ending_chain(kinds, allocation, workload, reason)


def ending_chain(
    kinds: Sequence[tuple[StepKind, str]], allocation: Allocation, workload: Workload, reason: StepReason
) -> tuple[Step, ...]:
    """Steps that give an allocation back: the first ends the work, the others need it and no more."""
    return tuple(
        Step(
            seq=seq,
            kind=kind,
            node=allocation.node,
            workload=workload.id,
            target=workload.id,
            reason=reason,
            detail=detail,
            allocation=allocation if kind is StepKind.MPS_STOP else None,
            attempt=workload.attempt,
            revision=workload.revision,
            needs=(1,) if seq > 1 else (),
            blast_radius=BlastRadius((workload.id,), (workload.owner,)),
        )
        for seq, (kind, detail) in enumerate(kinds, start=1)
    )


def _belongs(workload: Workload | None, node: str) -> bool:
    if workload is None or workload.state.ended:
        return False
    if workload.state is WorkloadState.PENDING or workload.allocation is None:
        return True  # of a gang whose start was interrupted only the members that run are known
    return node in workload.allocation.nodes


def _cleanup_step(workload_id: str, workload: Workload | None, node: str) -> Step:
    if workload is None:
        why = "no such work waits or runs"
    else:
        why = f"that work is {workload.state}{'' if workload.state.ended else ' on another node'}"
    return Step(
        seq=1,
        kind=StepKind.UNCLAIM,
        node=node,
        workload=workload_id,
        target=workload_id,
        reason=StepReason.CLEANUP,
        detail=f"a claim of {workload_id} is left, and {why}",
        allocation=None,
        attempt=workload.attempt if workload else 0,
        revision=workload.revision if workload else 0,
    )
