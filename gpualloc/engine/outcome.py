"""What a step's success or failure makes of the workload it serves. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from gpualloc.engine.outcome_base import (
    Outcome,
    drained,
    held_by_from,
    process_detail,
    signal_entry,
    start_entry,
    waiting_again,
)
from gpualloc.engine.outcome_gang import member_started, member_stopped, member_taken_back
from gpualloc.engine.settle import after_end, end_entry
from gpualloc.errors import GpuallocError, StepError, UnknownOutcomeError
from gpualloc.model.allocation import Allocation, WorkloadEnd
from gpualloc.model.audit import AuditEntry
from gpualloc.model.codec import from_plain
from gpualloc.model.gang import TAKEN, members_of
from gpualloc.model.plan import Step, StepKind, StepReason
from gpualloc.model.rebalancing import IDLE_REASON, MOVING_REASON
from gpualloc.model.workload import Workload, WorkloadState
from gpualloc.planning.resizing import taken_back

_GIVING_WAY = {
    StepReason.DRAIN: "drained from",
    StepReason.REBALANCE: "moved away from",
    StepReason.UNDO: "taken back from",
}
"""Reasons for which work is stopped that waits again then, in words."""

_HOPELESS = frozenset({"no-command", "not-executable", "no-user", "bad-request"})
"""Reasons that the next attempt would meet again."""


def after_success(
    workload: Workload | None, step: Step, facts: Mapping[str, object], *, actor: str, at_s: float
) -> Outcome:
    """The workload after the step was done and read back."""
    if step.kind is StepKind.SIGNAL:
        return None, (signal_entry(step, facts, actor=actor, at_s=at_s),)
    outcome = _DONE.get(step.kind)
    return (None, ()) if workload is None or outcome is None else outcome(workload, step, facts, actor, at_s)


def after_undo(
    workload: Workload | None, step: Step, facts: Mapping[str, object], *, actor: str, at_s: float
) -> Outcome:
    """The workload after the step was taken back; `facts` are those of the step's inverse.

    Work that is taken back to before its start waits again; otherwise it is as if the inverse had been done.
    """
    inverse = step.inverse
    if workload is None or inverse is None:
        return None, ()
    if step.kind is StepKind.START:
        return _not_started(workload, step, actor, at_s)
    if step.kind is StepKind.RESIZE:
        return _resized(workload, taken_back(step), facts, actor, at_s)
    outcome = _DONE.get(inverse)
    return (None, ()) if outcome is None else outcome(workload, step, facts, actor, at_s)


def after_failure(workload: Workload | None, step: Step, error: GpuallocError, *, actor: str, at_s: float) -> Outcome:
    """The workload after the step failed and nothing of the step is left.

    A start that would fail again ends the workload, and so does the adoption of a process: otherwise it waits on, with
    the reason.
    """
    entry = AuditEntry(
        at_s=at_s,
        kind="step-failed",
        actor=actor,
        workload=step.workload,
        node=step.node,
        detail={"step": step.kind.value, **process_detail(step), "error": error.message, "code": error.code},
    )
    if workload is None or workload.state is not WorkloadState.PENDING:
        return None, (entry,)
    reason = f"{step.node}: " + error.message.removeprefix(f"{step.node}: ")
    if workload.adopted or (isinstance(error, StepError) and error.reason in _HOPELESS):
        return (
            replace(
                workload,
                state=WorkloadState.FAILED,
                reason=reason,
                revision=workload.revision + 1,
                attempt=step.attempt,
                ended_at_s=at_s,
                exit_code=error.command_exit_code if isinstance(error, StepError) else None,
            ),
            (entry,),
        )
    return replace(workload, reason=reason, revision=workload.revision + 1, attempt=step.attempt), (entry,)


def after_doubt(workload: Workload | None, step: Step, error: UnknownOutcomeError) -> Workload | None:
    """The waiting workload that says its step may have happened or not; None when there is nothing to change."""
    reason = f"whether it got its {step.kind.value} is not known: {error.message}"
    if workload is None or workload.state is not WorkloadState.PENDING or workload.reason == reason:
        return None
    return replace(workload, reason=reason, revision=workload.revision + 1)


def after_skip(workload: Workload | None, why: str) -> Workload | None:
    """The waiting workload that says why its steps were not tried; None when there is nothing to change."""
    if workload is None or workload.state is not WorkloadState.PENDING or workload.reason == why:
        return None
    return replace(workload, reason=why, revision=workload.revision + 1)


def located(allocation: Allocation | None, facts: Mapping[str, object]) -> Allocation | None:
    """The allocation with the UUID of each MIG instance that was planned by its place, as the node found it."""
    found = facts.get("grants")
    if allocation is None or not isinstance(found, list):
        return allocation
    uuids = {index: plain.get("mig_instance") for index, plain in enumerate(found) if isinstance(plain, Mapping)}
    grants = tuple(
        grant if grant.place is None else replace(grant, mig_instance=str(uuids.get(index)), place=None)
        for index, grant in enumerate(allocation.grants)
    )
    return replace(allocation, grants=grants)


def _started(workload: Workload, step: Step, facts: Mapping[str, object], actor: str, at_s: float) -> Outcome:
    if workload.state is not WorkloadState.PENDING:
        return None, ()
    if step.member is not None:
        return member_started(workload, step, step.member, facts, actor=actor, at_s=at_s)
    pid = facts.get("pid")
    started_at_s = facts.get("started_at_s")
    running = replace(
        workload,
        state=WorkloadState.RUNNING,
        reason=None,
        revision=workload.revision + 1,
        attempt=step.attempt,
        allocation=located(step.allocation, facts),
        pid=pid if isinstance(pid, int) else None,
        started_at_s=float(started_at_s) if isinstance(started_at_s, int | float) else None,
        held_by=held_by_from(facts),
        state_dir=state_dir if isinstance(state_dir := facts.get("state_dir"), str) else None,
    )
    entry = start_entry(
        workload,
        replace(step, allocation=running.allocation),
        pid=running.pid,
        started_at_s=running.started_at_s,
        actor=actor,
        at_s=at_s,
    )
    return running, (entry,)


def _not_started(workload: Workload, step: Step, actor: str, at_s: float) -> Outcome:
    if step.member is not None:
        return member_taken_back(workload, step, step.member, actor=actor, at_s=at_s)
    if workload.state is WorkloadState.PENDING and workload.attempt < step.attempt:
        # The node remembers this attempt as ended; the next start must be another one.
        return replace(workload, attempt=step.attempt, revision=workload.revision + 1), ()
    if workload.state is not WorkloadState.RUNNING or workload.attempt != step.attempt:
        return None, ()
    entry = AuditEntry(at_s=at_s, kind="start-undone", actor=actor, workload=workload.id, node=step.node)
    return waiting_again(workload, "its start was taken back"), (entry,)


def _suspended(workload: Workload, step: Step, facts: Mapping[str, object], actor: str, at_s: float) -> Outcome:
    return _switched(workload, step, WorkloadState.SUSPENDED, facts, actor=actor, at_s=at_s)


def _resumed(workload: Workload, step: Step, facts: Mapping[str, object], actor: str, at_s: float) -> Outcome:
    return _switched(workload, step, WorkloadState.RUNNING, facts, actor=actor, at_s=at_s)


_SWITCHES = {WorkloadState.SUSPENDED: WorkloadState.RUNNING, WorkloadState.RUNNING: WorkloadState.SUSPENDED}
"""The state that each of the two is come to from."""


def _switched(
    workload: Workload, step: Step, state: WorkloadState, facts: Mapping[str, object], *, actor: str, at_s: float
) -> Outcome:
    """The workload after it was suspended or resumed; an end that was learnt meanwhile stands."""
    if workload.state is not _SWITCHES[state]:
        return None, ()
    allocation = located(step.allocation, facts)
    switched = replace(
        workload,
        state=state,
        reason=_why_suspended(step, actor) if state is WorkloadState.SUSPENDED else None,
        revision=workload.revision + 1,
        allocation=allocation or workload.allocation,
    )
    entry = AuditEntry(
        at_s=at_s,
        kind="suspend" if state is WorkloadState.SUSPENDED else "resume",
        actor=actor,
        workload=workload.id,
        node=step.node,
        detail={
            "devices": [grant.visible_uuid for grant in allocation.grants] if allocation else [],
            "gpu_memory_mib": facts.get("gpu_memory_mib"),
            "seconds": facts.get("seconds"),
        },
    )
    return switched, (entry,)


def _resized(workload: Workload, step: Step, facts: Mapping[str, object], actor: str, at_s: float) -> Outcome:
    """The workload with its new devices; an end that was learnt meanwhile stands."""
    before, after = workload.allocation, step.allocation
    if workload.state is not WorkloadState.RUNNING or before is None or after is None or before.grants == after.grants:
        return None, ()
    entry = AuditEntry(
        at_s=at_s,
        kind="resize",
        actor=actor,
        workload=workload.id,
        node=step.node,
        detail={
            "devices": [grant.visible_uuid for grant in after.grants],
            "devices_before": [grant.visible_uuid for grant in before.grants],
            "seconds": facts.get("seconds"),
        },
    )
    return replace(workload, allocation=after, revision=workload.revision + 1), (entry,)


def _why_suspended(step: Step, actor: str) -> str | None:
    """What work says that an operator did not suspend by name; with the last two words it goes on by itself."""
    match step.reason:
        case StepReason.DRAIN:
            return f"drained from {step.node} by {actor}"
        case StepReason.IDLE:
            return IDLE_REASON
        case StepReason.REBALANCE:
            return MOVING_REASON
        case _:
            return None


def _stopped(workload: Workload, step: Step, facts: Mapping[str, object], actor: str, at_s: float) -> Outcome:
    if workload.state.ended:
        return None, ()
    plain = facts.get("end")
    told = isinstance(plain, Mapping)
    end = from_plain(WorkloadEnd, plain) if told else WorkloadEnd(255, at_s, reason="released")
    if members_of(workload):
        return member_stopped(workload, step, end, actor=actor, at_s=at_s)
    # Work that ended by itself a moment before keeps its own end; of work that never ran no exit code is known.
    if step.reason in _GIVING_WAY and end.reason in TAKEN and not workload.adopted:
        return drained(workload, step, f"{_GIVING_WAY[step.reason]} {step.node} by {actor}", actor=actor, at_s=at_s)
    ended = after_end(workload, end)
    if not told:
        ended = replace(ended, exit_code=None)
    return ended, (end_entry(ended, end, actor),)


_DONE: Mapping[StepKind, Callable[[Workload, Step, Mapping[str, object], str, float], Outcome]] = {
    StepKind.START: _started,
    StepKind.ADOPT: _started,
    StepKind.STOP: _stopped,
    StepKind.LET_GO: _stopped,
    StepKind.SUSPEND: _suspended,
    StepKind.RESUME: _resumed,
    StepKind.RESIZE: _resized,
}
"""What a step makes of its workload, given the facts, who ran it and when; kinds not in here change nothing of it."""
