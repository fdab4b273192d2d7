"""Gangs: one workload with a member on each of several nodes, started together and ended together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gpualloc.model.allocation import Allocation, HeldBy, Hold, Member, WorkloadEnd
from gpualloc.model.ending import verdict
from gpualloc.model.workload import Workload, WorkloadState

TAKEN = ("released", "checkpointed")
"""Reasons of ends that gpualloc brought about, which say nothing about the work."""


def members_of(workload: Workload) -> tuple[Member, ...]:
    """The members of a gang that were started, by rank; empty for other work."""
    gang = workload.allocation.gang if workload.allocation is not None else None
    return () if gang is None else gang.members


def part_on(workload: Workload, node: str) -> Allocation | None:
    """What the workload has on the node; None when it has nothing there."""
    parts = workload.allocation.parts if workload.allocation is not None else ()
    return next((part for part in parts if part.node == node), None)


def living_parts(workload: Workload) -> tuple[Allocation, ...]:
    """What the workload has on each node, without the members of a gang that have ended."""
    parts = workload.allocation.parts if workload.allocation is not None else ()
    return tuple(part for part in parts if part.gang is None or part.gang.members[0].end is None)


def held_on(workload: Workload, node: str) -> HeldBy:
    """What holds the limits of the workload on the node."""
    return next((member.held_by for member in members_of(workload) if member.node == node), workload.held_by)


def with_members(allocation: Allocation, members: Iterable[Member]) -> Allocation:
    """The allocation of these members, at least one, in whatever order they come."""
    by_rank = tuple(sorted(members, key=lambda member: member.rank))
    assert allocation.gang is not None  # it is a gang's
    return replace(
        allocation,
        node=by_rank[0].node,
        grants=tuple(grant for member in by_rank for grant in member.grants),
        cpuset=by_rank[0].cpuset,
        gang=replace(allocation.gang, members=by_rank),
    )


def broken_by(members: Sequence[Member]) -> Member | None:
    """The member that failed first, by the time of its end and then by rank; None when none failed by itself."""
    failed = [member for member in members if member.end is not None and _failed(member.end)]
    return min(failed, key=_by_end, default=None)


def falling(members: Sequence[Member]) -> Member | None:
    """The member for whose end the others have to end, too: one that failed, else one that was ended."""
    taken = [member for member in members if member.end is not None and member.end.reason in TAKEN]
    return broken_by(members) or min(taken, key=_by_end, default=None)


def gang_end(members: Sequence[Member]) -> tuple[Member, WorkloadEnd]:
    """The end that counts for the gang once every member has ended, and whose it is.

    That of the member which failed first by itself; else, when members were ended, that; else the last success.
    """
    ended = [(member, member.end) for member in members if member.end is not None]
    broken = broken_by(members)
    taken = [pair for pair in ended if pair[1].reason in TAKEN]
    if broken is not None and broken.end is not None:
        return broken, broken.end
    return max(taken or ended, key=lambda pair: (pair[1].at_s, pair[0].rank))


def weakest_hold(held: Iterable[HeldBy]) -> HeldBy:
    """What can be said of the limits of all members together: of each the weakest hold."""
    rows = list(held)
    order = list(Hold)

    def weakest(name: str) -> Hold | None:
        found = [getattr(row, name) for row in rows]
        return None if None in found else min(found, key=order.index)

    return HeldBy(weakest("gpu"), weakest("cpu"), weakest("memory"), weakest("pids"), weakest("io"))


def _failed(end: WorkloadEnd) -> bool:
    return end.reason not in TAKEN and verdict(end)[0] is not WorkloadState.FINISHED


def _by_end(member: Member) -> tuple[float, int]:
    assert member.end is not None
    return member.end.at_s, member.rank
