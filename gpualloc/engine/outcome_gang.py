"""What a step's success makes of a gang: its members start and end one by one, the gang with the last of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from gpualloc.engine.outcome_base import Outcome, drained, held_by_from, start_entry, waiting_again
from gpualloc.engine.settle import settle_gang
from gpualloc.model.allocation import Member, WorkloadEnd
from gpualloc.model.audit import AuditEntry
from gpualloc.model.gang import TAKEN, gang_end, members_of, weakest_hold, with_members
from gpualloc.model.plan import Step, StepReason
from gpualloc.model.workload import Workload, WorkloadState

_GIVING_WAY = {StepReason.DRAIN: "drained by", StepReason.UNDO: "taken back by"}
"""Reasons for which a gang is ended that waits again then, in words."""


def member_started(
    workload: Workload, step: Step, member: Member, facts: Mapping[str, object], *, actor: str, at_s: float
) -> Outcome:
    """The gang after a member started: it runs once all of them do. One that is known already changes nothing."""
    if workload.attempt == step.attempt and any(each.rank == member.rank for each in members_of(workload)):
        return None, ()
    pid, started_at_s, state_dir = facts.get("pid"), facts.get("started_at_s"), facts.get("state_dir")
    begun = replace(
        member,
        pid=pid if isinstance(pid, int) else None,
        started_at_s=float(started_at_s) if isinstance(started_at_s, int | float) else None,
        held_by=held_by_from(facts),
        state_dir=state_dir if isinstance(state_dir, str) else None,
    )
    allocation = step.allocation
    assert allocation is not None
    assert allocation.gang is not None  # its member was found there
    others = members_of(workload)
    together = with_members(allocation, [*others, begun])
    changed = replace(workload, revision=workload.revision + 1, attempt=step.attempt, allocation=together)
    entry = start_entry(workload, step, pid=begun.pid, started_at_s=begun.started_at_s, actor=actor, at_s=at_s)
    if len(others) + 1 < allocation.gang.size:
        return replace(changed, reason=f"{len(others) + 1} of {allocation.gang.size} members started"), (entry,)
    return _running(changed), (entry,)


def member_taken_back(workload: Workload, step: Step, member: Member, *, actor: str, at_s: float) -> Outcome:
    """The gang after the start of a member was taken back; without any member it is as before its start."""
    if workload.attempt > step.attempt:
        return None, ()
    left = [each for each in members_of(workload) if each.rank != member.rank]
    known = len(left) < len(members_of(workload))
    if workload.attempt == step.attempt and not known:
        return None, ()
    reason = "its start was taken back" if workload.state is WorkloadState.RUNNING else workload.reason
    changed = replace(workload, attempt=step.attempt, revision=workload.revision + 1)
    if not workload.state.ended:
        changed = replace(waiting_again(workload, reason), attempt=step.attempt)
    if left and workload.allocation is not None:
        changed = replace(changed, allocation=with_members(workload.allocation, left))
    else:
        changed = replace(changed, allocation=None)
    entry = AuditEntry(at_s=at_s, kind="start-undone", actor=actor, workload=workload.id, node=step.node)
    return changed, (entry,) if known else ()


def member_stopped(workload: Workload, step: Step, end: WorkloadEnd, *, actor: str, at_s: float) -> Outcome:
    """The gang after a member was ended.

    A member that fails while the gang is taken down fails because of that: its end counts as brought about.
    """
    member = next((each for each in members_of(workload) if each.node == step.node and each.end is None), None)
    if member is None:
        return None, ()
    if step.reason is not StepReason.GANG and end.exit_code != 0 and end.reason not in TAKEN:
        end = replace(end, reason="released")
    changed, entries = settle_gang(workload, {member.rank: end}, actor=actor)
    if changed is None or not changed.state.ended or step.reason not in _GIVING_WAY:
        return changed, entries
    if gang_end(members_of(changed))[1].reason not in TAKEN:
        return changed, entries
    waiting, requeued = drained(workload, step, f"{_GIVING_WAY[step.reason]} {actor}", actor=actor, at_s=at_s)
    return waiting, (*entries[:-1], *requeued)


def _running(workload: Workload) -> Workload:
    """The gang all members of which have started."""
    members = members_of(workload)
    starts = [member.started_at_s for member in members]
    return replace(
        workload,
        state=WorkloadState.RUNNING,
        reason=None,
        pid=members[0].pid,
        started_at_s=max((at_s for at_s in starts if at_s is not None), default=None),
        held_by=weakest_hold(member.held_by for member in members),
        state_dir=members[0].state_dir,
    )
