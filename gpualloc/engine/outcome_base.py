"""What the outcomes of steps of all kinds of work share. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from gpualloc.model.allocation import HeldBy
from gpualloc.model.audit import AuditEntry
from gpualloc.model.codec import from_plain
from gpualloc.model.plan import Step
from gpualloc.model.workload import Workload, WorkloadState

Outcome = tuple[Workload | None, tuple[AuditEntry, ...]]
"""The changed workload (None when the step changed nothing of it) and what the audit trail gains."""


def held_by_from(facts: Mapping[str, object]) -> HeldBy:
    """The `held_by` of a node's answer; limits it does not mention are not held."""
    plain = facts.get("held_by")
    return from_plain(HeldBy, plain) if isinstance(plain, Mapping) else HeldBy()


def signal_entry(step: Step, facts: Mapping[str, object], *, actor: str, at_s: float) -> AuditEntry:
    """The audit entry of a signal that was sent."""
    workload = next(iter(step.blast_radius.workloads), None)
    detail = {**process_detail(step), "state": facts.get("state")}
    return AuditEntry(at_s=at_s, kind="signal", actor=actor, workload=workload, node=step.node, detail=detail)


def process_detail(step: Step) -> dict[str, object]:
    """What the audit trail says of the process that a signal is for; nothing for other steps."""
    if step.process is None or step.process.signal is None:
        return {}
    return {
        "signal": step.process.signal.value,
        "pid": step.process.pid,
        "started_at_s": step.process.started_at_s,
        "user": next(iter(step.blast_radius.users), None),
        "command": step.process.command,
    }


def start_entry(
    workload: Workload, step: Step, *, pid: int | None, started_at_s: float | None, actor: str, at_s: float
) -> AuditEntry:
    """The audit entry of a start on one node; `at_s` stands in where the node did not tell when it started."""
    grants = step.allocation.grants if step.allocation is not None else ()
    detail = {
        "name": workload.name,
        "owner": workload.owner,
        "attempt": step.attempt,
        "pid": pid,
        "devices": [grant.visible_uuid for grant in grants],
        "command": list(workload.request.command),
    }
    return AuditEntry(
        at_s=at_s if started_at_s is None else started_at_s,
        kind=step.kind.value,
        actor=actor,
        workload=workload.id,
        node=step.node,
        detail=detail if step.member is None else {**detail, "rank": step.member.rank},
    )


def drained(workload: Workload, step: Step, reason: str, *, actor: str, at_s: float) -> Outcome:
    """Work that gave way waits again, for a place elsewhere."""
    detail = {"attempt": step.attempt, "saved": step.checkpoint}
    entry = AuditEntry(at_s=at_s, kind="requeue", actor=actor, workload=workload.id, node=step.node, detail=detail)
    return waiting_again(workload, reason), (entry,)


def waiting_again(workload: Workload, reason: str | None) -> Workload:
    """Work that ran, waiting again."""
    return replace(
        workload,
        state=WorkloadState.PENDING,
        reason=reason,
        revision=workload.revision + 1,
        allocation=None,
        pid=None,
        started_at_s=None,
        held_by=HeldBy(),
    )
