"""Record what became of running and suspended work since anybody last looked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from gpualloc.engine.context import Context
from gpualloc.errors import LockedError, StalePlanError, StateError
from gpualloc.model.allocation import Allocation, Limits, Member, WorkloadEnd
from gpualloc.model.audit import AuditEntry
from gpualloc.model.ending import seen_exit_code, verdict
from gpualloc.model.gang import falling, gang_end, living_parts, members_of, with_members
from gpualloc.model.inventory import Node, NodeState, Snapshot
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.ports import JournalWriter

SHOWN_AFTER_END_S = 86400.0
"""How long ended work stays in listings."""

_UNSEEN = "whether it still runs is not known: its records are in"
_AFTER_START_S = 5.0
"""How much later than the start of work a node must have looked for its having no record to mean anything."""
_ON_NODES = (WorkloadState.RUNNING, WorkloadState.SUSPENDED)
"""States in which a node has processes of the work."""


def settle(workloads: Iterable[Workload], snapshot: Snapshot) -> tuple[tuple[Workload, ...], tuple[AuditEntry, ...]]:
    """Compare running work with the records of the nodes it runs on.

    A node that was not reached says nothing: its work stays as it is.

    Returns:
        the workloads that ended, in their new state, and one audit entry for each; beside them those that say anew
        whether anybody can tell what became of them.
    """
    changed: list[Workload] = []
    audit: list[AuditEntry] = []
    for workload in workloads:
        if members_of(workload):
            moved, entries = settle_gang(workload, _ends_of_members(workload, snapshot))
            changed += _said_where(workload, snapshot) if moved is None else [moved]
            audit += entries
            continue
        end = _end_of(workload, snapshot)
        if end is None:
            changed += _said_where(workload, snapshot)
            continue
        ended = after_end(workload, end)
        changed.append(ended)
        audit.append(end_entry(ended, end, actor="gpualloc"))
    return tuple(changed), tuple(audit)


def settle_gang(
    workload: Workload, ends: Mapping[int, WorkloadEnd], *, actor: str = "gpualloc"
) -> tuple[Workload | None, tuple[AuditEntry, ...]]:
    """The gang with these ends of members, by rank: it ends with its last member; None when there is none."""
    if not ends:
        return None, ()
    allocation = workload.allocation
    assert allocation is not None  # it has members
    members = tuple(replace(each, end=ends[each.rank]) if each.rank in ends else each for each in members_of(workload))
    entries = tuple(_member_entry(workload, each, actor) for each in members if each.rank in ends)
    changed = replace(workload, allocation=with_members(allocation, members))
    if all(each.end is not None for each in members):
        ended = _after_members(changed)
        return ended[0], (*entries, end_entry(ended[0], ended[1], actor))
    fallen = falling(members)
    reason = None if fallen is None else f"{_of_member(fallen)}; the others are ended by the next apply or rebalance"
    return replace(changed, reason=reason, revision=workload.revision + 1), entries


def _after_members(workload: Workload) -> tuple[Workload, WorkloadEnd]:
    """The gang after its last member ended, and the end that counts."""
    member, end = gang_end(members_of(workload))
    ended = after_end(workload, end)
    last_s = max(each.end.at_s for each in members_of(workload) if each.end is not None)
    told = ended.reason is not None and ended.state is not WorkloadState.RELEASED
    return replace(ended, ended_at_s=last_s, reason=_of_member(member) if told else ended.reason), end


def _of_member(member: Member) -> str:
    assert member.end is not None
    return f"member {member.rank} on {member.node}: {verdict(member.end)[1] or 'it ended'}"


def _member_entry(workload: Workload, member: Member, actor: str) -> AuditEntry:
    assert member.end is not None
    state, reason = verdict(member.end)
    return AuditEntry(
        at_s=member.end.at_s,
        kind="member-end",
        actor=actor,
        workload=workload.id,
        node=member.node,
        detail={
            "rank": member.rank,
            "state": state.value,
            "exit_code": seen_exit_code(member.end),
            "signal": member.end.signal,
            "oom": member.end.oom,
            "reason": reason,
        },
    )


def after_end(workload: Workload, end: WorkloadEnd) -> Workload:
    """The workload in the state that its end brings about."""
    state, reason = verdict(end)
    return replace(
        workload,
        state=state,
        reason=reason,
        revision=workload.revision + 1,
        ended_at_s=end.at_s,
        exit_code=seen_exit_code(end),
    )


def end_entry(workload: Workload, end: WorkloadEnd, actor: str) -> AuditEntry:
    """The audit entry of an end."""
    return AuditEntry(
        at_s=end.at_s,
        kind="end",
        actor=actor,
        workload=workload.id,
        node=workload.allocation.node if workload.allocation else None,
        detail={
            "state": workload.state.value,
            "exit_code": workload.exit_code,
            "signal": end.signal,
            "oom": end.oom,
            "reason": workload.reason,
        },
    )


def catch_up(ctx: Context, snapshot: Snapshot) -> tuple[Workload, ...]:
    """All work not ended and that which ended within the last day, with every end recorded.

    The ends are stored when the apply lock is free; when it is not, or the state cannot be written, they
    are shown all the same and stored by a later command.
    """
    changed, audit = settle(ctx.journal.workloads(_ON_NODES), snapshot)
    if changed:
        try:
            with ctx.journal.write("record ended work") as writer:
                writer.save(changed, audit)
        except (LockedError, StateError, StalePlanError):
            return _merged(_shown(ctx), changed)
    return _shown(ctx)


def catch_up_locked(ctx: Context, writer: JournalWriter, snapshot: Snapshot) -> tuple[Workload, ...]:
    """As `catch_up`, for a command that holds the apply lock; returns the workloads that were changed."""
    changed, audit = settle(ctx.journal.workloads(_ON_NODES), snapshot)
    if changed:
        writer.save(changed, audit)
    return changed


def bound_limits(snapshot: Snapshot) -> dict[str, Limits]:
    """The limits in force of the work that runs, by workload id, as far as the nodes tell.

    Of a gang they are told where all members have the same.
    """
    found: dict[str, set[Limits]] = {}
    for record in (record for node in snapshot.reached for record in node.workloads):
        if record.bound is not None:
            found.setdefault(record.workload, set()).add(record.bound)
    return {workload: next(iter(bound)) for workload, bound in found.items() if len(bound) == 1}


def _shown(ctx: Context) -> tuple[Workload, ...]:
    return ctx.journal.workloads(ended_since_s=ctx.clock.now_s() - SHOWN_AFTER_END_S)


def _merged(workloads: tuple[Workload, ...], changed: tuple[Workload, ...]) -> tuple[Workload, ...]:
    newer = {workload.id: workload for workload in changed}
    return tuple(newer.get(workload.id, workload) for workload in workloads)


def unseen(workload: Workload, part: Allocation, snapshot: Snapshot) -> str | None:
    """Why the program that answers for a node knows nothing of running work there; None when it should know."""
    node = snapshot.node(part.node)
    started = workload.state_dir if part.gang is None else part.gang.members[0].state_dir
    if node is None or node.state is not NodeState.OK:
        return None
    if node.limited is not None:
        return f"{_UNSEEN} {started or 'a folder of its own'}, and no node program can read them now"
    if None in (node.state_dir, started):
        return None
    if node.state_dir == started:
        return None
    return f"{_UNSEEN} {started}, and the program that answers now has {node.state_dir}"


def _said_where(workload: Workload, snapshot: Snapshot) -> list[Workload]:
    """The running workload with a reason that says that nobody can tell of it, or no longer; empty: nothing new."""
    parts = [part for part in living_parts(workload) if _answers(part, snapshot)]
    if workload.state is not WorkloadState.RUNNING or not parts:
        return []
    reason = next((why for part in parts if (why := unseen(workload, part, snapshot)) is not None), None)
    if reason == workload.reason or (reason is None and not (workload.reason or "").startswith(_UNSEEN)):
        return []
    return [replace(workload, reason=reason, revision=workload.revision + 1)]


def _answers(part: Allocation, snapshot: Snapshot) -> bool:
    node = snapshot.node(part.node)
    return node is not None and node.state is NodeState.OK


def _ends_of_members(workload: Workload, snapshot: Snapshot) -> dict[int, WorkloadEnd]:
    """The ends that nodes tell of members which ran so far, by rank."""
    ends = {}
    for part in living_parts(workload):
        end = _end_on(part, workload, snapshot)
        if part.gang is not None and end is not None:
            ends[part.gang.members[0].rank] = end
    return ends


def _end_of(workload: Workload, snapshot: Snapshot) -> WorkloadEnd | None:
    if workload.state not in _ON_NODES or workload.allocation is None:
        return None
    return _end_on(workload.allocation, workload, snapshot)


def _end_on(part: Allocation, workload: Workload, snapshot: Snapshot) -> WorkloadEnd | None:
    node = snapshot.node(part.node)
    if node is None or node.state is not NodeState.OK:
        return None
    for record in node.workloads:
        if record.workload == workload.id and record.attempt == workload.attempt:
            return record.end
    if any(claim.workload == workload.id for claim in node.claims):
        # Its keeper, which holds the claim, wrote its record where this node program does not look (another account).
        return None
    if unseen(workload, part, snapshot) is not None:
        # Root's program was installed or removed meanwhile: each sees its own work alone.
        return None
    if not _is_after_start(part, workload, node):
        return None
    return WorkloadEnd(exit_code=255, at_s=snapshot.at_s, reason="no-record")


def _is_after_start(part: Allocation, workload: Workload, node: Node) -> bool:
    """Whether the node looked when the work was there already: what is heard after a start may be from before it."""
    started_s = workload.started_at_s if part.gang is None else part.gang.members[0].started_at_s
    begun_s = -math.inf if started_s is None else started_s - (node.clock_offset_s or 0.0)
    # What was adopted runs for longer than it is known.
    return node.at_s >= max(begun_s, workload.submitted_at_s) + _AFTER_START_S
