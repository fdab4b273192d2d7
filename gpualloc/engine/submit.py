"""Take in a request: check it, refuse what can never be, say who will start it."""

from __future__ import annotations

from msgspec import Struct

from gpualloc.engine.context import Context
from gpualloc.engine.observe import check_names, observe
from gpualloc.errors import InfeasibleError, UnreachableError
from gpualloc.model.audit import AuditEntry
from gpualloc.model.inventory import Snapshot
from gpualloc.model.workload import Request, Workload, WorkloadState, check_name, check_request
from gpualloc.policies.feasibility import feasible
from gpualloc.ports import Journal

FRESH_REBALANCE_S = 2 * 3600.0
"""A rebalance at most this long ago counts as a sign that cron runs it."""


class Starter(Struct, frozen=True):
    """Who will start waiting work."""

    kind: str
    """`watch` (a rebalance --watch runs), `cron` (rebalance ran lately), or `nobody`."""
    last_rebalance_s: float | None
    """Seconds since rebalance last ran; None when never."""


class Submission(Struct, frozen=True):
    """A request that was taken in."""

    workload: Workload
    starter: Starter
    unseen: tuple[str, ...] = ()
    """Nodes that did not answer, so that whether the request fits them is not known."""


def submit(ctx: Context, name: str, request: Request) -> Submission:
    """Store a pending workload.

    Raises:
        UsageError: a name or size without meaning.
        NotFoundError: an allowed node is not in the fleet.
        InfeasibleError: no node of the fleet could ever hold it; says the closest that would fit.
    """
    check_name(name)
    check_request(request)
    check_names(ctx, request.nodes)
    unseen = _refuse_infeasible(ctx, request)
    now_s = ctx.clock.now_s()
    workload = Workload(
        id=ctx.fresh_id("w"),
        name=name,
        owner=ctx.actor,
        request=request,
        state=WorkloadState.PENDING,
        submitted_at_s=now_s,
    )
    entry = AuditEntry(
        at_s=now_s,
        kind="submit",
        actor=ctx.actor,
        workload=workload.id,
        node=None,
        detail={"name": name, "gpus": request.gpus, "command": list(request.command)},
    )
    ctx.journal.submit(workload, entry)
    return Submission(workload, starter_of(ctx.journal, now_s), unseen)


def starter_of(journal: Journal, now_s: float) -> Starter:
    """Who would start waiting work as things stand."""
    last = journal.last_rebalance()
    age_s = None if last is None else max(0.0, now_s - last[0])
    if journal.watched():
        return Starter("watch", age_s)
    return Starter("cron" if age_s is not None and age_s <= FRESH_REBALANCE_S else "nobody", age_s)


def _refuse_infeasible(ctx: Context, request: Request) -> tuple[str, ...]:
    try:
        snapshot: Snapshot = observe(ctx, request.nodes or None, near=request.near)
    except UnreachableError:
        return request.nodes or tuple(spec.name for spec in ctx.fleet.specs())
    unseen = tuple(node.name for node in snapshot.nodes if node not in snapshot.reached)
    closest = feasible(snapshot, request)
    if closest is not None:
        raise InfeasibleError(f"no node of the fleet could ever hold this request: {closest.detail}", node=closest.node)
    return unseen
