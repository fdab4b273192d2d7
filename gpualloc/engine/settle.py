"""Record what became of running and suspended work since anybody last looked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from gpualloc.engine.context import Context
from gpualloc.errors import LockedError, StalePlanError, StateError
from gpualloc.model.allocation import Limits, WorkloadEnd
from gpualloc.model.audit import AuditEntry
from gpualloc.model.inventory import NodeState, Snapshot
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.ports import JournalWriter

SHOWN_AFTER_END_S = 86400.0
"""How long ended work stays in listings."""

_CODE_UNKNOWN = frozenset({"no-record", "rebooted", "keeper-lost", "adopted", "let-go"})
"""Reasons of ends whose exit code nobody saw."""

_UNSEEN = "whether it still runs is not known: its records are in"
_ON_NODES = (WorkloadState.RUNNING, WorkloadState.SUSPENDED)
"""States in which a node has processes of the work."""

_LOST = {"rebooted": "the node was rebooted", "keeper-lost": "its keeper was killed; the exit code is unknown"}


def settle(workloads: Iterable[Workload], snapshot: Snapshot) -> tuple[tuple[Workload, ...], tuple[AuditEntry, ...]]:
    """Compare running work with the records of the nodes it runs on.

    A node that was not reached says nothing: its work stays as it is.

    Returns:
        the workloads that ended, in their new state, and one audit entry for each; beside them those that say anew
        whether anybody can tell what became of them.
    """
    changed = []
    audit = []
    for workload in workloads:
        end = _end_of(workload, snapshot)
        if end is None:
            changed += _said_where(workload, snapshot)
            continue
        ended = after_end(workload, end)
        changed.append(ended)
        audit.append(end_entry(ended, end, actor="gpualloc"))
    return tuple(changed), tuple(audit)


def after_end(workload: Workload, end: WorkloadEnd) -> Workload:
    """The workload in the state that its end brings about."""
    state, reason = _verdict(end)
    return replace(
        workload,
        state=state,
        reason=reason,
        revision=workload.revision + 1,
        ended_at_s=end.at_s,
        exit_code=None if end.reason in _CODE_UNKNOWN else end.exit_code,
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
    """The limits in force of the work that runs, by workload id, as far as the nodes tell."""
    records = (record for node in snapshot.reached for record in node.workloads)
    return {record.workload: record.bound for record in records if record.bound is not None}


def _shown(ctx: Context) -> tuple[Workload, ...]:
    return ctx.journal.workloads(ended_since_s=ctx.clock.now_s() - SHOWN_AFTER_END_S)


def _merged(workloads: tuple[Workload, ...], changed: tuple[Workload, ...]) -> tuple[Workload, ...]:
    newer = {workload.id: workload for workload in changed}
    return tuple(newer.get(workload.id, workload) for workload in workloads)


def unseen(workload: Workload, snapshot: Snapshot) -> str | None:
    """Why the program that answers for its node knows nothing of running work; None when it should know."""
    node = snapshot.node(workload.allocation.node) if workload.allocation else None
    if node is None or node.state is not NodeState.OK or None in (node.state_dir, workload.state_dir):
        return None
    if node.state_dir == workload.state_dir:
        return None
    return f"{_UNSEEN} {workload.state_dir}, and the program that answers now has {node.state_dir}"


def _said_where(workload: Workload, snapshot: Snapshot) -> list[Workload]:
    """The running workload with a reason that says that nobody can tell of it, or no longer; empty: nothing new."""
    node = snapshot.node(workload.allocation.node) if workload.allocation else None
    if workload.state is not WorkloadState.RUNNING or node is None or node.state is not NodeState.OK:
        return []
    reason = unseen(workload, snapshot)
    if reason == workload.reason or (reason is None and not (workload.reason or "").startswith(_UNSEEN)):
        return []
    return [replace(workload, reason=reason, revision=workload.revision + 1)]


def _end_of(workload: Workload, snapshot: Snapshot) -> WorkloadEnd | None:
    if workload.state not in _ON_NODES or workload.allocation is None:
        return None
    node = snapshot.node(workload.allocation.node)
    if node is None or node.state is not NodeState.OK:
        return None
    for record in node.workloads:
        if record.workload == workload.id and record.attempt == workload.attempt:
            return record.end
    if any(claim.workload == workload.id for claim in node.claims):
        # Its keeper, which holds the claim, wrote its record where this node program does not look (another account).
        return None
    if unseen(workload, snapshot) is not None:
        # Root's program was installed or removed meanwhile: each sees its own work alone.
        return None
    return WorkloadEnd(exit_code=255, at_s=snapshot.at_s, reason="no-record")


def _verdict(end: WorkloadEnd) -> tuple[WorkloadState, str | None]:
    if end.reason == "no-record":
        return WorkloadState.LOST, "its node has no record of it any more"
    if end.reason in _LOST:
        return WorkloadState.LOST, _LOST[end.reason]
    if end.reason == "released":
        return WorkloadState.RELEASED, "released"
    if end.reason == "checkpointed":
        return WorkloadState.RELEASED, "stopped after its checkpoint"
    if end.reason == "let-go":
        return WorkloadState.RELEASED, "let go: it runs on, and nothing of gpualloc holds it"
    if end.reason == "at-most":
        return WorkloadState.FAILED, "stopped: it ran longer than --at-most"
    if end.oom:
        return WorkloadState.FAILED, "killed by its memory limit"
    if end.reason == "adopted":
        return WorkloadState.FINISHED, "ended; exit code unknown, it was adopted"
    if end.exit_code == 0:
        return WorkloadState.FINISHED, None
    if end.signal is not None:
        return WorkloadState.FAILED, f"ended by signal {end.signal}"
    return WorkloadState.FAILED, f"exit code {end.exit_code}"
