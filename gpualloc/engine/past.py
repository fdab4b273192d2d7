"""What happened to work before, as guards ask about it: from the audit trail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from gpualloc.engine.context import Context
from gpualloc.engine.execute import find_workload
from gpualloc.model.audit import AuditEntry
from gpualloc.model.plan import StepKind
from gpualloc.model.rebalancing import RebalanceRules
from gpualloc.model.workload import Workload
from gpualloc.planning.guards import Past

_LOSSES = frozenset({"suspend", "requeue", "resize"})
"""Audit entries of work that was moved, as its owner notices it."""
_TOUCHES = _LOSSES | {"resume"}


def past_of(
    ctx: Context, rules: RebalanceRules, workloads: Iterable[Workload], ages: Mapping[str, float | None]
) -> Past:
    """What guards ask about, from the audit trail; `workloads` are those at hand, others are looked up."""
    now_s = ctx.clock.now_s()
    known = {workload.id: workload for workload in workloads}
    last_moved: dict[str, float] = {}
    moved: dict[str, set[str]] = {}
    for entry in ctx.journal.audit(since_s=now_s - max(rules.cool_down_s, rules.tenant_window_s)):
        if entry.workload is None or not _touched(entry):
            continue
        last_moved[entry.workload] = max(entry.at_s, last_moved.get(entry.workload, entry.at_s))
        if entry.kind in _LOSSES and entry.at_s >= now_s - rules.tenant_window_s:
            # What was moved counts although it may have ended since.
            work = known.get(entry.workload) or find_workload(ctx, entry.workload)
            if work is not None:
                moved.setdefault(work.owner, set()).add(work.id)
    return Past(
        now_s=now_s,
        local=datetime.fromtimestamp(now_s).astimezone(),
        ages=ages,
        last_moved=last_moved,
        moved={owner: frozenset(ids) for owner, ids in moved.items()},
    )


def _touched(entry: AuditEntry) -> bool:
    """Whether the work was moved, suspended, resumed or resized, or its resize command was run in vain."""
    return entry.kind in _TOUCHES or (entry.kind == "step-failed" and entry.detail.get("step") == StepKind.RESIZE)
