"""Work as it was at a moment, out of what is known of it today; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from msgspec.structs import replace

from gpualloc.model.allocation import Claim
from gpualloc.model.workload import Workload, WorkloadState

NOT_KEPT = "why it waited is not kept"
SUSPENDED_SINCE = "whether it was suspended then is not kept"
STARTED_AGAIN = "it was started again since; what it had then is not kept"


def work_at(workloads: Iterable[Workload], seen: Mapping[str, Collection[str]], at_s: float) -> tuple[Workload, ...]:
    """The work that had been submitted by then, as it stood.

    Args:
        workloads: as they are known today, with those that ended since.
        seen: ids of the work that samples of that moment tell of, with the nodes that had it.
        at_s: the moment, epoch seconds.
    """
    return tuple(
        _at(workload, seen.get(workload.id, ()), at_s) for workload in workloads if workload.submitted_at_s <= at_s
    )


def claims_of(workloads: Iterable[Workload], controller: str) -> dict[str, list[Claim]]:
    """What work that runs has, by node, as nodes tell of it."""
    claims: dict[str, list[Claim]] = {}
    for workload in workloads:
        if workload.state is not WorkloadState.RUNNING or workload.allocation is None:
            continue
        since_s = workload.submitted_at_s if workload.started_at_s is None else workload.started_at_s
        for part in workload.allocation.parts:
            claims.setdefault(part.node, []).extend(
                Claim(
                    grant.device,
                    workload.id,
                    controller,
                    grant.share,
                    grant.mig_instance,
                    grant.fraction,
                    grant.memory_mib,
                    since_s,
                )
                for grant in part.grants
            )
    return claims


def places_of(workloads: Iterable[Workload]) -> dict[str, tuple[str, str | None]]:
    """By MIG instance that any of this work has or had, the UUID of its device, and where it was to lie there."""
    return {
        grant.mig_instance: (grant.device, grant.place)
        for workload in workloads
        if workload.allocation is not None
        for grant in workload.allocation.grants
        if grant.mig_instance is not None
    }


def _at(workload: Workload, seen_on: Collection[str], at_s: float) -> Workload:
    if workload.ended_at_s is not None and workload.ended_at_s <= at_s:
        return workload
    open_ended = replace(workload, ended_at_s=None, exit_code=None)
    if workload.started_at_s is not None and workload.started_at_s <= at_s:
        if workload.state is WorkloadState.RUNNING:
            return workload
        reason = SUSPENDED_SINCE if workload.state is WorkloadState.SUSPENDED else None
        return replace(open_ended, state=WorkloadState.RUNNING, reason=reason)
    blank = replace(open_ended, allocation=None, pid=None, started_at_s=None)
    if seen_on:
        return replace(blank, state=WorkloadState.RUNNING, reason=STARTED_AGAIN)
    # What waits today waited then for a reason of that time.
    return replace(blank, state=WorkloadState.PENDING, reason=NOT_KEPT)
